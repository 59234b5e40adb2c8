//! A certificate and its key, kept in one file only the owner reads.

use std::path::PathBuf;
use std::time::Duration;

use kit::files::{FileError, Readers, read_string, write_atomic};
use kit::tls::ClientIdentity;

use crate::error::Cause;

/// Where a key pair is kept; `None`: only in memory.
#[derive(Clone)]
pub(crate) struct KeyFile(pub Option<PathBuf>);

const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

impl KeyFile {
    /// The pair, when there is one that is valid for some time yet.
    pub fn load(&self, now: jiff::Timestamp) -> Option<ClientIdentity> {
        let text = read_string(self.0.as_ref()?).ok()?;
        let at = text.find(KEY_BEGINS)?;
        let (chain, key) = text.split_at(at);
        let pair = ClientIdentity { chain_pem: chain.to_owned(), key_pem: key.to_owned() };
        (renew_in(&pair, now).ok()? > Duration::ZERO).then_some(pair)
    }

    pub fn store(&self, pair: &ClientIdentity) -> Result<(), FileError> {
        let Some(path) = &self.0 else { return Ok(()) };
        let text = format!("{}\n{}", pair.chain_pem.trim_end(), pair.key_pem);
        write_atomic(path, text.as_bytes(), Readers::Owner)
    }
}

/// How long until four fifths of a certificate's life are over: then it is renewed.
pub(crate) fn renew_in(pair: &ClientIdentity, now: jiff::Timestamp) -> Result<Duration, Cause> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pair.chain_pem.as_bytes())?;
    let validity = pem.parse_x509()?.validity().clone();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let renew_at = from + (to - from) * 4 / 5;
    Ok(Duration::from_secs(u64::try_from(renew_at - now.as_second()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pair_is_kept_for_its_owner_and_renewed_in_time() {
        let day = Duration::from_secs(24 * 3600);
        let authority = kit::pki::Authority::new("test", day * 10).unwrap();
        let leaf = kit::pki::Leaf {
            common_name: "system:node:a".into(),
            organizations: vec!["system:nodes".into()],
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: kit::pki::Usage::Client,
            valid: day * 10,
        };
        let issued = authority.issue(&leaf).unwrap();
        let pair = ClientIdentity { chain_pem: issued.certificate_pem, key_pem: issued.key_pem };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pki/kubelet-client.pem");
        let file = KeyFile(Some(path.clone()));
        file.store(&pair).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let now = jiff::Timestamp::now();
        assert_eq!(file.load(now).unwrap().key_pem, pair.key_pem);
        let left = renew_in(&pair, now).unwrap();
        assert!(left > day * 7 && left <= day * 8, "{left:?}");
        let later = now + jiff::SignedDuration::from_hours(24 * 9);
        assert!(file.load(later).is_none());
    }
}
