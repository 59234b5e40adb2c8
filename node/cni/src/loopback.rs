//! The plugin `loopback`, which container runtimes call for every sandbox: brings `lo` up and nothing more.

use std::io::Read;
use std::process::ExitCode;

use linux::Netns;
use linux::ip::{Repeat, batch};
use serde_json::{Value, json};

use crate::config::VERSIONS;
use crate::error::CniError;

/// The plugin's name.
pub const LOOPBACK: &str = "loopback";

/// The whole program of `loopback`.
pub fn loopback() -> ExitCode {
    let mut config = String::new();
    let read = std::io::stdin().read_to_string(&mut config);
    let command = std::env::var("CNI_COMMAND").unwrap_or_default();
    let netns = std::env::var("CNI_NETNS").unwrap_or_default();
    let done =
        read.map_err(|source| CniError::Input { source }).and_then(|_| execute(&command, &netns, &config));
    match done {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", error.render(&config));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: &str, netns: &str, config: &str) -> Result<Value, CniError> {
    match command {
        "VERSION" => Ok(json!({"cniVersion": "1.0.0", "supportedVersions": VERSIONS})),
        "ADD" => {
            // The runtime's own configuration for this plugin has no more than a version.
            let version = serde_json::from_str::<Value>(config)
                .ok()
                .and_then(|config| Some(config.get("cniVersion")?.as_str()?.to_owned()))
                .unwrap_or_else(|| "0.4.0".to_owned());
            let up = ["link set lo up".to_owned()];
            batch(&Netns::at(netns), &up, Repeat::Tolerant).map_err(|source| CniError::Link {
                deed: "bring the loopback up",
                source: Box::new(source),
            })?;
            Ok(json!({
                "cniVersion": version,
                "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": netns}],
                "ips": [{"version": "4", "interface": 0, "address": "127.0.0.1/8"}],
                "dns": {}}))
        }
        // The interface goes with its namespace.
        "DEL" | "CHECK" => Ok(Value::Null),
        other => Err(CniError::Environment { variable: "CNI_COMMAND", problem: format!("is `{other}`") }),
    }
}
