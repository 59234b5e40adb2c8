//! Machines that do nothing but register as nodes, ready at once.

use std::sync::Arc;

use async_trait::async_trait;
use fabric::{Booted, MachineFiles, MachineStarter};
use serde_json::Value;

use crate::planes::Planes;

/// The boot's exit codes for a bootstrap document nobody can read, and for an API server that is not there.
const UNREADABLE: i32 = 1;
const NO_API_SERVER: i32 = 51;

pub(crate) struct Machines(pub(crate) Arc<Planes>);

#[async_trait]
impl MachineStarter for Machines {
    async fn run(&self, files: MachineFiles, report: Booted) -> i32 {
        let Ok(document) = serde_json::from_slice::<Value>(&files.custom_data) else { return UNREADABLE };
        let Some(fqdn) = document["fqdn"].as_str() else {
            // A machine that is to join nothing: it runs.
            report.booted();
            return std::future::pending().await;
        };
        let name = files.machine_json["hostname"].as_str().unwrap_or_default();
        if let Err(error) = self.0.register(fqdn, name, &document["labels"]).await {
            report.log(&format!("{error:#}"));
            return NO_API_SERVER;
        }
        report.booted();
        std::future::pending().await
    }
}
