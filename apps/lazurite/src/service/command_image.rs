//! The image in which commands run: this host's busybox, kubectl and helm.
//!
//! It is made at the first command and kept in the built-in registry, under a tag that is what it holds; an update of
//! a program on the host makes a new one. Programs in it must be linked statically: it has no libraries.
//!
//! Does not: fetch anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use container_service::ControlPlaneError;
use parking_lot::Mutex;
use providers::registry::Registry;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::hosting::failed;
use super::image;

/// The name AKS's image has.
const NAME: &str = "mcr.microsoft.com/aks/command/runtime";

/// Programs on this host that were named, where the PATH is not to be searched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Programs {
    /// kubectl.
    pub(crate) kubectl: Option<PathBuf>,
    /// helm.
    pub(crate) helm: Option<PathBuf>,
}

/// Makes the image.
pub(crate) struct CommandImage {
    registry: Arc<Registry>,
    programs: Programs,
    /// The image of the programs as they were.
    made: Mutex<Option<(Vec<Stamp>, String)>>,
}

/// A file as it was: another size or time means another file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(PathBuf, u64, Option<SystemTime>);

impl Stamp {
    fn of(path: &Path) -> Result<Self> {
        let about =
            std::fs::metadata(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        Ok(Self(path.to_owned(), about.len(), about.modified().ok()))
    }
}

/// What is in the image.
#[derive(Debug)]
struct Found {
    busybox: PathBuf,
    kubectl: PathBuf,
    helm: Option<PathBuf>,
}

impl CommandImage {
    /// An image of these programs in this registry; nothing is made yet.
    pub(crate) fn new(registry: Arc<Registry>, programs: Programs) -> Self {
        Self { registry, programs, made: Mutex::default() }
    }

    /// The image's name; it is in the registry then. Blocks.
    pub(crate) fn ensure(&self) -> Result<String, ControlPlaneError> {
        let found = find(&self.programs, on_path)
            .map_err(|reason| ControlPlaneError::Lacking { reason: reason.to_string() })?;
        self.make(&found).map_err(failed("make the image of commands"))
    }

    fn make(&self, found: &Found) -> Result<String> {
        let files = [Some(&found.busybox), Some(&found.kubectl), found.helm.as_ref()];
        let stamps: Vec<Stamp> =
            files.into_iter().flatten().map(|path| Stamp::of(path)).collect::<Result<_>>()?;
        // One at a time: whoever comes second finds what the first made.
        let mut made = self.made.lock();
        if let Some((before, name)) = made.as_ref()
            && *before == stamps
        {
            return Ok(name.clone());
        }
        let layer = layer(found)?;
        let name = format!("{NAME}:{}", &hex::encode(Sha256::digest(&layer))[..16]);
        if !self.registry.images().context("failed to list images")?.contains(&name) {
            let config = json!({ "Cmd": ["/bin/sh"], "WorkingDir": "/",
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/sbin"] });
            let archive = image::pack(layer, &[(name.clone(), config)])?;
            self.registry.load_archive(&archive, None).context("failed to load the image")?;
        }
        *made = Some((stamps, name.clone()));
        Ok(name)
    }
}

/// Why there is no image.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    None { program: &'static str, install: &'static str, or: &'static str },
    Dynamic { path: String, install: &'static str, or: &'static str },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commands run in an image of this host's programs, and ")?;
        let (install, or) = match self {
            Missing::None { program, install, or } => {
                write!(f, "it has no {program}.")?;
                (install, or)
            }
            Missing::Dynamic { path, install, or } => {
                write!(f, "'{path}' cannot be in it: it is no statically linked program.")?;
                (install, or)
            }
        };
        write!(f, " Install {install} on the host of the service{or}.")
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn find(programs: &Programs, on_path: impl Fn(&str) -> Option<PathBuf>) -> Result<Found, Missing> {
    let wanted = |program: &'static str, named: &Option<PathBuf>, install, or| {
        let found = named.clone().or_else(|| on_path(program));
        let path = found.ok_or(Missing::None { program, install, or })?;
        match is_static(&path) {
            true => Ok(path),
            false => Err(Missing::Dynamic { path: path.display().to_string(), install, or }),
        }
    };
    let busybox = wanted("busybox", &None, "busybox (Debian's package busybox-static)", "")?;
    let kubectl = wanted(
        "kubectl",
        &programs.kubectl,
        "kubectl",
        ", or start the service with LAZURITE_COMMAND_KUBECTL=<path of a kubectl>",
    )?;
    let helm = wanted(
        "helm",
        &programs.helm,
        "helm",
        ", or start the service with LAZURITE_COMMAND_HELM=<path of a helm>",
    );
    let helm = match helm {
        Ok(path) => Some(path),
        // Only those who call it miss it, and they are told.
        Err(Missing::None { .. }) => None,
        Err(missing) => return Err(missing),
    };
    Ok(Found { busybox, kubectl, helm })
}

/// Whether a file is a program for this machine that asks for no interpreter.
fn is_static(path: &Path) -> bool {
    std::fs::File::open(path).and_then(|file| interpreted(&file)).is_ok_and(|interpreted| !interpreted)
}

/// Whether an ELF program asks for an interpreter (a segment `PT_INTERP`).
fn interpreted(file: &std::fs::File) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt;
    const INTERPRETER: u32 = 3;
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(invalid());
    }
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let table = u64::from_le_bytes(header[32..40].try_into().map_err(|_| invalid())?);
    let (entry_bytes, entries) = (u64::from(number(54)), u64::from(number(56)));
    for entry in 0..entries {
        let mut kind = [0; 4];
        file.read_exact_at(&mut kind, table + entry * entry_bytes)?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            return Ok(true);
        }
    }
    Ok(false)
}

const NO_HELM: &str = "#!/bin/sh\n\
    echo 'helm was not on the host of the service when this image was made: install it there, or start the service with \
    LAZURITE_COMMAND_HELM=<path of a helm>' >&2\nexit 127\n";

fn layer(found: &Found) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    image::append(&mut tar, "bin/busybox", &kit::files::read(&found.busybox)?, 0o755)?;
    for applet in applets(&found.busybox)? {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_mtime(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "/bin/busybox")
            .with_context(|| format!("failed to add `{applet}` to an archive"))?;
    }
    image::append(&mut tar, "usr/local/bin/kubectl", &kit::files::read(&found.kubectl)?, 0o755)?;
    let helm = found.helm.as_ref().map_or_else(|| Ok(NO_HELM.into()), |path| kit::files::read(path))?;
    image::append(&mut tar, "usr/local/bin/helm", &helm, 0o755)?;
    image::append(&mut tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    image::append(&mut tar, "etc/group", b"root:x:0:\n", 0o644)?;
    image::append(&mut tar, "tmp/.keep", b"", 0o644)?;
    tar.into_inner().context("failed to finish the image's layer")
}

/// The names busybox goes by.
fn applets(busybox: &Path) -> Result<Vec<String>> {
    let output = std::process::Command::new(busybox)
        .arg("--list")
        .output()
        .with_context(|| format!("failed to run `{}`", busybox.display()))?;
    let listed = String::from_utf8(output.stdout).context("busybox lists its programs unreadably")?;
    let is_name = |name: &&str| !name.is_empty() && !name.contains('/') && *name != "busybox";
    Ok(listed.lines().map(str::trim).filter(is_name).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of no content: an ELF header and segments of these kinds.
    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(kinds.len()).unwrap();
        for kind in kinds {
            let mut segment = vec![0; 56];
            segment[..4].copy_from_slice(&kind.to_le_bytes());
            bytes.extend(segment);
        }
        bytes
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_install() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (whole, linked) = (write("whole", &program(&[1])), write("linked", &program(&[1, 3])));
        let script = write("script", b"#!/bin/sh\n");
        let verdict = |busybox: Option<&PathBuf>, kubectl: Option<&PathBuf>, helm: Option<&PathBuf>| {
            let programs = Programs { kubectl: kubectl.cloned(), helm: helm.cloned() };
            match find(&programs, |program| busybox.filter(|_| program == "busybox").cloned()) {
                Ok(found) => format!("helm {}", found.helm.is_some()),
                Err(missing) => missing.to_string(),
            }
        };
        let some = Some(&whole);
        assert_eq!(verdict(some, some, some), "helm true");
        assert_eq!(verdict(some, some, None), "helm false");
        for (said, parts) in [
            (verdict(None, some, None), ["no busybox", "busybox-static"]),
            (verdict(some, None, None), ["no kubectl", "LAZURITE_COMMAND_KUBECTL"]),
            (verdict(some, Some(&linked), None), ["/linked'", "statically linked"]),
            (verdict(some, some, Some(&script)), ["/script'", "LAZURITE_COMMAND_HELM"]),
        ] {
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }
}
