//! The keys that seal: where they come from, and which one writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use kit::files::{FileError, Readers};

/// Bytes of a key encryption key.
pub(super) const KEY_BYTES: usize = 32;

/// Key encryption keys by their names. The newest one, with the greatest name, seals; all open.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: BTreeMap<String, [u8; KEY_BYTES]>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.keys().collect::<Vec<_>>()).finish()
    }
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Their file cannot be read or written.
    #[error("failed to use the file of the encryption keys")]
    File(#[from] FileError),
    /// Their file is not what it should be.
    #[error("line {line} of the encryption keys is not `<name> <64 hexadecimal digits>`")]
    Damaged {
        /// The line, from 1.
        line: usize,
    },
    /// No chance was to be had.
    #[error("failed to make a key of chance")]
    Chance,
    /// They are kept elsewhere, and that failed.
    #[error("failed to fetch the encryption keys")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Keyring {
    /// A keyring with one more key made of chance, which seals from now on. Names count from `key-00000001`.
    ///
    /// # Errors
    /// When there is no chance.
    pub fn with_new_key(&self) -> Result<Self, KeyError> {
        let last =
            self.keys.last_key_value().and_then(|(name, _)| name.strip_prefix("key-")?.parse::<u32>().ok());
        let mut key = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut key).map_err(|_| KeyError::Chance)?;
        let mut more = self.clone();
        more.keys.insert(format!("key-{:08}", last.unwrap_or(0) + 1), key);
        Ok(more)
    }

    /// Only the newest key: for after everything was sealed with it.
    #[must_use]
    pub fn newest_only(&self) -> Self {
        Self {
            keys: self.keys.iter().next_back().map(|(name, key)| (name.clone(), *key)).into_iter().collect(),
        }
    }

    pub(super) fn newest(&self) -> Option<(&str, &[u8; KEY_BYTES])> {
        self.keys.last_key_value().map(|(name, key)| (name.as_str(), key))
    }

    pub(super) fn key(&self, name: &str) -> Option<&[u8; KEY_BYTES]> {
        self.keys.get(name)
    }

    fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let parsed = line
                .split_once(' ')
                .and_then(|(name, digits)| Some((name.to_owned(), key_of(digits.trim())?)));
            let (name, key) = parsed.ok_or(KeyError::Damaged { line: number + 1 })?;
            keys.insert(name, key);
        }
        Ok(Self { keys })
    }

    fn print(&self) -> String {
        let digits = |key: &[u8; KEY_BYTES]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.keys.iter().map(|(name, key)| format!("{name} {}\n", digits(key))).collect()
    }
}

fn key_of(digits: &str) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    if digits.len() != 2 * KEY_BYTES || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Where the keys of one cluster are kept: a file, or a vault.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The keys; made when there are none yet.
    async fn load(&self) -> Result<Keyring, KeyError>;

    /// Keeps these instead.
    async fn save(&self, keyring: &Keyring) -> Result<(), KeyError>;
}

/// Keys in a file that only its owner can read.
#[derive(Debug, Clone)]
pub struct FileKeys {
    path: PathBuf,
}

impl FileKeys {
    /// The keys in the file at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }
}

#[async_trait]
impl KeySource for FileKeys {
    async fn load(&self) -> Result<Keyring, KeyError> {
        match kit::files::read_string(&self.path) {
            Ok(text) => Keyring::parse(&text),
            Err(error) if error.is_missing() => {
                let made = Keyring::default().with_new_key()?;
                self.save(&made).await?;
                Ok(made)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn save(&self, keyring: &Keyring) -> Result<(), KeyError> {
        Ok(kit::files::write_atomic(&self.path, keyring.print().as_bytes(), Readers::Owner)?)
    }
}
