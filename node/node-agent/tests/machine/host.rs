//! A machine and the little internet around it, made by hand.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::Netns;
use linux::ip::{Repeat, batch};
use linux::machine::{Exit, Processes, Spec};
use linux::root::Shown;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

pub const FQDN: &str = "test.hcp.eastus.azmk8s.io";
pub const API: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), 443);
pub const FRONT_DOOR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(20, 0, 0, 10), 443);
const LIMIT: Duration = Duration::from_secs(40);

pub fn text(error: impl std::error::Error) -> String {
    kit::Chain(&error).to_string()
}

pub struct Host {
    pub outside: Netns,
    machine: Netns,
    group: String,
    directory: tempfile::TempDir,
}

impl Host {
    pub fn new(name: &str) -> Result<Self, String> {
        let name = format!("lzb{}{name}", std::process::id());
        let (outside, machine) = (Netns::named(&format!("{name}o")), Netns::named(&format!("{name}m")));
        outside.create().map_err(text)?;
        machine.create().map_err(text)?;
        let lines = [
            format!("link add port0 type veth peer name eth0 netns {name}m"),
            "addr add 10.224.0.1/16 dev port0".into(),
            "link set port0 up".into(),
            "addr add 20.1.0.4/32 dev lo".into(),
            "addr add 20.0.0.10/32 dev lo".into(),
        ];
        batch(&outside, &lines, Repeat::Strict).map_err(text)?;
        let lines =
            ["addr add 10.224.0.4/16 dev eth0", "link set eth0 up", "route add default via 10.224.0.1"];
        batch(&machine, &lines.map(String::from), Repeat::Strict).map_err(text)?;
        let directory = tempfile::tempdir().map_err(text)?;
        Ok(Self { outside, machine, group: format!("lazurite-{name}"), directory })
    }

    /// A name service that knows nothing and says so: hosts files know the rest.
    pub async fn names(&self) -> Result<(), String> {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 224, 0, 1), 53);
        let socket = self.outside.bind_udp(address).await.map_err(text)?;
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query).await {
                query[2] = 0x85;
                query[3] = 0x83;
                let _ = socket.send_to(&query[..length], peer).await;
            }
        });
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), String> {
        kit::files::write_atomic(
            &self.path("root").join(name),
            content.as_bytes(),
            kit::files::Readers::Everyone,
        )
        .map_err(text)
    }

    /// Makes the disk and starts the machine. `names`: lines of its `/etc/hosts`.
    pub fn start(&self, names: &str, bootstrap: &Value) -> Result<(), String> {
        let directories = ["opt/cni/bin", "var/lib/containerd", "var/log", "root", "mnt", "home"];
        for name in directories
            .map(|d| format!("root/{d}"))
            .iter()
            .map(String::as_str)
            .chain(["run", "usr/bin", "images"])
        {
            std::fs::create_dir_all(self.path(name)).map_err(text)?;
        }
        std::fs::write(self.path("usr/bin/lazurite"), "").map_err(text)?;
        symlink("/usr/bin/lazurite", self.path("root/opt/cni/bin/lazurite-cni")).map_err(text)?;
        self.write("etc/hosts", &format!("127.0.0.1 localhost\n{names}"))?;
        self.write("etc/resolv.conf", "nameserver 10.224.0.1\noptions timeout:1 attempts:1\n")?;
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
        let machine = json!({
            "id": "00000001", "hostname": "aks-test-000000", "resourceId": "/vm/0", "cpus": 2,
            "memoryBytes": 1u64 << 30, "address": "10.224.0.4", "prefixLength": 16,
            "routedPrefixes": ["10.244.0.0/24"],
        });
        self.write("var/lib/waagent/machine.json", &machine.to_string())?;
        self.write("var/lib/waagent/custom-data", &bootstrap.to_string())?;
        let binary = std::env::current_exe().map_err(text)?;
        let shown = |source: &Path, target: &str, read_only| Shown {
            source: source.to_owned(),
            target: target.into(),
            read_only,
        };
        let spec = Spec {
            hostname: "aks-test-000000".into(),
            netns: self.machine.path().to_owned(),
            root: self.path("root"),
            usr: self.path("usr"),
            shown: vec![
                shown(&binary, "/usr/bin/lazurite", true),
                shown(&self.path("images"), "/var/lib/lazurite/images", true),
                shown(&self.path("run"), "/run/lazurite", false),
            ],
            cgroup: self.group.clone(),
            limits: Default::default(),
            boot: ["/usr/bin/lazurite", "node", "boot"].map(String::from).to_vec(),
            environment: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        };
        std::fs::write(self.path("spec.json"), serde_json::to_vec(&spec).map_err(text)?).map_err(text)?;
        let directory = self.directory.path().display().to_string();
        linux::Command::new([&binary.display().to_string(), "node", "boot"])
            .env(linux::machine::DIRECTORY_VARIABLE, &directory)
            .run()
            .map(drop)
            .map_err(text)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.path(name)).ok()?).ok()
    }

    pub fn processes(&self) -> Option<Processes> {
        self.read(linux::machine::PROCESSES)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path(linux::machine::SERIAL_LOG)).unwrap_or_default()
    }

    async fn appears(&self, directory: &Path, name: &str) -> Result<(), String> {
        match tokio::time::timeout(LIMIT, linux::watch::file_appears(directory, name)).await {
            Ok(done) => done.map_err(text),
            Err(_) => {
                let daemon =
                    std::fs::read_to_string(self.path("root/var/log/containerd.log")).unwrap_or_default();
                Err(format!("`{name}` does not appear\n{}\n{daemon}", self.log()))
            }
        }
    }

    pub async fn booted(&self) -> Result<(), String> {
        let failed = async {
            self.appears(self.directory.path(), linux::machine::EXIT).await.map(|()| Err(self.log()))?
        };
        let run = self.path("run");
        tokio::select! { up = self.appears(&run, "booted") => up, failed = failed => failed }
    }

    pub async fn exit_code(&self) -> Result<i32, String> {
        self.appears(self.directory.path(), linux::machine::EXIT).await?;
        let exit: Option<Exit> = self.read(linux::machine::EXIT);
        exit.map(|e| e.code).ok_or_else(|| "no exit code".into())
    }

    /// Pids of the machine whose command line contains `text`.
    pub fn find(&self, text: &str) -> Vec<i32> {
        let pids = linux::cgroup::Group::new(&self.group).map(|g| g.processes()).unwrap_or_default();
        let line = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pids.into_iter().filter(|pid| line(pid).replace('\0', " ").contains(text)).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(processes) = self.processes() {
            let _ = processes.init.signal(Signal::SIGKILL);
            for _ in 0..500 {
                if !processes.supervisor.is_alive() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = linux::cgroup::Group::new(&self.group).and_then(|g| g.remove());
        let _ = self.machine.delete();
        let _ = self.outside.delete();
        let _ = std::fs::remove_dir(linux::netns::DIRECTORY);
    }
}
