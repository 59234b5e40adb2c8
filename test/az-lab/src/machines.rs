//! Machines that are on as soon as they are started, and do nothing.

use async_trait::async_trait;
use fabric::{Booted, MachineFiles, MachineStarter};

pub(crate) struct Idle;

#[async_trait]
impl MachineStarter for Idle {
    async fn run(&self, _: MachineFiles, report: Booted) -> i32 {
        report.booted();
        std::future::pending().await
    }
}
