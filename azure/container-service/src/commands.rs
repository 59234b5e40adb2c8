//! `runCommand` and `commandResults/{id}`: a command that is run in a pod of the cluster.
//!
//! ```text
//! POST runCommand ─▶ checked ─▶ a pod `command-<id>` ─▶ 202, Location …/commandResults/<id>
//! GET commandResults/<id> ─▶ 202 while it runs, then what it printed and its exit code
//! ```
//!
//! Guarantees: whoever may ask for `runCommand` is the cluster's administrator, except where the cluster knows the
//! directory: there the command is its caller, by the token that came with it. An answer is read from the cluster, so a
//! restart of the service loses none.
//!
//! Does not: run anything where nodes have no processes; that is refused.

use arm::{Acted, ArmError, Resource};
use base64::Engine;
use http::StatusCode;
use serde_json::{Value, json};

use crate::aad_profile;
use crate::control_planes::{Command, CommandState};
use crate::fault::Fault;
use crate::json::{flag, text};
use crate::saga::plane_error;
use crate::service::{Shared, check_running};
use crate::state::CLUSTERS;

/// What a Secret of the cluster holds beside the rest of the command.
const CONTEXT_MAX_BYTES: usize = 1_000_000;

/// Starts a command.
pub(crate) async fn run(shared: &Shared, cluster: &Resource, body: &Value) -> Result<Acted, ArmError> {
    check_running(cluster, "running a command")?;
    if flag(&cluster.properties, "/apiServerAccessProfile/disableRunCommand") {
        return Err(ArmError::bad_request(
            "RunCommandDisabled",
            "Run command is disabled for this cluster by apiServerAccessProfile.disableRunCommand.",
        ));
    }
    let command = read(cluster, body)?;
    if shared.settings.simulated {
        return Err(ArmError::conflict(
            "OperationNotAllowed",
            "The nodes of this cloud are simulated and run no processes, so the pod of a command could not run either. \
             Start the service with real nodes ('lazurite doctor' says what they need).",
        ));
    }
    let id = shared.planes.run_command(&cluster.id.to_string(), command).await.map_err(plane_error)?;
    let body = json!({ "id": id, "properties": { "provisioningState": "Running" } });
    Ok(Acted::AcceptedAt { path: format!("{}/commandResults/{id}", cluster.id), body })
}

fn read(cluster: &Resource, body: &Value) -> Result<Command, Fault> {
    let line = text(body, "/command").filter(|line| !line.trim().is_empty());
    let line = line.ok_or_else(|| Fault::parameter("command", "the command must not be empty"))?.to_owned();
    // az breaks it into lines.
    let written: String =
        text(body, "/context").unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    let context = base64::engine::general_purpose::STANDARD
        .decode(written)
        .map_err(|_| Fault::parameter("context", "the context must be a zip archive in base64"))?;
    if context.len() > CONTEXT_MAX_BYTES {
        return Err(Fault::parameter(
            "context",
            format!("the context has {} bytes, more than {CONTEXT_MAX_BYTES}", context.len()),
        ));
    }
    if !context.is_empty() && !context.starts_with(b"PK") {
        return Err(Fault::parameter("context", "the context must be a zip archive in base64"));
    }
    let token = match aad_profile::is_enabled(&cluster.properties) {
        true => {
            let token = text(body, "/clusterToken").filter(|token| !token.is_empty());
            Some(token.map(str::to_owned).ok_or_else(|| {
                Fault::parameter(
                    "clusterToken",
                    "the cluster knows the directory, so the caller's token is needed",
                )
            })?)
        }
        false => None,
    };
    Ok(Command { line, context, token })
}

/// How far a command is.
pub(crate) async fn result(shared: &Shared, cluster: &Resource, id: &str) -> Result<Acted, ArmError> {
    check_running(cluster, "reading the result of a command")?;
    let missing = || ArmError::resource_not_found(&cluster.id.child("commandResults", id));
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(missing());
    }
    let found = shared.planes.command_result(&cluster.id.to_string(), id).await.map_err(plane_error)?;
    let found = found.ok_or_else(missing)?;
    let (state, status) = match found.state {
        CommandState::Running => ("Running", StatusCode::ACCEPTED),
        CommandState::Succeeded => ("Succeeded", StatusCode::OK),
        CommandState::Failed => ("Failed", StatusCode::OK),
    };
    let body = json!({
        "id": id,
        "type": format!("{CLUSTERS}/commandResults"),
        "properties": {
            "provisioningState": state,
            "exitCode": found.exit_code,
            "startedAt": found.started_at,
            "finishedAt": found.finished_at,
            "logs": found.logs,
            "reason": found.reason,
        },
    });
    Ok(Acted::Answer(status, body))
}
