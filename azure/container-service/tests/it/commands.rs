//! Commands in a cluster: what is refused, what is handed on, how an answer is asked for.

use base64::Engine;
use serde_json::{Value, json};

use crate::world::{AKS, World, az_body, cluster};

const UNKNOWN: &str = "ffffffffffffffffffffffffffffffff";

async fn run(world: &World, body: Value) -> Result<arm::client::Reply, arm::ArmError> {
    world.owner().post(format!("{}/runCommand", cluster("c1")), AKS, body).await
}

#[tokio::test]
async fn a_command_is_run_and_its_result_is_asked_for_until_it_is_there() {
    let world = World::with_nodes(false).await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let zip = b"PK\x03\x04 and more".to_vec();
    let mut written = base64::engine::general_purpose::STANDARD.encode(&zip);
    written.insert(4, '\n');
    let body = json!({ "command": "kubectl get pods", "context": written, "clusterToken": "ignored" });
    let accepted = run(&world, body).await.unwrap();
    assert_eq!(accepted.status.as_u16(), 202);
    let id = accepted.body["id"].as_str().unwrap().to_owned();
    {
        let commands = world.planes.commands.lock();
        let (command, _) = &commands[0];
        assert_eq!((command.line.as_str(), &command.context), ("kubectl get pods", &zip));
        // The cluster does not know the directory: what runs is its administrator.
        assert!(command.token.is_none());
    }
    let at = format!("{}/commandResults/{id}", cluster("c1"));
    let first = world.owner().get(at.as_str(), AKS).await.unwrap();
    assert_eq!(first["properties"]["provisioningState"], "Running");
    let last = world.owner().get(at.as_str(), AKS).await.unwrap();
    assert_eq!(last["properties"]["provisioningState"], "Succeeded");
    assert_eq!(last["properties"]["exitCode"], 3);
    assert_eq!(last["properties"]["logs"], "ran kubectl get pods");
    for unknown in [UNKNOWN, "..", "nonsense"] {
        let at = format!("{}/commandResults/{unknown}", cluster("c1"));
        assert!(world.owner().get(at, AKS).await.unwrap_err().is_not_found(), "{unknown}");
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_refused() {
    let world = World::with_nodes(false).await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let large = base64::engine::general_purpose::STANDARD.encode(vec![b'P'; 1_000_001]);
    for (body, code, says) in [
        (json!({ "command": " " }), "InvalidParameter", "must not be empty"),
        (json!({ "command": "ls", "context": "%" }), "InvalidParameter", "zip archive in base64"),
        (json!({ "command": "ls", "context": "aGVsbG8=" }), "InvalidParameter", "zip archive in base64"),
        (json!({ "command": "ls", "context": large }), "InvalidParameter", "1000001 bytes"),
        (json!({ "command": "missing" }), "OperationNotAllowed", "install kubectl"),
    ] {
        let error = run(&world, body).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(world.planes.commands.lock().is_empty());
}

#[tokio::test]
async fn a_cluster_that_knows_the_directory_runs_commands_as_their_caller() {
    let world = World::with_nodes(false).await;
    let mut body = az_body("c1", 1);
    body["properties"]["aadProfile"] = json!({ "managed": true });
    world.create("c1", body).await.unwrap();
    let error = run(&world, json!({ "command": "ls" })).await.unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
    run(&world, json!({ "command": "ls", "clusterToken": "whose" })).await.unwrap();
    assert_eq!(world.planes.commands.lock()[0].0.token.as_deref(), Some("whose"));
}

#[tokio::test]
async fn nodes_without_processes_run_no_command() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let error = run(&world, json!({ "command": "ls" })).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code.as_str()), (409, "OperationNotAllowed"));
    assert!(error.to_string().contains("simulated"), "{error}");
}
