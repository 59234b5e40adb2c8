//! Status, snapshots and upkeep of the file.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use sha2::{Digest, Sha256};
use store::{Embedded, Revision, Span, StoreError};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::errors::Fault;
use super::{Front, INTERFACE_VERSION, signed};
use crate::proto::maintenance_server::Maintenance;
use crate::proto::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};

/// A part of a snapshot.
const PART_BYTES: usize = 32 * 1024;

/// A number that differs when keys, values or revisions up to `revision` differ.
fn hash(store: &Embedded, revision: Option<Revision>) -> Result<(u32, Revision), StoreError> {
    let found = store.scan(&Span::Prefix(String::new()), None, 0, revision)?;
    let mut digest = Sha256::new();
    for kv in &found.items {
        digest.update((kv.key.len() as u64).to_le_bytes());
        digest.update(kv.key.as_bytes());
        for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease.unwrap_or(0)] {
            digest.update(number.to_le_bytes());
        }
        digest.update((kv.value.len() as u64).to_le_bytes());
        digest.update(&kv.value);
    }
    let digest = digest.finalize();
    let number = digest.iter().take(4).fold(0, |number, byte| (number << 8) | u32::from(*byte));
    Ok((number, found.revision))
}

async fn blocking<T, F>(store: &Arc<Embedded>, work: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: FnOnce(&Embedded) -> Result<T, StoreError> + Send + 'static,
{
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.map_err(|_| Status::internal("etcdserver: the work was cancelled"))?
        .map_err(|error| Fault::from(error).into())
}

/// Sends a snapshot's file in parts.
async fn send(front: &Front, out: &mpsc::Sender<Result<SnapshotResponse, Status>>) -> Result<(), Status> {
    let folder = front.store.folder().unwrap_or_else(std::env::temp_dir);
    let path = folder.join(format!(".sent-{:x}.snapshot", front.member_id));
    let to = path.clone();
    let taken = blocking(&front.store, move |store| store.snapshot(&to)).await?;
    let failed =
        |error: std::io::Error| Status::internal(format!("etcdserver: failed to read a snapshot: {error}"));
    let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
    // Nobody else needs its name.
    tokio::fs::remove_file(&path).await.map_err(failed)?;
    let mut left = taken.bytes;
    while left > 0 {
        let mut part = vec![0; PART_BYTES.min(usize::try_from(left).unwrap_or(PART_BYTES))];
        file.read_exact(&mut part).await.map_err(failed)?;
        left -= part.len() as u64;
        let response = SnapshotResponse {
            header: front.header(taken.revision),
            remaining_bytes: left,
            blob: Bytes::from(part),
        };
        if out.send(Ok(response)).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl Maintenance for Front {
    /// The alarms follow the store's state: asking is all that can be done about them here.
    async fn alarm(&self, _: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let alarms = if self.store.is_poisoned() {
            vec![AlarmMember { member_id: self.member_id, alarm: AlarmType::Nospace.into() }]
        } else {
            Vec::new()
        };
        Ok(Response::new(AlarmResponse { header: self.header_now(), alarms }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let (revision, _) = self.store.revisions();
        let size = self.store.size();
        let errors =
            if self.store.is_poisoned() { vec![StoreError::Poisoned.to_string()] } else { Vec::new() };
        Ok(Response::new(StatusResponse {
            header: self.header(revision),
            version: INTERFACE_VERSION.into(),
            db_size: signed(size.file_bytes),
            leader: self.member_id,
            raft_index: revision,
            raft_term: 1,
            raft_applied_index: revision,
            errors,
            db_size_in_use: signed(size.used_bytes),
            is_learner: false,
        }))
    }

    async fn defragment(
        &self,
        _: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        blocking(&self.store, Embedded::reclaim).await?;
        Ok(Response::new(DefragmentResponse { header: self.header_now() }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let (hash, revision) = blocking(&self.store, |store| hash(store, None)).await?;
        Ok(Response::new(HashResponse { header: self.header(revision), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let revision = u64::try_from(request.get_ref().revision).ok().filter(|revision| *revision > 0);
        let (hash, _) = blocking(&self.store, move |store| hash(store, revision)).await?;
        let (now, compacted) = self.store.revisions();
        Ok(Response::new(HashKvResponse {
            header: self.header(now),
            hash,
            compact_revision: signed(compacted),
        }))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        let (out, parts) = mpsc::channel(4);
        let front = self.clone();
        self.tasks.spawn("etcd snapshot", async move {
            if let Err(status) = send(&front, &out).await {
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
    }

    async fn move_leader(
        &self,
        _: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(Fault::not_capable().into())
    }
}
