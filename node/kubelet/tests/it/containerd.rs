//! A containerd of the test's own, with an image made on the spot.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Why the test cannot run here, or `None`.
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".into());
    }
    for program in ["containerd", "runc", "ctr", "busybox"] {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|one| one.join(program).exists())
        });
        if !found {
            return Some(format!("{program} is not installed"));
        }
    }
    None
}

pub struct Containerd {
    child: Child,
    pub socket: PathBuf,
    root: PathBuf,
    /// The kubelet's tasks: a test that failed must not start anew what is being removed.
    pub stops: Option<kit::Tasks>,
}

fn spawn(root: &Path) -> Child {
    let log =
        std::fs::OpenOptions::new().append(true).create(true).open(root.join("containerd.log")).unwrap();
    Command::new("containerd")
        .arg("--config")
        .arg(root.join("config.toml"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub const IMAGE: &str = "docker.io/library/busybox:test";

impl Containerd {
    pub async fn start(root: &Path) -> Self {
        let socket = root.join("containerd.sock");
        let text = format!(
            "version = 2\nroot = \"{root}/lib\"\nstate = \"{root}/run\"\ndisabled_plugins = [\"io.containerd.internal.v1.opt\", \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.aufs\"]\n\
             [grpc]\naddress = \"{root}/containerd.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{IMAGE}\"\nrestrict_oom_score_adj = true\nstream_server_address = \"127.0.0.1\"\nstream_server_port = \"0\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"overlayfs\"\ndefault_runtime_name = \"runc\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"{root}/none\"\nconf_dir = \"{root}/none\"\n",
            root = root.display()
        );
        std::fs::write(root.join("config.toml"), text).unwrap();
        let made = Self { child: spawn(root), socket, root: root.to_owned(), stops: None };
        made.until_up().await;
        let archive = root.join("image.tar");
        image(&archive);
        let imported = made.ctr(&["-n", "k8s.io", "images", "import", &archive.display().to_string()]);
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        made
    }

    async fn until_up(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !self.ctr(&["version"]).status.success() {
            let log = std::fs::read_to_string(self.root.join("containerd.log")).unwrap();
            assert!(std::time::Instant::now() < deadline, "containerd: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills the daemon and starts another; containers go on meanwhile.
    pub async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.root);
        self.until_up().await;
    }

    fn ctr(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("ctr").arg("-a").arg(&self.socket).args(arguments).output().unwrap()
    }
}

impl Containerd {
    /// Kills what runs in the cgroups of our containers, which are known by our state directory.
    /// Answers their cgroups.
    fn end_processes(&self) -> Vec<PathBuf> {
        let tasks = self.root.join("run/io.containerd.runtime.v2.task/k8s.io");
        let mut cgroups = Vec::new();
        for container in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let pid = std::fs::read_to_string(container.path().join("init.pid")).unwrap_or_default();
            let Ok(pid) = pid.trim().parse::<i32>() else { continue };
            let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let paths = table.lines().filter_map(|line| line.splitn(3, ':').nth(2));
            cgroups.extend(paths.filter(|path| path.contains("/kubepods/")).map(PathBuf::from));
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        cgroups
    }

    /// A shim whose daemon went first stays; it is known by our socket in its command line.
    fn end_shims(&self) {
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            let pid = entry.file_name().to_string_lossy().parse::<i32>().ok();
            if let Some(pid) =
                pid.filter(|_| command.contains("shim") && command.contains(&*self.socket.to_string_lossy()))
            {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Some(tasks) = &self.stops {
            tasks.stop();
            std::thread::sleep(Duration::from_millis(300));
        }
        let cgroups = self.end_processes();
        // Containers outlive their daemon, so they go first.
        let tasks = self.ctr(&["-n", "k8s.io", "tasks", "ls", "-q"]);
        for id in String::from_utf8_lossy(&tasks.stdout).split_whitespace() {
            self.ctr(&["-n", "k8s.io", "tasks", "rm", "-f", id]);
        }
        let containers = self.ctr(&["-n", "k8s.io", "containers", "ls", "-q"]);
        for id in String::from_utf8_lossy(&containers.stdout).split_whitespace() {
            self.ctr(&["-n", "k8s.io", "containers", "rm", id]);
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        self.end_shims();
        // Pods of a test that failed were not deleted; their cgroups are removed from the leaf up.
        let ours = cgroups.iter().flat_map(|path| [Some(path.as_path()), path.parent()]).flatten();
        for cgroup in ours {
            for controller in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
                let inside = cgroup.strip_prefix("/").unwrap_or(cgroup);
                let _ = std::fs::remove_dir(controller.path().join(inside));
            }
        }
        for class in ["besteffort", "burstable", ""] {
            for controller in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
                // Only what no pod, of this or another test, is in.
                let _ = std::fs::remove_dir(controller.path().join("kubepods").join(class));
            }
        }
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut points: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|point| Path::new(point).starts_with(&self.root))
            .collect();
        points.sort_by_key(|point| std::cmp::Reverse(point.len()));
        for point in points {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// An image of busybox alone, in the form `docker save` writes.
fn image(path: &Path) {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().find(|path| Path::new(path).exists()).unwrap();
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin", "tmp", "etc", "dev", "proc", "sys"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        layer.append_data(&mut header, format!("{directory}/"), std::io::empty()).unwrap();
    }
    layer.append_path_with_name(busybox, "bin/busybox").unwrap();
    for name in
        ["sh", "sleep", "cat", "echo", "true", "false", "id", "ls", "env", "kill", "stat", "nc", "httpd"]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let digest = |bytes: &[u8]| {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(bytes))
    };
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]}
    })
    .to_string();
    let config_name = format!("{}.json", digest(config.as_bytes()));
    let manifest = serde_json::json!([{"Config": config_name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}])
        .to_string();
    let mut archive = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in [
        (config_name.as_str(), config.as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    archive.finish().unwrap();
}
