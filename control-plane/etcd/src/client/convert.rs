//! Between the store's words and etcd's.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use store::{KeyValue, LeaseId, Op, Revision, StoreError, Txn};
use tonic::{Code, Status};

use crate::proto::request_op::Request;
use crate::proto::{self, RangeRequest, RequestOp, compare, prefix_end, response_op};

/// What a key below the prefix may not begin with; the head does.
const RESERVED: u8 = 0;

/// Names below a prefix.
pub(super) struct Keys {
    prefix: Vec<u8>,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.as_bytes().to_vec() }
    }

    /// A key as etcd names it.
    pub fn key(&self, key: &str) -> Bytes {
        [&self.prefix, key.as_bytes()].concat().into()
    }

    /// The key that every transaction changes.
    pub fn head(&self) -> Bytes {
        [&self.prefix[..], &[RESERVED], b"head"].concat().into()
    }

    /// The first key with a prefix, and the key after the last one.
    pub fn span(&self, prefix: &str) -> (Bytes, Bytes) {
        let full = self.key(prefix);
        let end = prefix_end(&full).into();
        if prefix.is_empty() {
            return ([&self.prefix[..], &[RESERVED + 1]].concat().into(), end);
        }
        (full, end)
    }

    /// What etcd holds, as the store names it; none for a key that cannot be ours.
    pub fn value(&self, kv: proto::KeyValue) -> Option<KeyValue> {
        let key = std::str::from_utf8(kv.key.strip_prefix(&self.prefix[..])?).ok()?;
        Some(KeyValue {
            key: Arc::from(key),
            value: kv.value,
            create_revision: number(kv.create_revision),
            mod_revision: number(kv.mod_revision),
            version: number(kv.version),
            lease: Some(number(kv.lease)).filter(|lease| *lease != 0),
        })
    }
}

/// etcd's numbers are signed, and never negative.
pub(super) fn number(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn revision_of(header: Option<&proto::ResponseHeader>) -> Revision {
    header.map_or(0, |header| number(header.revision))
}

/// A comparison of the revision that last changed a key; 0 for a key that is not there.
pub(super) fn mod_revision_is(key: Bytes, revision: Revision) -> proto::Compare {
    proto::Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key,
        range_end: Bytes::new(),
        target_union: Some(compare::TargetUnion::ModRevision(signed(revision))),
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub(super) fn put(key: Bytes, value: Bytes, lease: LeaseId) -> RequestOp {
    op(Request::Put(proto::PutRequest { key, value, lease: signed(lease), ..Default::default() }))
}

/// A transaction, with the head among what it changes.
pub(super) fn txn(txn: &Txn, keys: &Keys) -> Result<proto::TxnRequest, StoreError> {
    let mut seen = HashSet::with_capacity(txn.ops.len());
    if let Some(twice) = txn.ops.iter().find(|op| !seen.insert(op.key().clone())) {
        return Err(StoreError::DuplicateKey(twice.key().clone()));
    }
    let compare =
        txn.compares.iter().map(|one| mod_revision_is(keys.key(&one.key), one.mod_revision)).collect();
    let mut success: Vec<RequestOp> = txn
        .ops
        .iter()
        .map(|one| match one {
            Op::Put { key, value, lease } => put(keys.key(key), value.clone(), lease.unwrap_or(0)),
            Op::Delete { key } => op(Request::DeleteRange(proto::DeleteRangeRequest {
                key: keys.key(key),
                ..Default::default()
            })),
        })
        .collect();
    success.extend(head(txn, keys));
    let read = |one: &store::Compare| {
        op(Request::Range(RangeRequest { key: keys.key(&one.key), ..RangeRequest::default() }))
    };
    Ok(proto::TxnRequest { compare, success, failure: txn.compares.iter().map(read).collect() })
}

/// What changes the head, if the transaction changes anything: what only deletes keys that may not be there asks for each first.
fn head(txn: &Txn, keys: &Keys) -> Option<RequestOp> {
    let write = || put(keys.head(), Bytes::new(), 0);
    let certain = txn.ops.iter().any(|op| match op {
        Op::Put { .. } => true,
        Op::Delete { key } => txn.compares.iter().any(|one| one.key == *key && one.mod_revision != 0),
    });
    if certain {
        return Some(write());
    }
    // Comparisons of inner transactions are made before anything is changed.
    txn.ops.iter().rev().fold(None, |otherwise, op| {
        let there = proto::Compare {
            result: compare::CompareResult::Greater.into(),
            ..mod_revision_is(keys.key(op.key()), 0)
        };
        let ask = proto::TxnRequest {
            compare: vec![there],
            success: vec![write()],
            failure: otherwise.into_iter().collect(),
        };
        Some(RequestOp { request: Some(Request::Txn(ask)) })
    })
}

/// Whether a transaction that was applied changed anything.
pub(super) fn has_changed(responses: &[proto::ResponseOp]) -> bool {
    responses.iter().any(|response| match &response.response {
        Some(response_op::Response::Put(_)) => true,
        Some(response_op::Response::DeleteRange(deletion)) => deletion.deleted > 0,
        _ => false,
    })
}

pub(super) fn is_compacted(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("has been compacted")
}

pub(super) fn is_future(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("future revision")
}

/// An error of etcd; `lease` is the one that was named.
pub(super) fn refused(status: &Status, lease: Option<LeaseId>) -> StoreError {
    if let Some(lease) = lease.filter(|_| status.code() == Code::NotFound) {
        return StoreError::LeaseNotFound(lease);
    }
    let source = Arc::new(status.clone());
    if super::connect::is_lost(status) {
        return StoreError::Unavailable { source };
    }
    StoreError::Refused { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_prefix() {
        let keys = Keys::new("/lazurite/a");
        assert_eq!(keys.key("/b"), "/lazurite/a/b".as_bytes());
        let (first, end) = keys.span("");
        assert!(keys.head() < first && first < keys.key("/") && keys.key("\u{10ffff}") < end);
        let (first, end) = keys.span("/b/");
        assert_eq!((&first[..], &end[..]), (&b"/lazurite/a/b/"[..], &b"/lazurite/a/b0"[..]));
        let foreign = proto::KeyValue { key: Bytes::from_static(b"/other/b"), ..Default::default() };
        assert_eq!(keys.value(foreign), None);
    }

    #[test]
    fn only_what_changes_something_moves_the_head() {
        let keys = Keys::new("");
        let last = |one: &Txn| txn(one, &keys).unwrap().success.pop().and_then(|op| op.request);
        let delete = Op::Delete { key: "/a".into() };
        let unsure = Txn { ops: vec![delete.clone(), Op::Delete { key: "/b".into() }], ..Txn::default() };
        let Some(Request::Txn(first)) = last(&unsure) else { panic!("it asks first") };
        assert_eq!((first.compare.len(), first.success.len(), first.failure.len()), (1, 1, 1));
        assert!(matches!(last(&Txn::delete("/a", 7)), Some(Request::Put(put)) if put.key == keys.head()));
        assert!(matches!(last(&Txn::create("/a", "1")), Some(Request::Put(put)) if put.key == keys.head()));
        assert!(last(&Txn::default()).is_none());
    }
}
