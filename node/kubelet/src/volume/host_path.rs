//! `hostPath`: a path of the node, checked or made as its type says.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Checks the path against its type, making it where the type says so.
pub fn check(path: &str, kind: &str) -> Result<(), String> {
    let place = Path::new(path);
    if place.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(format!("hostPath {path:?} must not contain '..'"));
    }
    let failed = |error: std::io::Error| format!("failed to create {path}: {error}");
    match kind {
        "DirectoryOrCreate" if !place.exists() => {
            fs::create_dir_all(place).map_err(failed)?;
            return fs::set_permissions(place, fs::Permissions::from_mode(0o755)).map_err(failed);
        }
        "FileOrCreate" if !place.exists() => {
            fs::write(place, b"").map_err(failed)?;
            return fs::set_permissions(place, fs::Permissions::from_mode(0o644)).map_err(failed);
        }
        _ => {}
    }
    let seen = fs::metadata(place).ok().map(|meta| meta.file_type());
    let is = |check: fn(&fs::FileType) -> bool| seen.as_ref().is_some_and(check);
    let (fine, what) = match kind {
        "" => return Ok(()),
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(FileTypeExt::is_socket), "a socket file"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "a character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "a block device"),
        _ => return Err(format!("{kind} is an invalid volume type")),
    };
    if fine { Ok(()) } else { Err(format!("hostPath type check failed: {path} is not {what}")) }
}
