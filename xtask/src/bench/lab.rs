//! A service of our own: fresh state, free ports, gone afterwards.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(60);

/// What nodes are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fabric {
    /// Nodes in the API only.
    Simulated,
    /// Machines of namespaces.
    Linux,
}

impl Fabric {
    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Fabric::Simulated => "simulated",
            Fabric::Linux => "linux",
        }
    }
}

/// A service and its directories.
pub struct Lab {
    dir: TempDir,
    binary: PathBuf,
    fabric: Fabric,
    front: u16,
    api: u16,
    service: Option<Child>,
}

impl Lab {
    /// Directories and ports; nothing runs yet.
    pub fn new(binary: &Path, fabric: Fabric) -> Result<Self> {
        Ok(Self {
            dir: tempfile::Builder::new().prefix("lazurite-bench-").tempdir()?,
            binary: binary.to_owned(),
            fabric,
            front: free_port()?,
            api: free_port()?,
            service: None,
        })
    }

    /// Starts the service; returns how long it took from its process's start to its first answer.
    pub async fn start(&mut self) -> Result<Duration> {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log"))?;
        let begun = Instant::now();
        let child = self
            .command()
            .args(["serve", "--fabric", self.fabric.word()])
            .args(["--listen", &format!("127.0.0.1:{}", self.front)])
            .args(["--api-listen", &format!("127.0.0.1:{}", self.api)])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("failed to start the service")?;
        self.service = Some(child);
        // Nothing tells from outside when the port is bound; a refused connection costs microseconds.
        while !self.answers().await {
            if begun.elapsed() > START_LIMIT {
                bail!("the service does not answer within {} s", START_LIMIT.as_secs());
            }
            if let Some(child) = &mut self.service
                && let Some(status) = child.try_wait()?
            {
                bail!("the service ended at once ({status})");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(begun.elapsed())
    }

    async fn answers(&self) -> bool {
        let Ok(client) = self.client() else { return false };
        let Ok(request) = http::Request::get(format!("{}/healthz", self.origin())).body(kit::http::empty())
        else {
            return false;
        };
        client.send(request).await.is_ok_and(|response| response.status().is_success())
    }

    /// A client that trusts this service's front door.
    pub fn client(&self) -> Result<kit::client::Client> {
        let authority = kit::files::read_string(&self.home().join("ca.crt"))?;
        Ok(kit::client::Client::new(&authority, None, kit::names::Names::new(), Some("localhost"))?)
    }

    /// The front door.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.front)
    }

    /// The user's files.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The service's process.
    pub fn pid(&self) -> Result<i32> {
        let child = self.service.as_ref().context("the service does not run")?;
        Ok(i32::try_from(child.id())?)
    }

    /// Ends the service as a power cut would; its state stays.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.service.take() {
            child.kill().context("failed to kill the service")?;
            child.wait()?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.service.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > START_LIMIT {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("LAZURITE_STATE", self.dir.path().join("state"))
            .env("LAZURITE_HOME", self.home())
            .env_remove("SUDO_UID")
            .current_dir("/");
        command
    }

    fn purge(&mut self) -> Result<()> {
        self.stop()?;
        let output =
            self.command().args(["down", "--purge"]).output().context("failed to run `lazurite down`")?;
        if !output.status.success() {
            bail!("`lazurite down --purge` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Stops the service and takes everything of it off the machine.
    pub fn finish(mut self) -> Result<()> {
        self.purge()
    }
}

impl Drop for Lab {
    /// After a failure the machine is given back too, and the end of the log is shown.
    fn drop(&mut self) {
        if !self.dir.path().join("state").exists() {
            return;
        }
        if let Ok(log) = std::fs::read_to_string(self.dir.path().join("log")) {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the end of the service's log\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
        if let Err(error) = self.purge() {
            eprintln!("bench: {error:#}");
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
