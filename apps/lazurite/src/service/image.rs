//! Lazurite's own image: the static program of the add-ons as pause container, DNS, sample and registry check, in one OCI archive.
//!
//! The archive has one uncompressed layer shared by all names, so a node unpacks it once. It is made
//! again only when the program changes, and its bytes depend on nothing but the program.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The image every node has: pause and the add-ons.
pub(crate) fn system_image() -> String {
    format!("lazurite.azurecr.io/lazurite:{}", env!("CARGO_PKG_VERSION"))
}

/// The sample workload, the same layer under another command.
pub(crate) const SAMPLE_IMAGE: &str = "lazurite.azurecr.io/hello:1";

/// What `az aks check-acr` runs, by the name it has there.
const CANIPULL_IMAGE: &str = "mcr.microsoft.com/aks/canipull:v0.1.0";

/// What stands beside this program for containers.
const FOR_CONTAINERS: &str = "lazurite-addons";

/// The program to put into the image: the one for containers beside `this`, else `this`, which is that too but five times
/// as large, for who copied one file.
pub(crate) fn program(this: &Path) -> PathBuf {
    let beside = this.with_file_name(FOR_CONTAINERS);
    if beside.is_file() { beside } else { this.to_owned() }
}

/// Makes the archive in `images` unless the one of this very program is there; removes older ones.
pub(crate) fn ensure(program: &Path, images: &Path) -> Result<PathBuf> {
    let binary = kit::files::read(program)?;
    let digest = hex::encode(Sha256::digest(&binary));
    let path = images.join(format!("lazurite-{}.tar", &digest[..16]));
    if path.exists() {
        return Ok(path);
    }
    kit::files::make_dir(images)?;
    let archive = archive(&binary)?;
    for entry in std::fs::read_dir(images).context("failed to list images")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("lazurite-") {
            kit::files::remove(&entry.path())?;
        }
    }
    kit::files::write_atomic(&path, &archive, kit::files::Readers::Everyone)?;
    Ok(path)
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: hex::encode(Sha256::digest(&bytes)), bytes }
    }

    fn json(value: &Value) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?))
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

fn archive(binary: &[u8]) -> Result<Vec<u8>> {
    let config = |command: &[&str]| {
        json!({"Entrypoint": ["/lazurite"], "Cmd": command,
               "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
               "WorkingDir": "/"})
    };
    // Its caller gives arguments in place of the command.
    let mut canipull = config(&[]);
    canipull["Entrypoint"] = json!(["/lazurite", "addon", "canipull"]);
    let images = [
        (system_image(), config(&["addon", "pause"])),
        (SAMPLE_IMAGE.to_owned(), config(&["addon", "sample"])),
        (CANIPULL_IMAGE.to_owned(), canipull),
    ];
    pack(layer(binary)?, &images)
}

/// An OCI archive of images that are one uncompressed layer under several names, each with its own configuration.
pub(super) fn pack(layer: Vec<u8>, images: &[(String, Value)]) -> Result<Vec<u8>> {
    let layer = Blob::new(layer);
    let mut blobs = Vec::new();
    let mut manifests = Vec::new();
    for (name, config) in images {
        let config = Blob::json(&json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]}}))?;
        let manifest = Blob::json(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")]}))?;
        let mut entry = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let tag = name.rsplit(':').next().unwrap_or("latest");
        entry["annotations"] =
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
        manifests.push(entry);
        blobs.extend([config, manifest]);
    }
    blobs.push(layer);
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}))?;

    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    append(&mut tar, "index.json", &index, 0o644)?;
    for blob in &blobs {
        append(&mut tar, &format!("blobs/sha256/{}", blob.digest), &blob.bytes, 0o644)?;
    }
    tar.into_inner().context("failed to finish the image archive")
}

/// One layer: the program, and the few files a program without libc still looks for.
fn layer(binary: &[u8]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::with_capacity(binary.len() + 16 * 1024));
    append(&mut tar, "lazurite", binary, 0o755)?;
    append(&mut tar, "etc/passwd", b"root:x:0:0:root:/:/lazurite\n", 0o644)?;
    append(&mut tar, "etc/group", b"root:x:0:\n", 0o644)?;
    tar.into_inner().context("failed to finish the image's layer")
}

/// Adds a file to an archive, the same each time.
pub(super) fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_cksum();
    tar.append_data(&mut header, path, bytes).with_context(|| format!("failed to add `{path}` to an archive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_holds_one_layer_under_three_names_and_is_reproducible() {
        let one = archive(b"program").unwrap();
        assert_eq!(one, archive(b"program").unwrap());
        let mut names = Vec::new();
        for entry in tar::Archive::new(one.as_slice()).entries().unwrap() {
            names.push(entry.unwrap().path().unwrap().display().to_string());
        }
        assert_eq!(names.iter().filter(|name| name.starts_with("blobs/")).count(), 7);
    }
}
