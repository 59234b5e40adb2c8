//! The one member. It cannot be given others.

use tonic::{Request, Response, Status};

use super::Front;
use super::errors::Fault;
use crate::proto::cluster_server::Cluster;
use crate::proto::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest,
    MemberUpdateResponse,
};

#[tonic::async_trait]
impl Cluster for Front {
    async fn member_list(
        &self,
        _: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let member = Member {
            id: self.member_id,
            name: self.options.name.clone(),
            peer_urls: Vec::new(),
            client_urls: self.options.client_urls.clone(),
            is_learner: false,
        };
        Ok(Response::new(MemberListResponse { header: self.header_now(), members: vec![member] }))
    }

    async fn member_add(&self, _: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        Err(Fault::not_capable().into())
    }

    async fn member_remove(
        &self,
        _: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(Fault::not_capable().into())
    }

    async fn member_update(
        &self,
        _: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(Fault::not_capable().into())
    }

    async fn member_promote(
        &self,
        _: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(Fault::not_capable().into())
    }
}
