//! A machine's disk: a fresh root with what a virtual machine finds at its first boot.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ::linux::cgroup::Limits;
use ::linux::machine::Spec;
use ::linux::root::Shown;
use kit::files::{Readers, make_dir, write_atomic};

use super::config::LinuxConfig;
use super::{Cause, host};
use crate::fabric::FabricError;
use crate::simulated::machine_json;
use crate::wanted::{Machine, Wanted};

/// Copied from the host as they are: lists of public facts, no secrets.
const COPIED: [&str; 8] = [
    "etc/nsswitch.conf",
    "etc/protocols",
    "etc/services",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/localtime",
    "etc/mime.types",
];
const DIRECTORIES: [&str; 20] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "usr",
    "etc",
    "home",
    "mnt",
    "media",
    "srv",
    "opt/cni/bin",
    "var/cache",
    "var/lib/containerd",
    "var/lib/kubelet",
    "var/lib/lazurite/images",
    "var/lib/waagent",
    "var/log",
    "var/tmp",
    "root",
];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";

/// Makes the disk anew.
pub(super) fn image(config: &LinuxConfig, wanted: &Wanted, machine: &Machine) -> Result<(), FabricError> {
    let deed = || format!("image machine {}", machine.id);
    let dir = config.machine_dir(&machine.id);
    let fresh = || -> io::Result<()> {
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for name in DIRECTORIES {
            fs::create_dir_all(dir.join("root").join(name))?;
        }
        fs::create_dir_all(dir.join("usr/bin"))?;
        fs::write(dir.join("usr/bin/lazurite"), "")?;
        fs::create_dir_all(dir.join("run"))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        fs::set_permissions(dir.join("root/root"), fs::Permissions::from_mode(0o700))?;
        fs::set_permissions(dir.join("root/var/tmp"), fs::Permissions::from_mode(0o1777))?;
        copy_public(&dir.join("root"))?;
        for plugin in ["lazurite-cni", "loopback"] {
            symlink("/usr/bin/lazurite", dir.join("root/opt/cni/bin").join(plugin))?;
        }
        symlink("/run", dir.join("root/var/run"))?;
        symlink("/proc/mounts", dir.join("root/etc/mtab"))
    };
    fresh().map_err(host(deed()))?;
    describe(config, wanted, machine).map_err(host(deed()))
}

fn copy_public(root: &Path) -> io::Result<()> {
    for name in COPIED {
        let (from, to) = (Path::new("/").join(name), root.join(name));
        if let (true, Some(parent)) = (from.is_file(), to.parent()) {
            fs::create_dir_all(parent)?;
            fs::copy(&from, &to)?;
        }
    }
    if Path::new("/usr/lib/os-release").exists() {
        symlink("../usr/lib/os-release", root.join("etc/os-release"))?;
    }
    Ok(())
}

/// Writes what tells the machine who it is, and how to start it. Also done before each start.
pub(super) fn describe(config: &LinuxConfig, wanted: &Wanted, machine: &Machine) -> Result<(), Cause> {
    let dir = config.machine_dir(&machine.id);
    let root = dir.join("root");
    let name = &machine.hostname;
    let hosts = format!("127.0.0.1 localhost\n{} {name}\n", machine.address);
    let resolv = resolv_conf(wanted, machine);
    let public = [
        ("etc/hostname", format!("{name}\n")),
        ("etc/hosts", hosts),
        ("etc/resolv.conf", resolv),
        ("etc/passwd", PASSWD.into()),
        ("etc/group", GROUP.into()),
    ];
    for (path, text) in public {
        fs::write(root.join(path), text)?;
    }
    let agent = root.join("var/lib/waagent");
    write_atomic(&agent.join("custom-data"), &machine.custom_data, Readers::Owner)?;
    let identity = serde_json::to_vec_pretty(&machine_json(wanted, machine))?;
    write_atomic(&agent.join("machine.json"), &identity, Readers::Everyone)?;
    make_dir(&config.images_dir)?;
    let spec = serde_json::to_vec_pretty(&spec(config, machine))?;
    write_atomic(&dir.join(::linux::machine::SPEC), &spec, Readers::Owner)?;
    Ok(())
}

/// Who the machine asks for names: its network's own servers, else the platform's.
fn resolv_conf(wanted: &Wanted, machine: &Machine) -> String {
    let network = wanted.networks.iter().find(|n| n.id == machine.network);
    let servers = network.map(|n| n.dns_servers.as_slice()).filter(|servers| !servers.is_empty());
    let servers = servers.unwrap_or(&[crate::plan::WIRE_SERVER]);
    // The resolver of libc takes three.
    let lines: String = servers.iter().take(3).map(|server| format!("nameserver {server}\n")).collect();
    format!("{lines}search internal.cloudapp.net\n")
}

fn spec(config: &LinuxConfig, machine: &Machine) -> Spec {
    let dir = config.machine_dir(&machine.id);
    let shown = |source: &Path, target: &str, read_only| Shown {
        source: source.to_owned(),
        target: target.into(),
        read_only,
    };
    let host_cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Spec {
        hostname: machine.hostname.clone(),
        netns: config.machine(&machine.id).path().to_owned(),
        root: dir.join("root"),
        usr: dir.join("usr"),
        shown: vec![
            shown(&config.binary, "/usr/bin/lazurite", true),
            shown(&config.images_dir, "/var/lib/lazurite/images", true),
            shown(&dir.join("run"), "/run/lazurite", false),
        ],
        cgroup: config.cgroup(&machine.id),
        limits: Limits {
            memory_bytes: Some(machine.memory_bytes).filter(|bytes| *bytes > 0),
            cpus: Some(machine.cpus).filter(|cpus| *cpus > 0 && (*cpus as usize) < host_cpus),
        },
        boot: ["/usr/bin/lazurite", "node", "boot"].map(String::from).to_vec(),
        environment: vec![
            ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("HOME".into(), "/root".into()),
            ("LANG".into(), "C.UTF-8".into()),
        ],
    }
}
