//! Running `az`.

use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Lab;

/// The `az` that `LAZURITE_TEST_AZ` names, or the one on `PATH`.
pub fn az_program() -> Option<PathBuf> {
    let named = std::env::var_os("LAZURITE_TEST_AZ").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    named.into_iter().chain(std::env::split_paths(&path).map(|d| d.join("az"))).find(|p| p.is_file())
}

impl Lab {
    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let proxy = format!("http://{}", self.proxy);
        let dir = self.dir.path();
        tokio::process::Command::new(&self.program)
            .args(arguments)
            .current_dir(dir)
            .env("AZURE_CONFIG_DIR", dir.join("az"))
            .env("HOME", dir)
            .env("HTTPS_PROXY", &proxy)
            .env("https_proxy", &proxy)
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env("REQUESTS_CA_BUNDLE", dir.join("ca.crt"))
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("AZURE_CORE_NO_COLOR", "true")
            .env("AZURE_CORE_OUTPUT", "json")
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .context("failed to run az")
    }

    /// Signs in as an application.
    pub async fn sign_in(&self, application: &str, secret: &str) -> Result<()> {
        let tenant = self.entra.tenant_id();
        self.az(&["login", "--service-principal", "-u", application, "-p", secret, "--tenant", &tenant])
            .await
            .map(|_| ())
    }

    /// What `az` prints, read as JSON; null when it prints nothing. An error with its words when it fails.
    pub async fn az(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(arguments).await?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "az {arguments:?}: {error}");
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }

    /// The same for a command line without quotes in it.
    pub async fn line(&self, line: &str) -> Result<Value> {
        self.az(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    /// What `az` says when it fails, which it has to.
    pub async fn refused(&self, line: &str) -> Result<String> {
        let output = self.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
        ensure!(!output.status.success(), "az {line} succeeded");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
