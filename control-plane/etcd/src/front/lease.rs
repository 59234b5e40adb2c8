//! Leases.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use store::Store;
use tonic::{Request, Response, Status, Streaming};

use super::errors::Fault;
use super::{Front, keys, signed};
use crate::proto::lease_server::Lease;
use crate::proto::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};

/// The longest life, in seconds: etcd's limit.
const TTL_MAX_S: i64 = 9_000_000_000;

fn id_of(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

/// Whole seconds, begun ones counted: a lease that lives says so.
fn seconds(duration: Duration) -> i64 {
    signed(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[tonic::async_trait]
impl Lease for Front {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let request = request.into_inner();
        if request.ttl > TTL_MAX_S {
            return Err(Fault::lease_ttl_too_large().into());
        }
        // No shorter than a second, as a lease without life could not be used.
        let ttl = u64::try_from(request.ttl).unwrap_or(0).max(1);
        let wanted = Some(id_of(request.id)).filter(|id| *id != 0);
        let id = self.store.grant(wanted, Duration::from_secs(ttl)).map_err(Fault::from)?;
        Ok(Response::new(LeaseGrantResponse {
            header: self.header_now(),
            id: signed(id),
            ttl: signed(ttl),
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.store.revoke_lease(id_of(request.get_ref().id)).await.map_err(Fault::from)?;
        Ok(Response::new(LeaseRevokeResponse { header: self.header_now() }))
    }

    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        requests: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let front = self.clone();
        let answers = requests.into_inner().map(move |request| {
            let id = request?.id;
            // A lease that has ended lives 0 seconds more.
            let ttl = match front.store.renew(id_of(id)) {
                Ok(ttl) => seconds(ttl),
                Err(store::StoreError::LeaseNotFound(_)) => 0,
                Err(error) => return Err(Fault::from(error).into()),
            };
            Ok(LeaseKeepAliveResponse { header: front.header_now(), id, ttl })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let mut response = LeaseTimeToLiveResponse {
            header: self.header_now(),
            id: request.id,
            ttl: -1,
            ..Default::default()
        };
        if let Some(lease) = self.store.lease(id_of(request.id)) {
            response.ttl = signed(lease.remaining.as_secs());
            response.granted_ttl = seconds(lease.granted);
            if request.keys {
                response.keys = lease.keys.iter().map(|name| keys::key(name)).collect();
            }
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let leases = self.store.leases().into_iter().map(|id| LeaseStatus { id: signed(id) }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: self.header_now(), leases }))
    }
}
