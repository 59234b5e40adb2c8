//! Messages, clients and servers made of `proto/etcd.proto`, and what both sides do with them.

#![allow(missing_docs, clippy::all, clippy::unwrap_used, reason = "generated")]

tonic::include_proto!("etcdserverpb");

/// The key after all keys with a prefix, as a range's end; `\0`, the end of all keys, when there is none.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_end_of_a_prefix() {
        let table: [(&[u8], &[u8]); 4] = [(b"a", b"b"), (b"/a/", b"/a0"), (b"a\xff", b"b"), (b"\xff", b"\0")];
        for (prefix, end) in table {
            assert_eq!(super::prefix_end(prefix), end, "{prefix:?}");
        }
    }
}
