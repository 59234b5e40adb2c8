//! The public key for the nodes' administrator: given, found in `~/.ssh`, or made by ssh-keygen.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The flags about it.
#[derive(Debug, clap::Args)]
pub(super) struct SshKey {
    /// Public key, or the file it is in; ~/.ssh/id_rsa.pub if not given.
    #[arg(long)]
    ssh_key_value: Option<String>,
    /// Make a key when there is none.
    #[arg(long)]
    generate_ssh_keys: bool,
    /// Nodes without any key.
    #[arg(short = 'x', long)]
    no_ssh_key: bool,
}

impl SshKey {
    /// The public key; `None` when nodes are to have none.
    pub(super) fn public_key(&self) -> Result<Option<String>> {
        if self.no_ssh_key {
            return Ok(None);
        }
        if let Some(given) = self.ssh_key_value.as_deref().filter(|given| is_public_key(given)) {
            return Ok(Some(given.to_owned()));
        }
        let file = match &self.ssh_key_value {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh/id_rsa.pub"),
        };
        if !file.exists() && self.generate_ssh_keys && !generate(&file.with_extension(""))? {
            eprintln!("WARNING: ssh-keygen is not installed; the nodes get no SSH key.");
            return Ok(None);
        }
        match std::fs::read_to_string(&file) {
            Ok(text) if is_public_key(&text) => Ok(Some(text)),
            Ok(_) => bail!("`{}` is not an SSH public key", file.display()),
            Err(_) => bail!(
                "An RSA key file or key value must be supplied to SSH Key Value. You can use --generate-ssh-keys to \
                 let CLI generate one for you"
            ),
        }
    }
}

fn is_public_key(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let kind = words.next().unwrap_or_default();
    (kind.starts_with("ssh-") || kind.starts_with("ecdsa-")) && words.next().is_some()
}

/// Makes a key pair; `false` when there is no ssh-keygen.
fn generate(private: &std::path::Path) -> Result<bool> {
    if let Some(dir) = private.parent() {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("failed to create directory `{}`", dir.display()))?;
    }
    if private.exists() {
        bail!("`{}` exists without its public key", private.display());
    }
    let ran = Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-f"])
        .arg(private)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match ran {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => bail!("ssh-keygen failed ({status})"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("failed to run ssh-keygen"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_told_from_a_file_name() {
        assert!(super::is_public_key("ssh-rsa AAAA me@here"));
        assert!(super::is_public_key("ecdsa-sha2-nistp256 AAAA"));
        assert!(!super::is_public_key("/home/me/.ssh/id_rsa.pub"));
        assert!(!super::is_public_key("ssh-key.pub"));
    }
}
