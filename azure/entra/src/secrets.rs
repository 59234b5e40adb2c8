//! Secrets: made at random, kept as hashes.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};

/// Rounds for passwords that people choose.
const PASSWORD_ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// `bytes` random bytes as text that is safe in URLs and shells.
pub(crate) fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    rand::rng().fill_bytes(&mut buffer);
    URL_SAFE_NO_PAD.encode(buffer)
}

/// A client secret of 40 characters, in the form Entra gives out.
pub(crate) fn client_secret() -> String {
    // `~` stands where Entra has it; a leading dash would trip command lines.
    let text = random(32).replace('-', ".");
    format!("{}8Q~{}", &text[..3].replace('.', "a"), &text[3..37])
}

/// Hash of a secret that is random already: one salted round is enough.
pub(crate) fn hash(secret: &str) -> String {
    let salt = random(16);
    format!("{salt}${}", digest(&salt, secret))
}

fn digest(salt: &str, secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(salt).chain_update([0]).chain_update(secret).finalize())
}

/// Whether the secret is the one that was hashed.
pub(crate) fn fits(secret: &str, hash: &str) -> bool {
    let Some((salt, kept)) = hash.split_once('$') else { return false };
    constant_time::verify_slices_are_equal(digest(salt, secret).as_bytes(), kept.as_bytes()).is_ok()
}

/// The name under which a refresh token is kept.
pub(crate) fn fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hash of a password. Slow by intent: call it off the runtime's threads.
pub(crate) fn hash_password(password: &str) -> String {
    let salt = random(16);
    let mut out = [0u8; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        PASSWORD_ROUNDS,
        salt.as_bytes(),
        password.as_bytes(),
        &mut out,
    );
    format!("{salt}${}", URL_SAFE_NO_PAD.encode(out))
}

/// Whether the password is the one that was hashed. Slow by intent.
pub(crate) fn password_fits(password: &str, hash: &str) -> bool {
    let Some((salt, kept)) = hash.split_once('$') else { return false };
    let Ok(kept) = URL_SAFE_NO_PAD.decode(kept) else { return false };
    pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, PASSWORD_ROUNDS, salt.as_bytes(), password.as_bytes(), &kept)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_fits_its_hash() {
        let secret = client_secret();
        assert_eq!(secret.len(), 40);
        assert!(fits(&secret, &hash(&secret)));
        assert!(!fits("other", &hash(&secret)));
        assert!(password_fits("pw", &hash_password("pw")));
        assert!(!password_fits("pw2", &hash_password("pw")));
    }
}
