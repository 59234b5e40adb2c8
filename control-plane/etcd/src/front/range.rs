//! Reading keys: everything a range request can ask for.

use bytes::Bytes;
use store::{KeyValue, Span};

use super::errors::Fault;
use super::{Front, keys, signed};
use crate::proto::range_request::{SortOrder, SortTarget};
use crate::proto::{self, RangeRequest, RangeResponse};

/// A key and value as etcd shows it.
pub fn shown(kv: &KeyValue) -> proto::KeyValue {
    proto::KeyValue {
        key: keys::key(&kv.key),
        create_revision: signed(kv.create_revision),
        mod_revision: signed(kv.mod_revision),
        version: signed(kv.version),
        value: kv.value.clone(),
        lease: signed(kv.lease.unwrap_or(0)),
    }
}

/// What is wrong with a request before anything is read.
pub fn check(request: &RangeRequest) -> Result<(), Fault> {
    if request.key.is_empty() {
        return Err(Fault::empty_key());
    }
    let known =
        SortOrder::try_from(request.sort_order).is_ok() && SortTarget::try_from(request.sort_target).is_ok();
    if known { Ok(()) } else { Err(Fault::invalid_sort()) }
}

fn is_filtered(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let (modified, created) = (signed(kv.mod_revision), signed(kv.create_revision));
    let within = |number: i64, min: i64, max: i64| (min == 0 || number >= min) && (max == 0 || number <= max);
    within(modified, request.min_mod_revision, request.max_mod_revision)
        && within(created, request.min_create_revision, request.max_create_revision)
}

fn sort(request: &RangeRequest, found: &mut [KeyValue]) {
    let order = request.sort_order();
    let target = request.sort_target();
    if order == SortOrder::None && target == SortTarget::Key {
        return;
    }
    match target {
        SortTarget::Key => {}
        SortTarget::Version => found.sort_by_key(|kv| kv.version),
        SortTarget::Create => found.sort_by_key(|kv| kv.create_revision),
        SortTarget::Mod => found.sort_by_key(|kv| kv.mod_revision),
        SortTarget::Value => found.sort_by(|left, right| left.value.cmp(&right.value)),
    }
    if order == SortOrder::Descend {
        found.reverse();
    }
}

/// How many keys are to be read; 0 is all.
fn limit(request: &RangeRequest) -> usize {
    let plain = !is_filtered(request)
        && request.sort_order() != SortOrder::Descend
        && request.sort_target() == SortTarget::Key;
    if plain { usize::try_from(request.limit).unwrap_or(0) } else { 0 }
}

/// An answer of what was found: `found` are the first keys in order, `count` is how many there are.
pub fn answer(request: &RangeRequest, mut found: Vec<KeyValue>, count: u64) -> RangeResponse {
    let count_all = signed(count);
    if request.count_only {
        return RangeResponse { count: count_all, ..RangeResponse::default() };
    }
    let mut more = count > found.len() as u64;
    if is_filtered(request) {
        found.retain(|kv| passes(request, kv));
    }
    sort(request, &mut found);
    if let Ok(limit @ 1..) = usize::try_from(request.limit)
        && found.len() > limit
    {
        found.truncate(limit);
        more = true;
    }
    let show = |kv: &KeyValue| {
        let shown = shown(kv);
        if request.keys_only { proto::KeyValue { value: Bytes::new(), ..shown } } else { shown }
    };
    RangeResponse { header: None, kvs: found.iter().map(show).collect(), more, count: count_all }
}

impl Front {
    /// Answers a request of its own.
    pub(super) fn read(&self, request: &RangeRequest) -> Result<RangeResponse, Fault> {
        check(request)?;
        let revision = u64::try_from(request.revision).ok().filter(|revision| *revision > 0);
        let limit = if request.count_only { 1 } else { limit(request) };
        let span = keys::span(&request.key, &request.range_end);
        let found =
            self.store.scan(span.as_ref().unwrap_or(&Span::One(String::new())), None, limit, revision)?;
        // What was found now is of exactly this revision; another one may have come since.
        let header = if revision.is_some() { self.header_now() } else { self.header(found.revision) };
        let count = found.items.len() as u64 + found.remaining;
        let response = match span {
            Some(_) => answer(request, found.items, count),
            None => RangeResponse::default(),
        };
        Ok(RangeResponse { header, ..response })
    }
}
