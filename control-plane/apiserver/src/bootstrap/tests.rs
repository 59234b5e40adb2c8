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
    fn settled(&self, seed: Seed) -> Seed {
        seed
    }

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
        proxy_authority_pem: "proxies".into(),
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

#[tokio::test]
async fn a_role_gets_back_what_was_taken_from_it_unless_it_is_to_be_left_alone() {
    let written = Written::default();
    ensure(&settings("20.1.0.4:443"), &written).await.unwrap();
    let place = ("clusterroles".to_owned(), String::new(), "system:kube-dns".to_owned());
    let full = written.0.lock()[&place].clone();
    let thin = json!([{"apiGroups": [""], "resources": ["endpoints", "services"], "verbs": ["list"]}]);
    written.0.lock().get_mut(&place).unwrap()["rules"] = thin.clone();
    assert_eq!(ensure(&settings("20.1.0.4:443"), &written).await.unwrap(), 1);
    let mended = written.0.lock()[&place].clone();
    let added: Vec<&Value> = mended["rules"].as_array().unwrap().iter().skip(1).collect();
    assert_eq!(
        added,
        [
            &json!({"apiGroups": [""], "resources": ["endpoints"], "verbs": ["watch"]}),
            &json!({"apiGroups": [""], "resources": ["services"], "verbs": ["watch"]}),
        ]
    );
    let mut left = full;
    left["rules"] = thin;
    left["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
    written.0.lock().insert(place, left);
    assert_eq!(ensure(&settings("20.1.0.4:443"), &written).await.unwrap(), 0);
}

/// What upstream 1.35 prints for some of its roles, to catch a slip in the notation.
#[test]
fn rules_are_written_as_upstream_writes_them() {
    let seeds = rbac::seeds();
    let rules = |name: &str| {
        let seed = seeds.iter().find(|seed| seed.name() == name && seed.plural == "clusterroles").unwrap();
        assert_eq!(
            seed.object["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults",
            "{name}"
        );
        seed.object["rules"].clone()
    };
    assert_eq!(
        rules("system:controller:ttl-controller"),
        json!([
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "patch", "update", "watch"]},
            {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
        ])
    );
    assert_eq!(
        rules("system:public-info-viewer"),
        json!([
            {"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"]},
        ])
    );
    assert_eq!(
        rules("system:certificates.k8s.io:kubelet-serving-approver"),
        json!([
            {"apiGroups": ["certificates.k8s.io"], "resourceNames": ["kubernetes.io/kubelet-serving"], "resources": ["signers"], "verbs": ["approve"]},
        ])
    );
    // Nobody who may edit a namespace can steer traffic past its services (CVE-2021-25740).
    let edit = rules("edit").to_string();
    assert!(!edit.contains("endpointslices\"],\"verbs\":[\"create"), "{edit}");
    let upstream = seeds.iter().filter(|seed| !seed.object["metadata"]["annotations"].is_null()).count();
    let count = |plural: &str| {
        seeds
            .iter()
            .filter(|seed| seed.plural == plural && !seed.object["metadata"]["annotations"].is_null())
            .count()
    };
    assert_eq!(
        (count("clusterroles"), count("clusterrolebindings"), count("roles"), count("rolebindings")),
        (68, 49, 7, 7),
        "{upstream}"
    );
}
