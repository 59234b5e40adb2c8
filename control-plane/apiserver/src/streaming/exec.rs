//! `exec`, `attach` and `portforward`: an upgraded connection between the client and the kubelet.

use http::StatusCode;
use kit::http::{Request, Response};

use super::forward::{self, Kind};
use super::target::{Query, container, kubelet_path, node};
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
        self.upgrade(request, &node, path, Kind::PortForward).await
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
