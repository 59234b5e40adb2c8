//! Sealing what is in the vaults: AES-256-GCM, bound to the entry's key.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::files::{FileError, Readers};

use super::Failure;

const KEY_BYTES: usize = 32;
/// Beside the resource store; whoever loses it loses what is in the vaults.
const KEY_FILE: &str = "key-vault.key";

/// The data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key's file.
    #[error("failed to load the key that seals the vaults")]
    File(#[from] FileError),
    /// The key's file is not what was written.
    #[error("the key that seals the vaults is damaged")]
    Damaged,
    /// What is in the vaults was sealed with a key that is not there.
    #[error(
        "the key that seals the vaults is missing: put `{path}` back from a backup; without it nobody can read what is in them, \
         and a new key would not change that"
    )]
    Missing {
        /// Where it has to be.
        path: String,
    },
    /// The key is a good one, but not that of these vaults.
    #[error(
        "the key in `{path}` is not the one that sealed what is in the vaults: put that one back from a backup"
    )]
    Another {
        /// Where it is.
        path: String,
    },
    /// The store could not be read.
    #[error("failed to read what is in the vaults")]
    Store(#[from] arm::StoreError),
    /// No key could be made.
    #[error("the system gave no random bytes for a key")]
    Random,
}

/// Seals and opens.
pub(super) struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Sealer {
    /// The key in `dir`. It is made when it is not there and nothing was ever sealed; `sealed` is an entry that was, with its
    /// text, if there is any.
    pub(super) fn open(dir: &Path, sealed: Option<&(String, String)>) -> Result<Self, OpenError> {
        let path = dir.join(KEY_FILE);
        let told = || path.display().to_string();
        let random = SystemRandom::new();
        let bytes = match kit::files::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() && sealed.is_some() => {
                return Err(OpenError::Missing { path: told() });
            }
            Err(error) if error.is_missing() => {
                let mut bytes = vec![0; KEY_BYTES];
                random.fill(&mut bytes).map_err(|_| OpenError::Random)?;
                kit::files::write_atomic(&path, &bytes, Readers::Owner)?;
                bytes
            }
            Err(error) => return Err(error.into()),
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| OpenError::Damaged)?;
        let opened = Self { key: LessSafeKey::new(key), random };
        match sealed {
            Some((entry, text)) if opened.unseal(entry, text).is_none() => {
                Err(OpenError::Another { path: told() })
            }
            _ => Ok(opened),
        }
    }

    /// The sealed text of some bytes; only good under the same `entry`.
    pub(super) fn seal(&self, entry: &str, plain: &[u8]) -> Result<String, Failure> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| broken("seal", entry))?;
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(entry.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| broken("seal", entry))?;
        Ok(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// The bytes again; none when the text was not sealed here for this entry.
    pub(super) fn unseal(&self, entry: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut opened = sealed.to_vec();
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(entry.as_bytes()), &mut opened)
            .ok()?
            .len();
        opened.truncate(length);
        Some(opened)
    }
}

pub(super) fn broken(deed: &str, entry: &str) -> Failure {
    tracing::error!(entry, "failed to {deed} an entry of a vault");
    Failure::internal()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_only_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Sealer::open(dir.path(), None).unwrap();
        let sealed = sealer.seal("version/kv/secrets/a/1", b"hunter2").unwrap();
        assert!(!sealed.contains("hunter2"));
        let kept = ("version/kv/secrets/a/1".to_owned(), sealed.clone());
        let again = Sealer::open(dir.path(), Some(&kept)).unwrap();
        assert_eq!(again.unseal("version/kv/secrets/a/1", &sealed).unwrap(), b"hunter2");
        assert!(again.unseal("version/kv/secrets/b/1", &sealed).is_none());
        assert!(again.unseal("version/kv/secrets/a/1", "bm90IHNlYWxlZA==").is_none());
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(KEY_FILE), b"short").unwrap();
        assert!(matches!(Sealer::open(dir.path(), None), Err(OpenError::Damaged)));
        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        assert!(matches!(Sealer::open(dir.path(), Some(&kept)), Err(OpenError::Missing { .. })));
        assert!(!dir.path().join(KEY_FILE).exists(), "and none was made");
        std::fs::write(dir.path().join(KEY_FILE), [7; KEY_BYTES]).unwrap();
        assert!(matches!(Sealer::open(dir.path(), Some(&kept)), Err(OpenError::Another { .. })));
    }
}
