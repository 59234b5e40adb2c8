//! `exec`, `attach` and `portforward`: an upgraded connection between the client and the kubelet.
//!
//! What a kubelet speaks too is passed on byte for byte; what it does not is translated into SPDY.

use http::{StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kit::http::{Request, Response};

use super::forward::{self, Kind};
use super::spdy;
use super::target::{Query, container, kubelet_path, node};
use super::translate::{self, Streams};
use super::websocket::{self, Socket};
use super::{Connect, Streaming, refusal, unreachable};
use crate::attributes::{ApiError, text};

/// The four streams, by the client's and by the kubelet's name.
const STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

impl Streaming {
    pub(super) async fn exec(&self, connect: Connect<'_>, request: Request) -> Result<Response, ApiError> {
        let query = Query::parse(request.uri().query());
        let kind = if connect.subresource == "exec" { "PodExecOptions" } else { "PodAttachOptions" };
        let mut wanted: Vec<(&str, String)> = STREAMS
            .iter()
            .filter(|(client, _)| query.flag(client))
            .map(|(_, kubelet)| (*kubelet, "1".to_owned()))
            .collect();
        if !wanted.iter().any(|(name, _)| matches!(*name, "input" | "output" | "error")) {
            let why = "you must specify at least 1 of stdin, stdout, stderr";
            return Err(ApiError::bad_request(format!("{kind}: {why}")));
        }
        let commands: Vec<&str> = query.all("command").collect();
        if connect.subresource == "exec" && commands.is_empty() {
            return Err(ApiError::bad_request("you must specify at least 1 command for the container"));
        }
        wanted.extend(commands.iter().map(|command| ("command", (*command).to_owned())));
        let pod = self.pod(connect.namespace, connect.name)?;
        let node = node(&pod)?.to_owned();
        let container = container(&pod, query.get("container"))?;
        let phase = text(&pod, "/status/phase");
        if matches!(phase, "Succeeded" | "Failed") {
            return Err(ApiError::bad_request(format!(
                "cannot {} a container in a completed pod; current phase is {phase}",
                if connect.subresource == "exec" { "exec into" } else { "attach to" },
            )));
        }
        let path = kubelet_path(connect.subresource, &[connect.namespace, connect.name, &container], &wanted);
        if websocket::is_asked(request.headers())
            && websocket::offered(request.headers()).contains(&translate::CHANNELS)
        {
            let streams = Streams {
                stdin: query.flag("stdin"),
                stdout: query.flag("stdout"),
                stderr: query.flag("stderr"),
                tty: query.flag("tty"),
            };
            let run = move |socket, kubelet| translate::command(socket, kubelet, streams);
            return self
                .translate(request, &node, path, (translate::CHANNELS, translate::KUBELET), run)
                .await;
        }
        self.upgrade(request, &node, path, Kind::Exec).await
    }

    pub(super) async fn port_forward(
        &self,
        connect: Connect<'_>,
        request: Request,
    ) -> Result<Response, ApiError> {
        let query = Query::parse(request.uri().query());
        let ports: Vec<(&str, String)> = query.all("ports").map(|port| ("port", port.to_owned())).collect();
        let pod = self.pod(connect.namespace, connect.name)?;
        let node = node(&pod)?.to_owned();
        let path = kubelet_path("portForward", &[connect.namespace, connect.name], &ports);
        if websocket::is_asked(request.headers())
            && websocket::offered(request.headers()).contains(&translate::TUNNEL)
        {
            let protocols = (translate::TUNNEL, "portforward.k8s.io");
            return self.translate(request, &node, path, protocols, translate::tunnel).await;
        }
        self.upgrade(request, &node, path, Kind::PortForward).await
    }

    /// Speaks the first protocol over WebSocket with the client and the second over SPDY with the kubelet. The kubelet
    /// is asked first: what it refuses is answered to the client, who is not upgraded then.
    async fn translate<F, Fut>(
        &self,
        mut request: Request,
        node: &str,
        path: String,
        (near, far): (&'static str, &'static str),
        run: F,
    ) -> Result<Response, ApiError>
    where
        F: FnOnce(Socket, TokioIo<Upgraded>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let accepted = websocket::accept(&mut request, Some(near))?;
        let onward = http::Request::post(path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, spdy::PROTOCOL)
            .header("x-stream-protocol-version", far)
            .body(kit::http::empty())
            .map_err(ApiError::internal)?;
        let answer = self.kubelets.send(node, onward).await.map_err(|error| unreachable(node, &error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(answer).await);
        }
        let kubelet = hyper::upgrade::on(answer).await.map_err(ApiError::internal)?;
        let (response, socket) = accepted.split();
        // Ends when either side does; the client's connection is counted by whoever serves it.
        tokio::spawn(async move {
            match socket.await {
                Ok(socket) => run(socket, TokioIo::new(kubelet)).await,
                Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
            }
        });
        Ok(response)
    }

    async fn upgrade(
        &self,
        request: Request,
        node: &str,
        path: String,
        kind: Kind,
    ) -> Result<Response, ApiError> {
        forward::check_protocols(request.headers(), kind)?;
        let (onward, client) = forward::onward(request, &path)?;
        let answer = self.kubelets.send(node, onward).await.map_err(|error| unreachable(node, &error))?;
        // Plain text would be read as a Status by clients, and some text is an empty one.
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(answer).await);
        }
        Ok(forward::answer(answer, client))
    }
}
