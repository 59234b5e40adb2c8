//! exec, attach and port-forward: the runtime gives a URL on the node's loopback, and the upgraded connection
//! goes there byte for byte. So whatever protocol client and runtime agree on passes through.

use http::{HeaderMap, StatusCode, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use kit::http::{Request, Response};

use super::{Query, text};
use crate::labels;
use crate::runtime::{
    AttachRequest, ContainerState, ExecRequest, PodSandboxState, PortForwardRequest, RuntimeError,
};
use crate::shared::Shared;

type Name<'a> = (&'a str, &'a str, &'a str);

/// `kubectl run`-like commands without streams end within this time.
const RUN_LIMIT_S: i64 = 60;

async fn running(shared: &Shared, (namespace, pod, container): Name<'_>) -> Result<String, Response> {
    let found = shared
        .find(namespace, pod)
        .ok_or_else(|| text(StatusCode::NOT_FOUND, format!("pod \"{pod}_{namespace}\" does not exist")))?;
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    let listed = shared.config.runtime.list_containers(Some(uid)).await.map_err(failed)?;
    let alive = listed.into_iter().filter(|one| one.state() == ContainerState::ContainerRunning);
    let mut named =
        alive.filter(|one| one.labels.get(labels::CONTAINER_NAME).is_some_and(|name| name == container));
    named
        .next()
        .map(|one| one.id)
        .ok_or_else(|| text(StatusCode::NOT_FOUND, format!("container not found (\"{container}\")")))
}

fn failed(error: RuntimeError) -> Response {
    let status = match error.code {
        tonic::Code::NotFound => StatusCode::NOT_FOUND,
        tonic::Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        tonic::Code::InvalidArgument => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // What a node without processes cannot do is said without gRPC's wrapping.
    let message = if error.code == tonic::Code::Unimplemented { error.message } else { error.to_string() };
    text(status, message)
}

/// A command with streams.
pub async fn exec(shared: &Shared, request: Request, name: Name<'_>, query: &Query) -> Response {
    let id = match running(shared, name).await {
        Ok(id) => id,
        Err(response) => return response,
    };
    let tty = query.flag(&["tty"]);
    let asked = ExecRequest {
        container_id: id,
        cmd: query.all("command").to_vec(),
        tty,
        stdin: query.flag(&["input", "stdin"]),
        stdout: query.flag(&["output", "stdout"]),
        // A terminal has one output.
        stderr: query.flag(&["error", "stderr"]) && !tty,
    };
    if asked.cmd.is_empty() {
        return text(StatusCode::BAD_REQUEST, "you must specify at least one command for the container");
    }
    if !(asked.stdin || asked.stdout || asked.stderr) {
        return text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    }
    match shared.config.runtime.exec(asked).await {
        Ok(url) => proxy(shared, request, &url).await,
        Err(error) => failed(error),
    }
}

/// The streams of the container's own process.
pub async fn attach(shared: &Shared, request: Request, name: Name<'_>, query: &Query) -> Response {
    let id = match running(shared, name).await {
        Ok(id) => id,
        Err(response) => return response,
    };
    let tty = query.flag(&["tty"]);
    let asked = AttachRequest {
        container_id: id,
        tty,
        stdin: query.flag(&["input", "stdin"]),
        stdout: query.flag(&["output", "stdout"]),
        stderr: query.flag(&["error", "stderr"]) && !tty,
    };
    match shared.config.runtime.attach(asked).await {
        Ok(url) => proxy(shared, request, &url).await,
        Err(error) => failed(error),
    }
}

/// A command without streams; answers its output.
pub async fn run(shared: &Shared, name: Name<'_>, query: &Query) -> Response {
    let id = match running(shared, name).await {
        Ok(id) => id,
        Err(response) => return response,
    };
    let command: Vec<String> =
        query.all("cmd").iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
    match shared.config.runtime.exec_sync(&id, &command, RUN_LIMIT_S).await {
        Ok(answer) => {
            let mut output = String::from_utf8_lossy(&answer.stdout).into_owned();
            output.push_str(&String::from_utf8_lossy(&answer.stderr));
            let status =
                if answer.exit_code == 0 { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
            text(status, output)
        }
        Err(error) => failed(error),
    }
}

/// Ports of a pod.
pub async fn port_forward(shared: &Shared, request: Request, name: (&str, &str), query: &Query) -> Response {
    let (namespace, pod) = name;
    let Some(found) = shared.find(namespace, pod) else {
        return text(StatusCode::NOT_FOUND, format!("pod \"{pod}_{namespace}\" does not exist"));
    };
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    let sandboxes = match shared.config.runtime.list_sandboxes(Some(uid)).await {
        Ok(sandboxes) => sandboxes,
        Err(error) => return failed(error),
    };
    let ready = sandboxes.into_iter().find(|sandbox| sandbox.state() == PodSandboxState::SandboxReady);
    let Some(sandbox) = ready else {
        return text(StatusCode::NOT_FOUND, format!("pod not found (\"{pod}_{namespace}\")"));
    };
    let ports = query.all("port").iter().chain(query.all("ports"));
    let port = ports.flat_map(|text| text.split(',')).filter_map(|text| text.parse().ok()).collect();
    match shared.config.runtime.port_forward(PortForwardRequest { pod_sandbox_id: sandbox.id, port }).await {
        Ok(url) => proxy(shared, request, &url).await,
        Err(error) => failed(error),
    }
}

/// Hands an upgrade on to `url` and joins both connections.
async fn proxy(shared: &Shared, mut request: Request, url: &str) -> Response {
    let bad = |what: &str, error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "failed to {what} the runtime's streaming server");
        text(StatusCode::BAD_GATEWAY, format!("error dialing the runtime's streaming server: {error}"))
    };
    let Some(place) = Place::of(url) else {
        return text(StatusCode::BAD_GATEWAY, "the runtime answered with an unusable streaming address");
    };
    let stream = match tokio::net::TcpStream::connect(&place.authority).await {
        Ok(stream) => stream,
        Err(error) => return bad("reach", &error),
    };
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = match hyper::client::conn::http1::handshake(TokioIo::new(stream)).await {
        Ok(pair) => pair,
        Err(error) => return bad("greet", &error),
    };
    shared.tasks.spawn("streaming server", async move {
        let _ = connection.with_upgrades().await;
    });
    let mut forwarded = http::Request::new(Empty::<bytes::Bytes>::new());
    *forwarded.method_mut() = request.method().clone();
    *forwarded.uri_mut() = place.path;
    *forwarded.headers_mut() = passed_on(request.headers());
    if let Ok(host) = place.authority.parse() {
        forwarded.headers_mut().insert(header::HOST, host);
    }
    let mut response = match sender.send_request(forwarded).await {
        Ok(response) => response,
        Err(error) => return bad("ask", &error),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return response.map(kit::http::boxed);
    }
    let (ours, theirs) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut response));
    shared.tasks.spawn("streams", async move {
        let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else { return };
        let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
        let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
    });
    let mut answer = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
    *answer.headers_mut() = response.headers().clone();
    answer
}

/// All headers of the client but those of its way to us.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    for name in [header::HOST, header::AUTHORIZATION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        passed.remove(name);
    }
    passed
}

struct Place {
    authority: String,
    path: http::Uri,
}

impl Place {
    fn of(url: &str) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let authority = uri.authority()?.as_str().to_owned();
        Some(Self { authority, path: uri.path_and_query()?.as_str().parse().ok()? })
    }
}
