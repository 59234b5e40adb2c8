//! A client of the API server inside the process: requests and bodies are handed over, no sockets, no TLS.
//!
//! Requests carry who asks; everything after authentication is as for anybody else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use kit::http::{BoxService, Response};

use crate::attributes::UserInfo;
use crate::authn::AUTHENTICATED;

/// Marks a request from inside the process, and who makes it. Only code in the process can put it there.
#[derive(Clone)]
pub(crate) struct Inside(pub Arc<UserInfo>);

/// The transport of such a client.
#[derive(Clone)]
pub struct Loopback {
    service: BoxService,
    user: Arc<UserInfo>,
}

impl Loopback {
    /// A transport that speaks as `user`.
    pub fn new(service: BoxService, mut user: UserInfo) -> Self {
        if !user.is_in(AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        Self { service, user: Arc::new(user) }
    }

    /// A client over it.
    pub fn client(self) -> kube::Client {
        kube::Client::new(self, "default")
    }
}

impl tower::Service<http::Request<kube::client::Body>> for Loopback {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<kube::client::Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Inside(self.user.clone()));
        let service = self.service.clone();
        Box::pin(async move {
            let request = http::Request::from_parts(head, kit::http::boxed(body));
            Ok(service.call(request).await)
        })
    }
}
