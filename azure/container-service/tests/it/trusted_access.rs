//! Trusted access: the published roles, and bindings whose source is not there.

use serde_json::{Value, json};

use crate::world::{AKS, World, az_body, cluster};
use providers::fake::SUBSCRIPTION;

const ML: &str = "Microsoft.MachineLearningServices/workspaces";

#[tokio::test]
async fn roles_are_listed_with_their_rules() {
    let world = World::new().await;
    let path = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/locations/eastus/trustedAccessRoles"
    );
    let listed = world.owner().get(path, AKS).await.unwrap();
    let roles = listed["value"].as_array().unwrap();
    let workload = roles.iter().find(|role| role["name"] == "mlworkload").unwrap();
    let rule = json!({ "verbs": ["create", "get", "list", "patch", "update", "delete"], "apiGroups": [""],
        "resources": ["services", "services/proxy"] });
    assert_eq!(workload, &json!({ "sourceResourceType": ML, "name": "mlworkload", "rules": [rule] }));
}

#[tokio::test]
async fn a_binding_is_judged_and_its_source_is_missing() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev");
    let workspace = format!("{group}/providers/{ML}/ml");
    let work = format!("{ML}/mlworkload");
    let of = |name: &str| format!("{}/trustedAccessRoleBindings/{name}", cluster("c1"));
    let none = json!([]);
    for (name, source, roles, status, code, says) in [
        ("b", workspace.as_str(), json!([work]), 404, "ResourceNotFound", "workspaces/ml"),
        ("b", &workspace, none, 400, "InvalidParameter", "at least one role"),
        (
            "b",
            &workspace,
            json!([format!("{ML}/admin")]),
            400,
            "InvalidParameter",
            "non-exist role: Microsoft",
        ),
        (
            "b",
            &workspace,
            json!(["mlworkload"]),
            400,
            "InvalidParameter",
            "non-exist role: mlworkload, please refer",
        ),
        (
            "b",
            &cluster("c1"),
            json!([work]),
            400,
            "InvalidParameter",
            "role must begin with source resource type",
        ),
        ("b", "ml", json!([work]), 400, "InvalidParameter", "properties.sourceResourceId"),
        (&"b".repeat(25), &workspace, json!([work]), 400, "InvalidParameter", "trustedAccessRoleBindingName"),
    ] {
        let body = json!({ "properties": { "sourceResourceId": source, "roles": roles } });
        let error = world.owner().put(of(name).as_str(), AKS, body).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (status, code), "{name} {source}: {error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let listed: Vec<Value> = world.owner().list(of("").trim_end_matches('/').to_owned(), AKS).await.unwrap();
    assert_eq!(listed, Vec::<Value>::new());
    assert!(world.owner().get(of("b"), AKS).await.unwrap_err().is_not_found());
}
