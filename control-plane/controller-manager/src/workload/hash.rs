//! Short hashes in names: FNV-1a, written in an alphabet that spells no words.

use serde::Serialize;

const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// 32-bit FNV-1a.
pub(crate) fn fnv32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Writes a text's characters in the safe alphabet.
pub(crate) fn safe(text: &str) -> String {
    text.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// The hash of a value and of how often it collided before.
pub(crate) fn of<T: Serialize>(value: &T, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    if let Some(collisions) = collisions {
        bytes.extend_from_slice(&collisions.to_le_bytes());
    }
    safe(&fnv32(&bytes).to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_collision_gives_another_name_in_the_same_alphabet() {
        assert_eq!(super::fnv32(b"a"), 0xe40c_292c);
        let first = super::of(&"template", None);
        assert_ne!(first, super::of(&"template", Some(1)));
        assert!(first.bytes().all(|b| super::ALPHABET.contains(&b)));
    }
}
