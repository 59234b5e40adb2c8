//! Changing keys: puts, deletions, and transactions of any depth.

use std::cmp::Ordering;
use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;
use store::{Durability, KeyValue, Transaction};
use tonic::{Request, Response, Status};

use super::errors::Fault;
use super::{Front, REQUEST_MAX_BYTES, TXN_OPS_MAX, keys, range, signed};
use crate::proto::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::kv_server::Kv;
use crate::proto::request_op::Request as Asked;
use crate::proto::response_op::Response as Answered;
use crate::proto::{
    CompactionRequest, CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse,
};

/// How deep transactions may lie in each other.
const DEPTH_MAX: usize = 32;

fn check_put(request: &PutRequest) -> Result<(), Fault> {
    if request.key.is_empty() {
        return Err(Fault::empty_key());
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Fault::value_provided());
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Fault::lease_provided());
    }
    Ok(())
}

fn check_delete(request: &DeleteRangeRequest) -> Result<(), Fault> {
    if request.key.is_empty() { Err(Fault::empty_key()) } else { Ok(()) }
}

/// What of a branch writes: keys that are put, and stretches that are deleted.
#[derive(Default, Clone)]
struct Writes {
    puts: HashSet<Bytes>,
    deletes: Vec<(Bytes, Bytes)>,
}

impl Writes {
    fn deletes(&self, key: &Bytes) -> bool {
        self.deletes.iter().any(|(from, until)| match &until[..] {
            [] => key == from,
            [0] => key >= from,
            _ => key >= from && key < until,
        })
    }

    fn put(&mut self, key: &Bytes) -> Result<(), Fault> {
        if self.deletes(key) || !self.puts.insert(key.clone()) {
            return Err(Fault::duplicate_key());
        }
        Ok(())
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> Result<(), Fault> {
        self.deletes.push((request.key.clone(), request.range_end.clone()));
        if self.puts.iter().any(|key| self.deletes(key)) { Err(Fault::duplicate_key()) } else { Ok(()) }
    }

    /// Adds an inner transaction, of which one branch will be made.
    fn either(&mut self, success: Self, failure: Self) -> Result<(), Fault> {
        let mut other = self.clone();
        self.all(&success)?;
        other.all(&failure)?;
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
        Ok(())
    }

    fn all(&mut self, more: &Self) -> Result<(), Fault> {
        for key in &more.puts {
            self.put(key)?;
        }
        for (key, range_end) in &more.deletes {
            let request =
                DeleteRangeRequest { key: key.clone(), range_end: range_end.clone(), prev_kv: false };
            self.delete(&request)?;
        }
        Ok(())
    }
}

/// What is wrong with a transaction before anything is done. Gives what it may write.
fn check(request: &TxnRequest, depth: usize) -> Result<(Writes, Writes), Fault> {
    let most = request.compare.len().max(request.success.len()).max(request.failure.len());
    if most > TXN_OPS_MAX || depth > DEPTH_MAX {
        return Err(Fault::too_many_ops());
    }
    if request.compare.iter().any(|one| one.key.is_empty()) {
        return Err(Fault::empty_key());
    }
    Ok((check_ops(&request.success, depth)?, check_ops(&request.failure, depth)?))
}

fn check_ops(ops: &[RequestOp], depth: usize) -> Result<Writes, Fault> {
    let mut writes = Writes::default();
    for op in ops {
        match &op.request {
            Some(Asked::Range(request)) => range::check(request)?,
            Some(Asked::Put(request)) => {
                check_put(request)?;
                writes.put(&request.key)?;
            }
            Some(Asked::DeleteRange(request)) => {
                check_delete(request)?;
                writes.delete(request)?;
            }
            Some(Asked::Txn(request)) => {
                let (success, failure) = check(request, depth + 1)?;
                writes.either(success, failure)?;
            }
            None => return Err(Fault::key_not_found()),
        }
    }
    Ok(writes)
}

fn holds_for(compare: &Compare, kv: Option<&KeyValue>) -> bool {
    let number = |wanted: Option<i64>, is: fn(&KeyValue) -> u64| {
        kv.map_or(0, |kv| signed(is(kv))).cmp(&wanted.unwrap_or(0))
    };
    let wanted = compare.target_union.as_ref();
    let order = match compare.target() {
        CompareTarget::Version => number(
            wanted.and_then(
                |wanted| if let TargetUnion::Version(number) = wanted { Some(*number) } else { None },
            ),
            |kv| kv.version,
        ),
        CompareTarget::Create => number(
            wanted.and_then(|wanted| {
                if let TargetUnion::CreateRevision(number) = wanted { Some(*number) } else { None }
            }),
            |kv| kv.create_revision,
        ),
        CompareTarget::Mod => number(
            wanted.and_then(
                |wanted| if let TargetUnion::ModRevision(number) = wanted { Some(*number) } else { None },
            ),
            |kv| kv.mod_revision,
        ),
        CompareTarget::Lease => number(
            wanted.and_then(
                |wanted| if let TargetUnion::Lease(number) = wanted { Some(*number) } else { None },
            ),
            |kv| kv.lease.unwrap_or(0),
        ),
        CompareTarget::Value => {
            // A key that is not there has no value to compare.
            let Some(kv) = kv else { return false };
            match wanted {
                Some(TargetUnion::Value(wanted)) => kv.value.cmp(wanted),
                _ => kv.value.cmp(&Bytes::new()),
            }
        }
    };
    match compare.result() {
        CompareResult::Equal => order == Ordering::Equal,
        CompareResult::Greater => order == Ordering::Greater,
        CompareResult::Less => order == Ordering::Less,
        CompareResult::NotEqual => order != Ordering::Equal,
    }
}

fn holds(compare: &Compare, store: &Transaction<'_>) -> bool {
    let Some(span) = keys::span(&compare.key, &compare.range_end) else { return holds_for(compare, None) };
    let found = store.range(&span);
    match found.as_slice() {
        [] => holds_for(compare, None),
        found => found.iter().all(|kv| holds_for(compare, Some(kv))),
    }
}

/// Which branches are made: decided for all depths before anything is changed, in the order they will be made.
fn decide(request: &TxnRequest, store: &Transaction<'_>, path: &mut Vec<bool>) {
    let succeeded = request.compare.iter().all(|compare| holds(compare, store));
    path.push(succeeded);
    for op in if succeeded { &request.success } else { &request.failure } {
        if let Some(Asked::Txn(inner)) = &op.request {
            decide(inner, store, path);
        }
    }
}

impl Front {
    fn put_in(&self, request: PutRequest, store: &mut Transaction<'_>) -> Result<PutResponse, Fault> {
        let name = keys::name(&request.key);
        let mut lease = u64::try_from(request.lease).ok().filter(|lease| *lease != 0);
        let mut value = request.value;
        if request.ignore_value || request.ignore_lease {
            let old = store.get(&name).ok_or_else(Fault::key_not_found)?;
            if request.ignore_value {
                value = old.value.clone();
            }
            if request.ignore_lease {
                lease = old.lease;
            }
        }
        if request.lease < 0 {
            return Err(Fault::lease_not_found());
        }
        let previous = store.put(name.into(), value, lease)?;
        let prev_kv = previous.filter(|_| request.prev_kv).map(|kv| range::shown(&kv));
        Ok(PutResponse { header: None, prev_kv })
    }

    fn delete_in(
        &self,
        request: &DeleteRangeRequest,
        store: &mut Transaction<'_>,
    ) -> Result<DeleteRangeResponse, Fault> {
        let found =
            keys::span(&request.key, &request.range_end).map(|span| store.range(&span)).unwrap_or_default();
        let mut response = DeleteRangeResponse::default();
        for kv in found {
            if let Some(old) = store.delete(&kv.key)? {
                response.deleted += 1;
                if request.prev_kv {
                    response.prev_kvs.push(range::shown(&old));
                }
            }
        }
        Ok(response)
    }

    fn range_in(&self, request: &RangeRequest, store: &Transaction<'_>) -> Result<RangeResponse, Fault> {
        let Some(span) = keys::span(&request.key, &request.range_end) else {
            return Ok(RangeResponse::default());
        };
        let found = match u64::try_from(request.revision) {
            Ok(revision @ 1..) => store.range_at(&span, revision)?.items,
            _ => store.range(&span),
        };
        let count = found.len() as u64;
        Ok(range::answer(request, found, count))
    }

    fn branch(
        &self,
        request: TxnRequest,
        store: &mut Transaction<'_>,
        path: &mut impl Iterator<Item = bool>,
    ) -> Result<TxnResponse, Fault> {
        let succeeded = path.next().unwrap_or(false);
        let mut responses = Vec::new();
        for op in if succeeded { request.success } else { request.failure } {
            let mut answered = match op.request {
                Some(Asked::Range(request)) => Answered::Range(self.range_in(&request, store)?),
                Some(Asked::Put(request)) => Answered::Put(self.put_in(request, store)?),
                Some(Asked::DeleteRange(request)) => Answered::DeleteRange(self.delete_in(&request, store)?),
                Some(Asked::Txn(request)) => Answered::Txn(self.branch(request, store, path)?),
                None => continue,
            };
            let at = if store.has_changed() { store.next_revision() } else { store.revision() };
            let header = self.header(at);
            match &mut answered {
                Answered::Range(response) => response.header = header,
                Answered::Put(response) => response.header = header,
                Answered::DeleteRange(response) => response.header = header,
                Answered::Txn(response) => response.header = header,
            }
            responses.push(ResponseOp { response: Some(answered) });
        }
        Ok(TxnResponse { header: None, succeeded, responses })
    }
}

fn check_size(message: &impl Message) -> Result<(), Fault> {
    if message.encoded_len() > REQUEST_MAX_BYTES { Err(Fault::request_too_large()) } else { Ok(()) }
}

#[tonic::async_trait]
impl Kv for Front {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        Ok(Response::new(self.read(request.get_ref())?))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let request = request.into_inner();
        check_size(&request)?;
        check_put(&request)?;
        let made = self.store.transact(Durability::Durable, |store| self.put_in(request, store)).await;
        let (mut response, revision) = made?;
        response.header = self.header(revision);
        Ok(Response::new(response))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        check_delete(&request)?;
        let made = self.store.transact(Durability::Durable, |store| self.delete_in(&request, store)).await;
        let (mut response, revision) = made?;
        response.header = self.header(revision);
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let request = request.into_inner();
        check_size(&request)?;
        check(&request, 0)?;
        let made = self
            .store
            .transact(Durability::Durable, |store| {
                let mut path = Vec::new();
                decide(&request, store, &mut path);
                self.branch(request, store, &mut path.into_iter())
            })
            .await;
        let (mut response, revision) = made?;
        response.header = self.header(revision);
        Ok(Response::new(response))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        use store::Store;
        let at = u64::try_from(request.get_ref().revision).unwrap_or(0);
        let (_, compacted) = self.store.revisions();
        if at <= compacted {
            return Err(Fault::compacted().into());
        }
        self.store.compact(at).await.map_err(Fault::from)?;
        Ok(Response::new(CompactionResponse { header: self.header_now() }))
    }
}
