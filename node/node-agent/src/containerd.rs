//! containerd: its configuration, its start, and a new start when it dies.

use std::fmt::Write;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kit::files::{Readers, read, write_atomic};
use linux::Process;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::document::{Bootstrap, RegistryMirror};
use crate::error::{BootError, Cause};

/// Where it listens.
pub(crate) const SOCKET: &str = "/run/containerd/containerd.sock";
const CONFIG: &str = "etc/containerd/config.toml";
const CERTIFICATES: &str = "/etc/containerd/certs.d";
const PROCESS: &str = "/run/lazurite-containerd.json";
const LOG: &str = "/var/log/containerd.log";
const START_LIMIT: Duration = Duration::from_secs(30);
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Plugins that would only look for what is not there, and log that they did not find it.
const DISABLED: [&str; 6] = [
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.opt",
    "io.containerd.tracing.processor.v1.otlp",
];

/// Writes the configuration below `root`. Not synced to disk: every boot writes it anew.
pub(crate) fn configure(root: &Path, bootstrap: &Bootstrap) -> Result<(), BootError> {
    let overlay = linux::mount::supports_overlay_upper(&root.join("var/lib/containerd"));
    let files = files(bootstrap, if overlay { "overlayfs" } else { "native" });
    for (path, text) in files {
        let path = root.join(path);
        let written =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|e| BootError::Containerd(e.into()))?;
    }
    Ok(())
}

fn files(bootstrap: &Bootstrap, snapshotter: &str) -> Vec<(String, String)> {
    let mut files = vec![(CONFIG.to_owned(), config(&bootstrap.system_image, snapshotter))];
    let Some(mirror) = &bootstrap.registry_mirror else { return files };
    let below = CERTIFICATES.trim_start_matches('/');
    let (host, ca) = (mirror.server.trim_start_matches("https://"), format!("{CERTIFICATES}/mirror-ca.crt"));
    let hosts = hosts(mirror, &ca);
    files.push((format!("{below}/mirror-ca.crt"), mirror.ca_pem.clone()));
    files.push((format!("{below}/_default/hosts.toml"), hosts.clone()));
    files.push((format!("{below}/{host}/hosts.toml"), format!("server = {:?}\n{hosts}", mirror.server)));
    files
}

fn config(system_image: &str, snapshotter: &str) -> String {
    let disabled: Vec<String> = DISABLED.iter().map(|name| format!("{name:?}")).collect();
    let mut text = String::new();
    let _ = write!(
        text,
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [{disabled}]

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {system_image:?}
  # Lowering a score below the daemon's own needs CAP_SYS_RESOURCE, which a machine may not have.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{CERTIFICATES}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#,
        disabled = disabled.join(", "),
    );
    text
}

fn hosts(mirror: &RegistryMirror, ca: &str) -> String {
    format!("[host.{:?}]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = {ca:?}\n", mirror.server)
}

/// A running containerd: started here, or left by an agent that was here before.
enum Running {
    Started(Child),
    Adopted(Process),
}

impl Running {
    async fn ended(&mut self) -> io::Result<()> {
        match self {
            Running::Started(child) => child.wait().await.map(drop),
            Running::Adopted(process) => process.ended().await,
        }
    }
}

/// Starts containerd, or finds the one that runs, and keeps it running. Returns when it answers.
pub(crate) async fn start(tasks: &kit::Tasks) -> Result<(), BootError> {
    let failed = BootError::Containerd;
    let mut running = match adopt().await {
        Some(running) => running,
        None => spawn().map_err(failed)?,
    };
    tokio::select! {
        answers = answers() => answers.map_err(failed)?,
        ended = running.ended() => {
            let how = ended.map_or_else(|e| e.to_string(), |()| "it ended at once".into());
            return Err(failed(format!("{how}; its log is `{LOG}`").into()));
        }
    }
    tasks.spawn("containerd", async move {
        loop {
            let _ = running.ended().await;
            tracing::error!("containerd ended; it is started again");
            sleep(RESTART_PAUSE).await;
            match spawn() {
                Ok(started) => running = started,
                Err(error) => {
                    tracing::error!(error = %kit::Chain(error.as_ref()), "failed to start containerd")
                }
            }
        }
    });
    Ok(())
}

async fn adopt() -> Option<Running> {
    let process: Process = serde_json::from_slice(&read(Path::new(PROCESS)).ok()?).ok()?;
    let usable = process.is_alive() && UnixStream::connect(SOCKET).await.is_ok();
    usable.then_some(Running::Adopted(process))
}

fn spawn() -> Result<Running, Cause> {
    let log = OpenOptions::new().create(true).append(true).open(LOG)?;
    let child = Command::new("containerd")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Lives on when the agent is restarted.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or("it ended at once")?;
    let process = serde_json::to_vec(&Process::of(pid)?)?;
    write_atomic(Path::new(PROCESS), &process, Readers::Owner)?;
    Ok(Running::Started(child))
}

/// Waits until somebody answers at the socket. A stale socket of a killed daemon refuses, so a connection decides.
async fn answers() -> Result<(), Cause> {
    let socket = Path::new(SOCKET);
    let (directory, name) = (Path::new("/run/containerd"), "containerd.sock");
    kit::files::make_dir(directory)?;
    let waiting = async {
        linux::watch::file_appears(directory, name).await?;
        let end = Instant::now() + START_LIMIT;
        // Between bind and listen are microseconds.
        while let Err(error) = UnixStream::connect(socket).await {
            if Instant::now() > end {
                return Err(error);
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    };
    timeout(START_LIMIT, waiting).await.map_err(|_| "it does not answer")??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_asked_through_the_mirror() {
        let mirror = RegistryMirror { server: "https://lazurite.azurecr.io".into(), ca_pem: "PEM".into() };
        expect_test::expect![[r#"
            [host."https://lazurite.azurecr.io"]
              capabilities = ["pull", "resolve"]
              ca = "/etc/containerd/certs.d/mirror-ca.crt"
        "#]]
        .assert_eq(&hosts(&mirror, "/etc/containerd/certs.d/mirror-ca.crt"));
    }
}
