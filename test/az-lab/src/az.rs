//! Running `az`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
    /// A program in the laboratory's folder and environment. What a transcript may want to know is there too: `FRONT` is
    /// the front door's own address, `TENANT`, `APP` and `SECRET` are the owner's.
    fn command(&self, program: &Path) -> Command {
        let proxy = format!("http://{}", self.proxy);
        let dir = self.dir.path();
        let tools = self.program.parent().into_iter().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(tools.chain(std::env::split_paths(&path))).unwrap_or(path);
        let mut command = Command::new(program);
        command
            .current_dir(dir)
            .env("PATH", path)
            .env("FRONT", format!("https://localhost:{}", self.door.port()))
            .env("TENANT", self.entra.tenant_id())
            .env("APP", &self.owner.app_id)
            .env("SECRET", &self.owner.secret)
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
            .stdin(Stdio::null());
        command
    }

    /// Plays the transcript in this file.
    pub async fn play(&self, file: &Path) -> Result<()> {
        // az runs for minutes in all, while the cloud it talks to is on the same runtime.
        tokio::task::block_in_place(|| transcripts::play(|| self.command(Path::new("/bin/bash")), file))
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        tokio::process::Command::from(self.command(&self.program))
            .args(arguments)
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
