//! etcd's keys, which are bytes, as the store's, which are text.
//!
//! Byte `b` is the character with number `b`: every key has a name, no two have the same, and their order and prefixes stay as they are.
//! ASCII, and so every key of Kubernetes' own making, looks the same on both sides. Text that the API server stored itself with
//! characters beyond U+00FF is shown in UTF-8, but cannot be named through this interface.

use bytes::Bytes;
use store::Span;

/// A key's name in the store.
pub fn name(key: &[u8]) -> String {
    key.iter().map(|byte| char::from(*byte)).collect()
}

/// A name as etcd's clients see it.
pub fn key(name: &str) -> Bytes {
    if name.is_ascii() {
        return Bytes::copy_from_slice(name.as_bytes());
    }
    let mut key = Vec::with_capacity(name.len());
    for character in name.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => key.push(byte),
            Err(_) => key.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    key.into()
}

/// The keys of a request: one without an end, all from `key` on when the end is `\0`. None when there can be no such key.
pub fn span(key: &[u8], end: &[u8]) -> Option<Span> {
    match end {
        [] => Some(Span::One(name(key))),
        // As a key `\0` is the least there is.
        [0] => Some(Span::Between { from: if key == [0] { String::new() } else { name(key) }, until: None }),
        end if key >= end => None,
        end => Some(Span::Between { from: name(key), until: Some(name(end)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_name_and_the_order_stays() {
        let mut keys: Vec<Vec<u8>> =
            (0..=255_u8).flat_map(|one| [vec![one], vec![one, 0x7f], vec![one, 0xff, 0]]).collect();
        keys.push(b"/registry/core/pods/default/a".to_vec());
        keys.push("/registry/\u{e9}".as_bytes().to_vec());
        keys.sort();
        let names: Vec<String> = keys.iter().map(|key| name(key)).collect();
        assert!(names.is_sorted());
        for (key, name) in keys.iter().zip(&names) {
            assert_eq!(&super::key(name)[..], &key[..]);
        }
        assert_eq!(name(b"/registry/a"), "/registry/a");
    }
}
