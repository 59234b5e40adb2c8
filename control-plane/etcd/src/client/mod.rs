//! A store in a real etcd cluster.
//!
//! ```text
//! <prefix>\0head     written by every transaction that changes something: its mod revision is the store's newest one
//! <prefix><key>      the keys, as they are named here
//! ```
//!
//! Several stores, each with a prefix, share one etcd and its one counter: a store's revisions then have gaps. The head is what makes
//! [`Store::revision`] exact for this prefix alone: readers who wait until their watch has come there do not wait for what other
//! prefixes do, and need no progress requests, which etcd before 3.4.25 and 3.5.8 answers too early. A key must not begin with `\0`.
//! What others write below the prefix, and keys that end with their lease, are seen by reads and watches but do not move the head.
//!
//! etcd has no relaxed writes: they are acknowledged like all others.

mod connect;
mod convert;
mod options;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kit::Tasks;
use store::{
    Committed, KeyValue, LeaseId, Op, Range, RangeResult, Revision, Store, StoreError, Txn, WatchStream,
};
use tonic::transport::Channel;
use tonic::{Response, Status};

use self::connect::Endpoints;
use self::convert::{Keys, refused};
pub use self::options::{OpenError, Options, Tls};
use crate::proto::kv_client::KvClient;
use crate::proto::lease_client::LeaseClient;
use crate::proto::{self, RangeRequest, response_op};

/// The store.
pub struct Etcd {
    endpoints: Arc<Endpoints>,
    keys: Arc<Keys>,
    request_limit: Duration,
    tasks: Tasks,
}

/// Between two tries of a read.
const RETRY_DELAY: Duration = Duration::from_millis(50);

impl Etcd {
    /// Opens the store; a new one is made in etcd when there is none with this prefix. Watches end when `tasks` are told to stop.
    ///
    /// # Errors
    /// When the options are wrong or no member answers.
    pub async fn open(options: Options, tasks: &Tasks) -> Result<Arc<Self>, OpenError> {
        let store = Self {
            endpoints: Arc::new(Endpoints::new(&options)?),
            keys: Arc::new(Keys::new(&options.prefix)),
            request_limit: options.request_limit,
            tasks: tasks.clone(),
        };
        let head = store.keys.head();
        let make = proto::TxnRequest {
            compare: vec![convert::mod_revision_is(head.clone(), 0)],
            success: vec![convert::put(head, Default::default(), 0)],
            failure: Vec::new(),
        };
        store
            .read(|channel| {
                let make = make.clone();
                async move { kv(channel).txn(make).await }
            })
            .await
            .map_err(|status| refused(&status, None))?;
        Ok(Arc::new(store))
    }

    /// Asks again, other members too, while the answer is lost and time is left. Only for what may be done twice.
    async fn read<T, F, Fut>(&self, ask: F) -> Result<T, Status>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let until = tokio::time::Instant::now() + self.request_limit;
        loop {
            let (number, channel) = self.endpoints.current();
            match ask(channel).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if connect::is_lost(&status) => {
                    self.endpoints.avoid(number);
                    if tokio::time::Instant::now() + RETRY_DELAY >= until {
                        return Err(status);
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(status) => return Err(status),
            }
        }
    }

    /// Asks once.
    async fn write<T, F, Fut>(&self, ask: F) -> Result<T, Status>
    where
        F: FnOnce(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let (number, channel) = self.endpoints.current();
        let answer = ask(channel).await.map(Response::into_inner);
        if answer.as_ref().is_err_and(connect::is_lost) {
            self.endpoints.avoid(number);
        }
        answer
    }

    async fn find(&self, request: RangeRequest) -> Result<proto::RangeResponse, Status> {
        self.read(|channel| {
            let request = request.clone();
            async move { kv(channel).range(request).await }
        })
        .await
    }

    /// Says precisely which revision is too old or too new.
    async fn explain(&self, status: Status) -> StoreError {
        if convert::is_compacted(&status) {
            return match self.compacted().await {
                Ok(at) => StoreError::Compacted { at },
                Err(error) => error,
            };
        }
        if convert::is_future(&status) {
            return match self.revision().await {
                Ok(newest) => StoreError::Future { newest },
                Err(error) => error,
            };
        }
        refused(&status, None)
    }

    /// The revision etcd was compacted at: only a watch from the beginning tells.
    async fn compacted(&self) -> Result<Revision, StoreError> {
        let (_, channel) = self.endpoints.current();
        watch::compacted_at(channel, self.keys.head()).await.map_err(|status| refused(&status, None))
    }
}

/// A client for values of any size etcd sends.
fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError> {
        let request = RangeRequest { key: self.keys.key(key), ..RangeRequest::default() };
        let found = self.find(request).await.map_err(|status| refused(&status, None))?;
        let revision = convert::revision_of(found.header.as_ref());
        Ok((found.kvs.into_iter().find_map(|kv| self.keys.value(kv)), revision))
    }

    async fn range(&self, range: Range) -> Result<RangeResult, StoreError> {
        let (first, end) = self.keys.span(&range.prefix);
        let key = match &range.start_after {
            // The next key there can be.
            Some(after) if **after >= *range.prefix => self.keys.key(&format!("{after}\0")),
            _ => first,
        };
        let request = RangeRequest {
            key,
            range_end: end,
            limit: i64::try_from(range.limit).unwrap_or(i64::MAX),
            revision: range.revision.map_or(0, |revision| i64::try_from(revision).unwrap_or(i64::MAX)),
            ..RangeRequest::default()
        };
        let found = match self.find(request).await {
            Ok(found) => found,
            Err(status) => return Err(self.explain(status).await),
        };
        let revision = range.revision.unwrap_or_else(|| convert::revision_of(found.header.as_ref()));
        let remaining = u64::try_from(found.count).unwrap_or(0).saturating_sub(found.kvs.len() as u64);
        let items = found.kvs.into_iter().filter_map(|kv| self.keys.value(kv)).collect();
        Ok(RangeResult { items, revision, remaining })
    }

    async fn commit(&self, txn: Txn) -> Result<Committed, StoreError> {
        let request = convert::txn(&txn, &self.keys)?;
        let lease = txn.ops.iter().find_map(|op| match op {
            Op::Put { lease, .. } => *lease,
            Op::Delete { .. } => None,
        });
        let answer = self
            .write(|channel| async move { kv(channel).txn(request).await })
            .await
            .map_err(|status| refused(&status, lease))?;
        if !answer.succeeded {
            let found = |response: proto::ResponseOp| match response.response {
                Some(response_op::Response::Range(range)) => {
                    range.kvs.into_iter().find_map(|kv| self.keys.value(kv))
                }
                _ => None,
            };
            return Ok(Committed::Conflict { current: answer.responses.into_iter().map(found).collect() });
        }
        let revision = if convert::has_changed(&answer.responses) {
            convert::revision_of(answer.header.as_ref())
        } else {
            self.revision().await?
        };
        Ok(Committed::Succeeded { revision })
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError> {
        if from > 0 {
            // A watch that begins too early is refused now, not with its first event.
            let revision = i64::try_from(from - 1).unwrap_or(i64::MAX).max(1);
            let at =
                RangeRequest { key: self.keys.head(), revision, count_only: true, ..RangeRequest::default() };
            match self.find(at).await {
                Err(status) if !convert::is_future(&status) => return Err(self.explain(status).await),
                _ => {}
            }
        }
        let follower = watch::Follower::new(self.endpoints.clone(), self.keys.clone(), prefix, from);
        follower.start(self.request_limit, &self.tasks).await.map_err(|status| refused(&status, None))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        let request = RangeRequest { key: self.keys.head(), ..RangeRequest::default() };
        let found = self.find(request).await.map_err(|status| refused(&status, None))?;
        let of_head = found.kvs.first().map(|kv| convert::number(kv.mod_revision));
        Ok(of_head.unwrap_or_else(|| convert::revision_of(found.header.as_ref())))
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        let revision = i64::try_from(at).unwrap_or(i64::MAX);
        let request = proto::CompactionRequest { revision, physical: false };
        let answer = self.write(|channel| async move { kv(channel).compact(request).await }).await;
        match answer {
            Ok(_) => Ok(()),
            Err(status) if convert::is_compacted(&status) => Ok(()),
            Err(status) => Err(self.explain(status).await),
        }
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let request =
            proto::LeaseGrantRequest { ttl: i64::try_from(seconds.max(1)).unwrap_or(i64::MAX), id: 0 };
        let granted = self
            .write(|channel| async move { LeaseClient::new(channel).lease_grant(request).await })
            .await
            .map_err(|status| refused(&status, None))?;
        Ok(convert::number(granted.id))
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        let request = proto::LeaseRevokeRequest { id: i64::try_from(lease).unwrap_or(i64::MAX) };
        self.write(|channel| async move { LeaseClient::new(channel).lease_revoke(request).await })
            .await
            .map(|_| ())
            .map_err(|status| refused(&status, Some(lease)))
    }
}
