//! `pods/proxy`, `services/proxy` and `nodes/proxy`: HTTP to what runs in the cluster.

use std::sync::Arc;

use kit::http::{Request, Response};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
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
        let mut path = if connect.rest.is_empty() { "/".to_owned() } else { connect.rest.to_owned() };
        if let Some(query) = request.uri().query() {
            path = format!("{path}?{query}");
        }
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
        let (onward, client) = forward::onward(request, &path)?;
        let sent = if kubelet {
            self.kubelets.send(&place.node, onward).await
        } else if wanted.https {
            let (config, name) = (trusting_anybody(), place.host.as_str());
            self.kubelets.send_tls(&place.node, (&place.host, place.port), (config, name), onward).await
        } else {
            self.kubelets.send_plain(&place.node, &place.host, place.port, onward).await
        };
        let answer = sent.map_err(|error| no_answer(&place, &error))?;
        Ok(forward::answer(answer, client))
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

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|port| *port != 0)
}

fn no_answer(place: &Place, error: &KubeletError) -> ApiError {
    let chain = kit::Chain(error);
    ApiError::unavailable(format!("error trying to reach service: {}:{}: {chain}", place.host, place.port))
}

/// Proxies to `https:` pods and services check no certificate, as upstream's do: nobody vouches for what runs in a pod.
fn trusting_anybody() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map(|builder| {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(schemes)))
                .with_no_client_auth()
        });
    // The default provider supports the default versions; if it did not, nothing would be trusted.
    Arc::new(config.unwrap_or_else(|_| {
        rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()
    }))
}

/// The same, showing who we are.
pub(crate) fn trusting(
    identity: &kit::tls::ClientIdentity,
) -> Result<Arc<rustls::ClientConfig>, kit::tls::TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms;
    let chain = kit::tls::certificates(&identity.chain_pem)?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(schemes)))
        .with_client_auth_cert(chain, kit::tls::key(&identity.key_pem)?)?;
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Anybody(rustls::crypto::WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}
