//! People and applications of the directory at a cluster: who they are there, and what they may do by Kubernetes' roles, by groups and by
//! role assignments.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;

use super::*;

const ROLES: &str = "2022-04-01";
const READER: &str = "7f6c6a51-bcf8-42ba-9220-52d62157d7db";
const WRITER: &str = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb";
const ADMIN: &str = "3498e952-d568-435e-9b2c-8d77e338d7f7";
const CLUSTER_ADMIN: &str = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b";
const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const PASSWORD: &str = "Correct-Horse-1";
const NOT_ALLOWED: &str =
    "User does not have access to the resource in Azure. Update role assignment to allow access.";

/// A cluster, its directory and Resource Manager.
struct Cloud {
    world: World,
    front: Arc<arm::Front>,
    cluster: String,
    admin: String,
}

/// Somebody with a token for clusters.
struct Somebody {
    id: String,
    token: String,
}

impl Cloud {
    async fn new() -> Self {
        let world = world().await;
        let first = world.entra.bootstrap("first").await.unwrap().unwrap();
        let subscription = world.entra.subscription_id();
        let config = arm::FrontConfig {
            state_dir: world.dir.path().to_owned(),
            tenant_id: world.entra.tenant_id(),
            tenant_domain: world.entra.domain(),
            subscription_id: subscription.clone(),
            subscription_name: "dev".to_owned(),
            owners: world.entra.bootstrap_principal().into_iter().collect(),
            hosts: arm::FrontConfig::usual_hosts(),
            cloud: arm::front::Cloud::default(),
            verifier: Arc::new(tenant::Tenant(world.entra.clone())),
            directory: Arc::new(tenant::Tenant(world.entra.clone())),
            clock: Arc::new(kit::SystemClock),
            tasks: world.tasks.clone(),
        };
        let front = arm::Front::builder(config).build().await.unwrap();
        world.hosting.set_assignments(front.access().clone());
        let group = format!("/subscriptions/{subscription}/resourceGroups/rg");
        let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/c");
        for id in [&group, &cluster] {
            let id = arm::ResourceId::parse(id).unwrap();
            front.ctx("Lazurite").resources.save(arm::Resource::new(id)).await.unwrap();
        }
        let mut cloud = Self { world, front, cluster, admin: String::new() };
        let secret = [("client_id", first.app_id.as_str()), ("client_secret", &first.secret)];
        cloud.admin = cloud.token("client_credentials", "https://graph.microsoft.com", &secret).await;
        cloud
    }

    /// The cluster with this profile.
    async fn profile(&self, admin_groups: &[&str], azure_rbac: bool) -> Arc<hosting::Plane> {
        let admin_groups = admin_groups.iter().map(|id| (*id).to_owned()).collect();
        let wanted = ControlPlaneSpec {
            cluster: self.cluster.clone(),
            tenant_id: self.world.entra.tenant_id(),
            entra: true,
            admin_groups,
            azure_rbac,
            fqdn: "entra-1.hcp.eastus.azmk8s.io".to_owned(),
            ..spec()
        };
        self.world.hosting.ensure(wanted).await.unwrap();
        self.world.hosting.plane(&self.cluster).unwrap()
    }

    async fn token(&self, grant: &str, resource: &str, fields: &[(&str, &str)]) -> String {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", grant)
            .append_pair("scope", &format!("{resource}/.default"))
            .extend_pairs(fields)
            .finish();
        let path = format!("/{}/oauth2/v2.0/token", self.world.entra.tenant_id());
        let request = http::Request::post(path).header("host", "localhost:8443");
        let response = self.world.entra.service().call(request.body(kit::http::full(form)).unwrap()).await;
        let body = kit::http::read(response.into_body(), 100_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    async fn graph(&self, path: &str, body: Value) -> Value {
        let request = http::Request::post(format!("/v1.0{path}"))
            .header("host", "graph.microsoft.com")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.admin));
        let request = request.body(kit::http::full(body.to_string())).unwrap();
        let response = self.world.entra.service().call(request).await;
        assert!(response.status().is_success(), "{path}: {}", response.status());
        let body = kit::http::read(response.into_body(), 100_000).await.unwrap();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    async fn group(&self, name: &str, members: &[&str]) -> String {
        let body =
            json!({"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true});
        let id = self.graph("/groups", body).await["id"].as_str().unwrap().to_owned();
        for member in members {
            let to =
                json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{member}")});
            self.graph(&format!("/groups/{id}/members/$ref"), to).await;
        }
        id
    }

    async fn user(&self, name: &str) -> String {
        let body = json!({"accountEnabled": true, "displayName": name, "mailNickname": name,
            "userPrincipalName": self.upn(name), "passwordProfile": {"password": PASSWORD, "forceChangePasswordNextSignIn": false}});
        self.graph("/users", body).await["id"].as_str().unwrap().to_owned()
    }

    fn upn(&self, name: &str) -> String {
        format!("{name}@{}", self.world.entra.domain())
    }

    /// Signs a person in. Afterwards, for groups stand in the token.
    async fn signed_in(&self, name: &str, id: &str) -> Somebody {
        let upn = self.upn(name);
        let fields = [("client_id", AZ), ("username", upn.as_str()), ("password", PASSWORD)];
        Somebody { id: id.to_owned(), token: self.token("password", AKS_SERVER, &fields).await }
    }

    async fn application(&self, name: &str) -> Somebody {
        let app = self.graph("/applications", json!({"displayName": name})).await;
        let (id, app_id) = (app["id"].as_str().unwrap(), app["appId"].as_str().unwrap());
        let secret = self.graph(&format!("/applications/{id}/addPassword"), json!({})).await;
        let principal = self.graph("/servicePrincipals", json!({"appId": app_id})).await;
        let fields = [("client_id", app_id), ("client_secret", secret["secretText"].as_str().unwrap())];
        let token = self.token("client_credentials", AKS_SERVER, &fields).await;
        Somebody { id: principal["id"].as_str().unwrap().to_owned(), token }
    }

    /// Assigns a role; `place` is below the cluster. Answers the assignment's id.
    async fn assign(&self, role: &str, principal: &str, place: &str) -> String {
        let id = format!(
            "{}{place}/providers/Microsoft.Authorization/roleAssignments/{}",
            self.cluster,
            uuid::Uuid::new_v4()
        );
        let role = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            self.world.entra.subscription_id()
        );
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
        self.front.ctx("Lazurite").arm.as_service("Lazurite").put(id.as_str(), ROLES, body).await.unwrap();
        id
    }

    async fn unassign(&self, assignment: &str) {
        self.front.ctx("Lazurite").arm.as_service("Lazurite").delete(assignment, ROLES).await.unwrap();
    }

    async fn end(self) {
        self.world.hosting.stop(&self.cluster).await.unwrap();
        self.world.end().await;
    }
}

/// What the cluster's API server answers to somebody.
async fn asks(plane: &hosting::Plane, who: &Somebody, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", who.token));
    let body = if body.is_null() { kit::http::empty() } else { kit::http::full(body.to_string()) };
    let response = plane.service().call(request.body(body).unwrap()).await;
    let status = response.status().as_u16();
    let body = kit::http::read(response.into_body(), 1_000_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn who_am_i(plane: &hosting::Plane, who: &Somebody) -> Value {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let (status, answer) =
        asks(plane, who, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review).await;
    assert_eq!(status, 201, "{answer}");
    answer["status"]["userInfo"].clone()
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const SYSTEM_PODS: &str = "/api/v1/namespaces/kube-system/pods";

#[tokio::test]
async fn people_are_known_by_name_and_their_groups_by_id() {
    let cloud = Cloud::new().await;
    let (ada, bob, many) = (cloud.user("ada").await, cloud.user("bob").await, cloud.user("many").await);
    let admins = cloud.group("admins", &[&ada, &many]).await;
    // One too many for a token: the cluster asks the directory.
    for number in 0..200 {
        cloud.group(&format!("g{number}"), &[&many]).await;
    }
    let plane = cloud.profile(&[&admins], false).await;
    let bindings: Api<ClusterRoleBinding> = Api::all(plane.admin());
    let bound = until(bindings.clone(), "aks-cluster-admin-binding-aad", |_| true).await;
    assert_eq!(
        (bound.role_ref.name.as_str(), bound.subjects.unwrap()[0].name.as_str()),
        ("cluster-admin", admins.as_str())
    );

    let member = cloud.signed_in("ada", &ada).await;
    let me = who_am_i(&plane, &member).await;
    assert_eq!(me["username"], cloud.upn("ada"));
    assert_eq!(me["groups"], json!([admins, "system:authenticated"]));
    assert_eq!(me["extra"]["oid"], json!([ada]));
    assert_eq!(asks(&plane, &member, "GET", "/api/v1/nodes", Value::Null).await.0, 200);

    let stranger = cloud.signed_in("bob", &bob).await;
    let (status, answer) = asks(&plane, &stranger, "GET", PODS, Value::Null).await;
    let words = format!(
        "pods is forbidden: User \"{}\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        cloud.upn("bob")
    );
    assert_eq!((status, answer["message"].as_str()), (403, Some(words.as_str())));

    let overage = cloud.signed_in("many", &many).await;
    let me = who_am_i(&plane, &overage).await;
    assert_eq!(me["groups"].as_array().unwrap().len(), 202);
    assert_eq!(asks(&plane, &overage, "GET", "/api/v1/nodes", Value::Null).await.0, 200);

    let robot = cloud.application("robot").await;
    assert_eq!(who_am_i(&plane, &robot).await["username"], robot.id);

    // No group any more, no administrators by group.
    let plane = cloud.profile(&[], false).await;
    let gone = async {
        loop {
            let bindings: Api<ClusterRoleBinding> = Api::all(plane.admin());
            if bindings.get_opt("aks-cluster-admin-binding-aad").await.unwrap().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.unwrap();
    assert_eq!(asks(&plane, &member, "GET", "/api/v1/nodes", Value::Null).await.0, 403);
    cloud.end().await;
}

#[tokio::test]
async fn role_assignments_say_who_may_do_what_where() {
    let cloud = Cloud::new().await;
    let plane = cloud.profile(&[], true).await;
    let (ada, bob) = (cloud.user("ada").await, cloud.user("bob").await);
    let team = cloud.group("team", &[&bob]).await;
    let (ada, bob) = (cloud.signed_in("ada", &ada).await, cloud.signed_in("bob", &bob).await);
    let robot = cloud.application("robot").await;

    let (status, answer) = asks(&plane, &ada, "GET", PODS, Value::Null).await;
    assert_eq!(status, 403);
    assert!(answer["message"].as_str().unwrap().ends_with(&format!(": {NOT_ALLOWED}")), "{answer}");

    let reading = cloud.assign(READER, &ada.id, "/namespaces/default").await;
    cloud.assign(WRITER, &team, "").await;
    cloud.assign(ADMIN, &robot.id, "/namespaces/default").await;
    let make = |name: &str| ("POST", MAPS, map(name));
    let get = |path| ("GET", path, Value::Null);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let table = [
        (&ada, get(PODS), 200),
        (&ada, get(SYSTEM_PODS), 403),
        (&ada, get("/api/v1/pods"), 403),
        (&ada, get(SECRETS), 403),
        (&ada, make("a"), 403),
        (&bob, get(SYSTEM_PODS), 200),
        (&bob, get("/api/v1/pods"), 200),
        (&bob, get(SECRETS), 200),
        (&bob, make("b"), 201),
        (&bob, ("POST", roles, role.clone()), 403),
        (&bob, get("/api/v1/nodes"), 403),
        (&robot, get(SECRETS), 200),
        (&robot, make("c"), 201),
        (&robot, ("POST", roles, role), 201),
        (&robot, get(SYSTEM_PODS), 403),
        (&robot, ("POST", "/api/v1/namespaces", space.clone()), 403),
    ];
    for (who, (method, path, body), wanted) in table {
        let (status, answer) = asks(&plane, who, method, path, body).await;
        assert_eq!(status, wanted, "{method} {path} as {}: {answer}", who.id);
    }

    // Assignments count at once, both ways.
    cloud.unassign(&reading).await;
    assert_eq!(asks(&plane, &ada, "GET", PODS, Value::Null).await.0, 403);
    let all = cloud.assign(CLUSTER_ADMIN, &ada.id, "").await;
    assert_eq!(asks(&plane, &ada, "POST", "/api/v1/namespaces", space).await.0, 201);
    reviews_tell_why(&cloud, &plane, &ada, &bob, &all).await;

    // Kubernetes' own roles still allow, and people of no directory are none of Azure's business.
    let binding: ClusterRoleBinding = serde_json::from_value(json!({"metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": robot.id}]}))
    .unwrap();
    Api::all(plane.admin()).create(&PostParams::default(), &binding).await.unwrap();
    assert_eq!(asks(&plane, &robot, "GET", SYSTEM_PODS, Value::Null).await.0, 200);
    cloud.end().await;
}

/// `assignment` makes `ada` the cluster's administrator; `bob` is none.
async fn reviews_tell_why(
    cloud: &Cloud,
    plane: &hosting::Plane,
    ada: &Somebody,
    bob: &Somebody,
    assignment: &str,
) {
    let may = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let (_, answer) = asks(plane, ada, "POST", path, may.clone()).await;
    let (assignment, role) =
        (assignment.rsplit('/').next().unwrap().replace('-', ""), CLUSTER_ADMIN.replace('-', ""));
    let upn = cloud.upn("ada");
    assert_eq!(
        answer["status"],
        json!({"allowed": true, "reason": format!("Access allowed by Azure RBAC Role Assignment {assignment} of Role {role} to user {upn}")})
    );
    let (_, answer) = asks(plane, bob, "POST", path, may).await;
    assert_eq!(answer["status"], json!({"allowed": false, "denied": true, "reason": NOT_ALLOWED}));
}
