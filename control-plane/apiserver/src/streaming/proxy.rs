//! `pods/proxy`, `services/proxy` and `nodes/proxy`: HTTP to what runs in the cluster.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kit::http::{Request, Response};
use serde_json::Value;

use super::forward;
use super::{Connect, Streaming};
use crate::attributes::{ApiError, Objects, items, text};
use crate::tunnel::KubeletError;

/// `scheme:name:port` taken apart; scheme and port may be missing.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    https: bool,
    name: &'a str,
    port: &'a str,
}

fn address(name: &str) -> Result<Address<'_>, ApiError> {
    let parts: Vec<&str> = name.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => ("?", "", ""),
    };
    let https = match scheme {
        "" | "http" => false,
        "https" => true,
        _ => return Err(ApiError::bad_request(format!("invalid proxy address \"{name}\""))),
    };
    Ok(Address { https, name, port })
}

/// Where a proxied request goes.
pub(crate) struct Place {
    /// The node it is on, if known.
    pub node: String,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Streaming {
    pub(super) async fn proxy(&self, connect: Connect<'_>, request: Request) -> Result<Response, ApiError> {
        let wanted = address(connect.name)?;
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let here = request.uri().path().to_owned();
        let rest = if connect.rest.is_empty() { "/" } else { connect.rest };
        let prefix = here.strip_suffix(rest).unwrap_or(&here).to_owned();
        let path = format!("{rest}{query}");
        let kubelet = connect.resource == "nodes" && matches!(wanted.port, "" | "10250");
        if connect.resource == "nodes" && self.objects.get("", "nodes", "", wanted.name).is_none() {
            return Err(ApiError::not_found("", "nodes", wanted.name));
        }
        let place = match connect.resource {
            "pods" => self.pod_place(connect.namespace, &wanted)?,
            "services" => endpoint(&*self.objects, connect.namespace, wanted.name, wanted.port)?,
            _ => Place {
                node: wanted.name.to_owned(),
                host: "127.0.0.1".to_owned(),
                port: number(wanted.port).unwrap_or(10250),
            },
        };
        // Links on a page at no path would lead beside it.
        if connect.rest.is_empty() && !forward::wants_upgrade(request.headers()) {
            return Ok(moved(&format!("{here}/{query}")));
        }
        let host = request.headers().get(header::HOST).cloned();
        let (mut onward, client) = forward::onward(request, &path)?;
        let sought = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
        for (name, value) in [
            ("x-forwarded-uri", here.as_str()),
            ("x-forwarded-host", &sought),
            ("x-forwarded-proto", "https"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                onward.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        let sent = if kubelet {
            self.kubelets.send(&place.node, onward).await
        } else if wanted.https {
            // Proxies to `https:` pods and services check no certificate, as upstream's do: nobody vouches for what runs in a pod.
            match kit::anybody::client(None) {
                Ok(config) => {
                    let tls = (Arc::new(config), place.host.as_str());
                    self.kubelets.send_tls(&place.node, (&place.host, place.port), tls, onward).await
                }
                Err(error) => Err(error.into()),
            }
        } else {
            self.kubelets.send_plain(&place.node, &place.host, place.port, onward).await
        };
        let answer = sent.map_err(|error| no_answer(&place, &error))?;
        let mut response = forward::answer(answer, client);
        let hosts =
            [sought.as_str(), &place.host, &format!("{}:{}", place.host, place.port)].map(str::to_owned);
        rewrite(response.headers_mut(), &prefix, &hosts);
        Ok(response)
    }

    fn pod_place(&self, namespace: &str, wanted: &Address<'_>) -> Result<Place, ApiError> {
        let pod = self.pod(namespace, wanted.name)?;
        let host = text(&pod, "/status/podIP");
        if host.is_empty() {
            return Err(ApiError::bad_request("address not allowed"));
        }
        let first = || items(&pod, "/spec/containers").iter().find_map(|one| items(one, "/ports").first());
        let declared = || first().and_then(|port| u16::try_from(port["containerPort"].as_u64()?).ok());
        let port = match wanted.port {
            "" => declared().unwrap_or(80),
            port => number(port).ok_or_else(|| ApiError::bad_request(format!("invalid port \"{port}\"")))?,
        };
        Ok(Place { node: text(&pod, "/spec/nodeName").to_owned(), host: host.to_owned(), port })
    }
}

/// A ready endpoint of a service; `port` is its port's name or number, or empty when it has only one.
pub(crate) fn endpoint(
    objects: &dyn Objects,
    namespace: &str,
    name: &str,
    port: &str,
) -> Result<Place, ApiError> {
    let service = objects
        .get("", "services", namespace, name)
        .ok_or_else(|| ApiError::not_found("", "services", name))?;
    let ports = items(&service, "/spec/ports");
    let fits = |one: &&Value| {
        text(one, "/name") == port
            || one["port"].as_u64().map(|port| port.to_string()).as_deref() == Some(port)
    };
    let found = if port.is_empty() && ports.len() == 1 { ports.first() } else { ports.iter().find(fits) };
    let no_port =
        || ApiError::unavailable(format!("no service port \"{port}\" found for service \"{name}\""));
    let port_name = text(found.ok_or_else(no_port)?, "/name").to_owned();
    let none = || ApiError::unavailable(format!("no endpoints available for service \"{name}\""));
    let slices = objects.list("discovery.k8s.io", "endpointslices", Some(namespace));
    slices
        .iter()
        .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == name)
        .find_map(|slice| ready_endpoint(slice, &port_name))
        .ok_or_else(none)
}

fn ready_endpoint(slice: &Value, port_name: &str) -> Option<Place> {
    let port = items(slice, "/ports").iter().find(|port| text(port, "/name") == port_name)?;
    let port = u16::try_from(port["port"].as_u64()?).ok()?;
    let ready = |one: &&Value| one.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
    let endpoint = items(slice, "/endpoints").iter().find(ready)?;
    let host = items(endpoint, "/addresses").first()?.as_str()?.to_owned();
    Some(Place { node: text(endpoint, "/nodeName").to_owned(), host, port })
}

fn moved(to: &str) -> Response {
    let mut response = kit::http::status(StatusCode::MOVED_PERMANENTLY);
    if let Ok(value) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// Headers by which whoever is proxied to would say what pages of this server may do.
const NOT_ANSWERED: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// A redirection to a place of the same server is one to a place behind the proxy's path.
fn rewrite(headers: &mut HeaderMap, prefix: &str, hosts: &[String]) {
    for name in NOT_ANSWERED {
        headers.remove(name);
    }
    let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let path = match location.split_once("://") {
        None => location,
        Some((_, rest)) => {
            let at = rest.find('/').unwrap_or(rest.len());
            let (host, path) = rest.split_at(at);
            if !hosts.iter().any(|known| known == host) {
                return;
            }
            if path.is_empty() { "/" } else { path }
        }
    };
    if !path.starts_with('/') || path.starts_with("//") {
        return;
    }
    let to = if path.starts_with(prefix) { path.to_owned() } else { format!("{prefix}{path}") };
    if let Ok(value) = HeaderValue::from_str(&to) {
        headers.insert(header::LOCATION, value);
    }
}

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|port| *port != 0)
}

fn no_answer(place: &Place, error: &KubeletError) -> ApiError {
    let chain = kit::Chain(error);
    ApiError::unavailable(format!("error trying to reach service: {}:{}: {chain}", place.host, place.port))
}
