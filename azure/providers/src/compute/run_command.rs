//! `virtualMachines/{instance}/runCommand`: a script in a machine, in the words of Azure's `RunCommandLinux`.
//!
//! Guarantees: the script really runs, in the machine; the operation succeeds when it ended, whatever its exit code (the
//! message tells what it printed), as Azure's does. Does not: know the Windows commands, or the commands of Azure's
//! catalogue beside `RunShellScript`.

use std::sync::Arc;

use arm::{ArmError, Resource};
use fabric::{Fabric, FabricError, MachineId, Script, ScriptEnd};
use serde_json::{Value, json};

use crate::json::{list, text};

/// Most parameters of a command.
const PARAMETERS_MAX: usize = 64;

/// What a request asks to be run.
pub(super) fn read(body: &Value) -> Result<Script, ArmError> {
    let command = text(body, "/commandId").unwrap_or_default();
    if command.is_empty() {
        return Err(ArmError::invalid_parameter(
            "runCommandInput.commandId",
            "Required parameter 'commandId' is missing (null).",
        ));
    }
    if !command.eq_ignore_ascii_case("RunShellScript") {
        return Err(ArmError::not_implemented(format_args!("The run command '{command}'")));
    }
    let lines = list(body, "/script").iter().map(|line| line.as_str().unwrap_or_default());
    let mut script = Script { text: lines.collect::<Vec<_>>().join("\n"), ..Script::default() };
    let parameters = list(body, "/parameters");
    if parameters.len() > PARAMETERS_MAX {
        return Err(ArmError::invalid_parameter(
            "runCommandInput.parameters",
            format!("A run command has at most {PARAMETERS_MAX} parameters."),
        ));
    }
    for parameter in parameters {
        let value = text(parameter, "/value").unwrap_or_default().to_owned();
        let name = text(parameter, "/name").filter(|name| is_variable(name));
        script.environment.extend(name.map(|name| (name.to_owned(), value.clone())));
        script.arguments.push(value);
    }
    Ok(script)
}

/// Whether a shell can have a variable of this name.
fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Runs it and says what it printed.
pub(super) async fn run(
    fabric: Arc<dyn Fabric>,
    instance: Resource,
    script: Script,
) -> Result<Option<Value>, ArmError> {
    let id = MachineId::of(&instance.id.to_string());
    match fabric.run_script(&id, script).await {
        Ok(end) => Ok(Some(shown(&end))),
        Err(FabricError::Off(_) | FabricError::NoMachine(_)) => Err(off()),
        Err(FabricError::NoProcesses(_)) => Err(ArmError::not_implemented(format_args!(
            "The run command on a simulated machine, which has no processes,"
        ))),
        Err(error) => {
            tracing::error!(instance = %instance.id, error = %kit::Chain(&error), "a run command failed");
            Err(ArmError::conflict(
                "VMAgentStatusCommunicationError",
                format!(
                    "VM agent on VM '{}' has not reported status for extension 'RunCommandLinux'. Please verify the VM.",
                    instance.name
                ),
            ))
        }
    }
}

/// Azure's refusal of a machine that does not run.
pub(super) fn off() -> ArmError {
    ArmError::conflict(
        "OperationNotAllowed",
        "Cannot modify extensions in the VM when the VM is not running.",
    )
}

fn shown(end: &ScriptEnd) -> Value {
    json!({ "value": [{
        "code": "ProvisioningState/succeeded",
        "level": "Info",
        "displayStatus": "Provisioning succeeded",
        "message": format!("Enable succeeded: \n[stdout]\n{}\n[stderr]\n{}", end.stdout, end.stderr),
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_arguments_and_those_with_a_name_variables_too() {
        let script = read(&json!({
            "commandId": "RunShellScript", "script": ["echo $1", "echo $who"],
            "parameters": [{ "name": "who", "value": "me" }, { "name": "arg-2", "value": "x y" }, { "value": "z" }],
        }))
        .unwrap();
        assert_eq!(script.text, "echo $1\necho $who");
        assert_eq!(script.arguments, ["me", "x y", "z"]);
        assert_eq!(script.environment, [("who".to_owned(), "me".to_owned())]);
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (body, code) in [
            (json!({}), "InvalidParameter"),
            (json!({ "commandId": "RunPowerShellScript" }), "NotImplemented"),
            (json!({ "commandId": "RunShellScript", "parameters": vec![json!({}); 65] }), "InvalidParameter"),
        ] {
            assert_eq!(read(&body).unwrap_err().code, code, "{body}");
        }
    }

    #[test]
    fn the_message_has_azures_form() {
        let end = ScriptEnd { exit_code: 3, stdout: "out\n".into(), stderr: "err\n".into() };
        assert_eq!(
            shown(&end)["value"][0]["message"],
            "Enable succeeded: \n[stdout]\nout\n\n[stderr]\nerr\n"
        );
    }
}
