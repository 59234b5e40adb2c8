use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::*;

#[derive(Default)]
struct Written(Mutex<BTreeMap<(String, String, String), Value>>);

fn key(seed: &Seed) -> (String, String, String) {
    (seed.plural.to_owned(), seed.namespace().to_owned(), seed.name().to_owned())
}

#[async_trait]
impl Ensure for Written {
    async fn get(&self, seed: &Seed) -> Result<Option<Value>, ApiError> {
        Ok(self.0.lock().get(&key(seed)).cloned())
    }
    async fn create(&self, seed: &Seed) -> Result<(), ApiError> {
        let before = self.0.lock().insert(key(seed), seed.object.clone());
        assert_eq!(before, None, "{:?} is listed twice", key(seed));
        Ok(())
    }
    async fn update(&self, seed: &Seed, object: Value) -> Result<(), ApiError> {
        self.0.lock().insert(key(seed), object);
        Ok(())
    }
}

fn settings(advertise: &str) -> Settings {
    Settings {
        service_cidr: "10.0.0.0/16".parse().unwrap(),
        advertise: advertise.parse().unwrap(),
        authority_pem: "pem".into(),
    }
}

#[tokio::test]
async fn a_second_start_changes_nothing_and_a_move_is_followed() {
    let written = Written::default();
    let count = ensure(&settings("20.1.0.4:443"), &written).await.unwrap();
    assert!(count > 150, "{count}");
    assert_eq!(ensure(&settings("20.1.0.4:443"), &written).await.unwrap(), 0);
    assert_eq!(ensure(&settings("20.1.0.5:443"), &written).await.unwrap(), 2);
    let all = written.0.lock();
    let at = |plural: &str| &all[&(plural.to_owned(), "default".to_owned(), "kubernetes".to_owned())];
    assert_eq!(at("services")["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(at("endpoints")["subsets"][0]["addresses"][0]["ip"], "20.1.0.5");
    assert_eq!(at("endpointslices")["endpoints"][0]["addresses"][0], "20.1.0.5");
}

#[tokio::test]
async fn what_users_add_stays_and_what_they_remove_returns() {
    let written = Written::default();
    ensure(&settings("20.1.0.4:443"), &written).await.unwrap();
    let place = ("clusterrolebindings".to_owned(), String::new(), "aks-cluster-admin-binding".to_owned());
    let mine = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"});
    written.0.lock().get_mut(&place).unwrap()["subjects"] = json!([mine]);
    assert_eq!(ensure(&settings("20.1.0.4:443"), &written).await.unwrap(), 1);
    let all = written.0.lock();
    let names: Vec<&str> =
        all[&place]["subjects"].as_array().unwrap().iter().map(|one| text(one, "/name")).collect();
    assert_eq!(names, ["jane", "clusterAdmin", "clusterUser"]);
    assert_eq!(all[&place]["metadata"]["labels"]["addonmanager.kubernetes.io/mode"], "Reconcile");
}

#[test]
fn every_object_is_one_the_model_knows_and_every_binding_has_its_role() {
    let model = api_model::Model::load("1.35").unwrap();
    let seeds = seeds(&settings("20.1.0.4:443"));
    for seed in &seeds {
        let resource = model.resource(seed.group, seed.version, seed.plural);
        let resource = resource.unwrap_or_else(|| panic!("no {} in {}", seed.plural, seed.group));
        assert_eq!(seed.object["kind"], resource.kind.as_str());
        assert_eq!(resource.namespaced, !seed.namespace().is_empty(), "{}", seed.name());
        let mut object = seed.object.clone();
        assert!(resource.schema.prune(&mut object).is_empty(), "{} has unknown fields", seed.name());
        assert!(
            resource.schema.validate(&object).is_empty(),
            "{}: {:?}",
            seed.name(),
            resource.schema.validate(&object)
        );
        let Some(role) = seed.object.pointer("/roleRef") else { continue };
        let plural = if text(role, "/kind") == "Role" { "roles" } else { "clusterroles" };
        let namespace = if plural == "roles" { seed.namespace() } else { "" };
        let fits = |one: &&Seed| {
            one.plural == plural && one.name() == text(role, "/name") && one.namespace() == namespace
        };
        assert!(seeds.iter().any(|one| fits(&one)), "{} has no role", seed.name());
    }
    let admin = rbac::cluster_role_rules("admin");
    assert!(admin.len() > rbac::cluster_role_rules("edit").len());
    assert!(rbac::cluster_role_rules("edit").len() > rbac::cluster_role_rules("view").len());
}
