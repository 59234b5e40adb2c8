//! Sealing and opening one value.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use parking_lot::RwLock;

use super::keyring::{KEY_BYTES, Keyring};
use crate::StoreError;

const MAGIC: &[u8] = b"lz:enc:aesgcm:v1:";
const SALT_BYTES: usize = 16;
/// What a derived key is for.
const PURPOSE: &[u8] = b"lazurite store value v1";
/// Derived keys kept: one for each start that still has values, of which few are needed.
const DERIVED_MAX: usize = 1024;

pub(super) fn failed(doing: &'static str, key: &Arc<str>, why: &str) -> StoreError {
    StoreError::Sealed { doing, key: key.clone(), source: Arc::new(std::io::Error::other(why.to_owned())) }
}

/// Splits a sealed value; none for a plain one.
fn split(value: &[u8]) -> Option<(&str, &[u8])> {
    let rest = value.strip_prefix(MAGIC)?;
    let end = rest.iter().position(|byte| *byte == b':')?;
    Some((std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]))
}

/// The name of the key a value is sealed with; none for a plain one.
pub(super) fn key_id(value: &[u8]) -> Option<&str> {
    split(value).map(|(id, _)| id)
}

fn derive(key: &[u8; KEY_BYTES], salt: &[u8]) -> Option<LessSafeKey> {
    let extracted = Salt::new(HKDF_SHA256, salt).extract(key);
    let expanded = extracted.expand(&[PURPOSE], &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

/// What seals: the newest key with the salt of this start.
struct Writer {
    header: Vec<u8>,
    key: LessSafeKey,
    id: String,
}

/// By a key's name and the salt it was used with.
type Derived = HashMap<(String, [u8; SALT_BYTES]), Arc<LessSafeKey>>;

pub(super) struct Sealer {
    keyring: Keyring,
    writer: Option<Writer>,
    /// Nonces given out; the salt is new with each sealer.
    nonces: AtomicU64,
    derived: RwLock<Derived>,
}

impl Sealer {
    pub fn new(keyring: &Keyring) -> Self {
        Self {
            keyring: keyring.clone(),
            writer: writer(keyring),
            nonces: AtomicU64::new(0),
            derived: RwLock::default(),
        }
    }

    pub fn is_newest(&self, id: &str) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.id == id)
    }

    pub fn seal(&self, key: &Arc<str>, value: &Bytes) -> Result<Bytes, StoreError> {
        let writer = self.writer.as_ref().ok_or_else(|| failed("encrypt", key, "there is no key"))?;
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.nonces.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut sealed =
            Vec::with_capacity(writer.header.len() + NONCE_LEN + value.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&writer.header);
        sealed.extend_from_slice(&nonce);
        let start = sealed.len();
        sealed.extend_from_slice(value);
        let tag = writer
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(key.as_bytes()),
                &mut sealed[start..],
            )
            .map_err(|_| failed("encrypt", key, "the cipher refused"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed.into())
    }

    pub fn open(&self, key: &Arc<str>, value: &Bytes) -> Result<Bytes, StoreError> {
        let refuse = |why: &str| failed("decrypt", key, why);
        let (id, rest) = split(value).ok_or_else(|| refuse("it is not sealed"))?;
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(|| refuse("it is cut short"))?;
        let (nonce, sealed) =
            rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| refuse("it is cut short"))?;
        let with = self.derived(id, salt).ok_or_else(|| refuse("its key is not there"))?;
        let mut opened = sealed.to_vec();
        let length = with
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(key.as_bytes()), &mut opened)
            .map_err(|_| refuse("it was changed, or is another key's"))?
            .len();
        opened.truncate(length);
        Ok(opened.into())
    }

    fn derived(&self, id: &str, salt: &[u8; SALT_BYTES]) -> Option<Arc<LessSafeKey>> {
        let name = (id.to_owned(), *salt);
        if let Some(key) = self.derived.read().get(&name) {
            return Some(key.clone());
        }
        let key = Arc::new(derive(self.keyring.key(id)?, salt)?);
        let mut derived = self.derived.write();
        if derived.len() >= DERIVED_MAX {
            derived.clear();
        }
        derived.insert(name, key.clone());
        Some(key)
    }
}

fn writer(keyring: &Keyring) -> Option<Writer> {
    let (id, key) = keyring.newest()?;
    let mut salt = [0; SALT_BYTES];
    // Without chance nothing is sealed, and writes say so.
    SystemRandom::new().fill(&mut salt).ok()?;
    let header = [MAGIC, id.as_bytes(), b":", &salt].concat();
    Some(Writer { header, key: derive(key, &salt)?, id: id.to_owned() })
}
