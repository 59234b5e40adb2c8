//! `lazurite up`: the service in the background, answering when this returns.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{FabricChoice, Serve, doctor, env, logs, remote};
use crate::place::{Home, ServiceFile, State};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// How to start.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    serve: Serve,
}

impl Up {
    pub(crate) fn run(self) -> Result<()> {
        let state = State::locate();
        if let Some(running) = state.running() {
            eprintln!("Lazurite {} runs already (pid {}).", running.version, running.pid);
            next_steps(&running);
            return Ok(());
        }
        if self.serve.fabric == FabricChoice::Auto
            && let Some(reason) = doctor::why_only_simulated()
        {
            eprintln!("Nodes will be simulated: {reason}.");
            eprintln!("Pods will not run processes. `lazurite doctor` says how to get real nodes.");
        }
        let begun = Instant::now();
        let mut child = self.start(&state)?;
        let running = wait_until_ready(&state, &mut child)?;
        eprintln!("Lazurite {} answers after {:.2} s.", running.version, begun.elapsed().as_secs_f64());
        next_steps(&running);
        Ok(())
    }

    fn start(&self, state: &State) -> Result<std::process::Child> {
        kit::files::make_dir(state.path())?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(state.log_file())
            .with_context(|| format!("failed to open `{}`", state.log_file().display()))?;
        let program = std::env::current_exe().context("failed to find this program")?;
        let fabric = match self.serve.fabric {
            FabricChoice::Auto => "auto",
            FabricChoice::Linux => "linux",
            FabricChoice::Simulated => "simulated",
        };
        Command::new(program)
            .args(["serve", "--fabric", fabric])
            .arg("--listen")
            .arg(self.serve.listen.to_string())
            .arg("--api-listen")
            .arg(self.serve.api_listen.to_string())
            .args(
                self.serve
                    .proxy_listen
                    .iter()
                    .flat_map(|address| ["--proxy-listen".to_owned(), address.to_string()]),
            )
            .args(self.serve.commands.arguments())
            .args(self.serve.etcd.arguments())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("failed to share the log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("failed to start the service")
    }
}

fn wait_until_ready(state: &State, child: &mut std::process::Child) -> Result<ServiceFile> {
    let begun = Instant::now();
    let own = i32::try_from(child.id()).unwrap_or_default();
    loop {
        if let Some(status) = child.try_wait().context("failed to watch the service")? {
            logs::print_tail(state, 20)?;
            bail!("the service ended at once ({status}); its log is above");
        }
        if let Some(running) = state.running().filter(|running| running.pid == own)
            && remote::answers(&running)
        {
            return Ok(running);
        }
        if begun.elapsed() > READY_LIMIT {
            logs::print_tail(state, 20)?;
            bail!("the service does not answer after {} s; its log is above", READY_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn next_steps(running: &ServiceFile) {
    let home = Home::locate();
    eprintln!();
    eprintln!("  front door   https://localhost:{}", running.front.port());
    eprintln!("  portal       https://localhost:{}/portal", running.front.port());
    eprintln!("  nodes        {}", if running.fabric == "linux" { "real" } else { "simulated" });
    eprintln!("  credentials  {}", home.path().display());
    eprintln!();
    eprintln!("Next, in a shell:");
    eprintln!("  eval \"$(make -s env)\"        # or: eval \"$(lazurite env)\"");
    let az = if env::has_az() { "az" } else { "lazurite" };
    eprintln!("  {az} group create -n rg-dev -l eastus");
    eprintln!("  {az} aks create -g rg-dev -n dev-cluster --node-count 3 --generate-ssh-keys");
    eprintln!("  {az} aks get-credentials -g rg-dev -n dev-cluster");
    eprintln!("  kubectl get nodes -o wide");
    if !env::has_az() {
        eprintln!();
        eprintln!("az is not on the PATH, so `lazurite aks create` and its like stand in for it here.");
        eprintln!("{}", env::HOW_TO_GET_AZ);
    }
}
