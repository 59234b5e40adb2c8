//! `postStart` and `preStop`.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::runtime::Runtime;

/// A hook over HTTP answers within this time.
const HTTP_LIMIT: Duration = Duration::from_secs(30);

/// Runs a hook to its end. An error is the message of an event.
pub async fn run(
    runtime: &dyn Runtime,
    container: &Container,
    handler: &LifecycleHandler,
    id: &str,
    host: &str,
) -> Result<(), String> {
    if runtime.is_simulated() {
        return Ok(());
    }
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let answer = runtime.exec_sync(id, &command, 0).await.map_err(|error| error.to_string())?;
        return match answer.exit_code {
            0 => Ok(()),
            code => Err(format!(
                "command '{}' exited with {code}: {}",
                command.join(" "),
                String::from_utf8_lossy(&answer.stderr)
            )),
        };
    }
    if let Some(action) = &handler.http_get {
        let own = action.host.as_deref().filter(|own| !own.is_empty());
        let number = match &action.port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => {
                let ports = container.ports.iter().flatten();
                ports.filter(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port).next()
            }
        };
        let port =
            number.and_then(|number| u16::try_from(number).ok()).ok_or("couldn't find the hook's port")?;
        let (status, _) = crate::probe::http_get(action, own.unwrap_or(host), port, HTTP_LIMIT).await?;
        return match status.as_u16() < 400 {
            true => Ok(()),
            false => Err(format!("the hook's server answered {status}")),
        };
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0).unsigned_abs())).await;
        return Ok(());
    }
    Err("invalid handler: neither exec, httpGet nor sleep".into())
}
