//! A test image with a shell, made here: busybox, statically linked, in an OCI archive.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Where Debian's busybox-static puts it.
const BUSYBOX: &str = "/bin/busybox";
/// Programs the tests call.
const APPLETS: [&str; 13] =
    ["sh", "nc", "httpd", "sleep", "cat", "echo", "ls", "hostname", "id", "env", "touch", "true", "mkdir"];

/// Writes the archive of `docker.io/library/busybox:1` to `path`; with `program` as `/bin/lazurite`, since
/// Debian's static busybox cannot resolve names (it has no name service of its own).
pub fn write_busybox(path: &Path, program: &Path) -> Result<()> {
    let binary = std::fs::read(BUSYBOX).context("busybox-static is not installed")?;
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "bin/busybox", &binary, 0o755)?;
    let program =
        std::fs::read(program).with_context(|| format!("failed to read `{}`", program.display()))?;
    add(&mut tar, "bin/lazurite", &program, 0o755)?;
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        tar.append_link(&mut header, format!("bin/{applet}"), "/bin/busybox")?;
    }
    add(&mut tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", 0o644)?;
    add(&mut tar, "etc/group", b"root:x:0:\nnobody:x:65534:\n", 0o644)?;
    add(&mut tar, "tmp/.keep", b"", 0o644)?;
    let layer = tar.into_inner()?;
    write_archive(path, &layer, "docker.io/library/busybox:1")
}

/// Writes the archive of an image `name` with one small file: something to push around, not to run.
pub fn write_small(path: &Path, name: &str) -> Result<()> {
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "etc/motd", b"hello\n", 0o644)?;
    write_archive(path, &tar.into_inner()?, name)
}

fn write_archive(path: &Path, layer: &[u8], name: &str) -> Result<()> {
    let config = serde_json::to_vec(&json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": layer.len()}]}))?;
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(&manifest), "size": manifest.len(),
                       "annotations": {"io.containerd.image.name": name}}]}))?;
    let mut archive = tar::Builder::new(std::fs::File::create(path)?);
    add(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    add(&mut archive, "index.json", &index, 0o644)?;
    for blob in [layer, &config, &manifest] {
        add(&mut archive, &format!("blobs/{}", digest(blob).replace(':', "/")), blob, 0o644)?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn add<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, bytes)?;
    Ok(())
}
