//! What a certificate request asks for, and whether a signer may grant it. Pure.

use std::net::IpAddr;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest as Csr;
use k8s_openapi::api::core::v1::Node;
use kit::pki::Usage;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const CLIENT_KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

const NODE: &str = "system:node:";
const NODES: &str = "system:nodes";
const PROVIDED_IP: &str = "alpha.kubernetes.io/provided-node-ip";

/// The subject and names of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Asked {
    pub pem: String,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub other_names: bool,
}

/// Whether a request is one that is approved without a person.
#[derive(Debug, PartialEq)]
pub(super) enum Opinion {
    None,
    /// A node renews its own client certificate.
    SelfClient,
    /// A bootstrapper asks for a node's client certificate.
    Client,
    /// A node asks to serve under its own name and addresses.
    Serving,
}

impl Asked {
    /// Reads a request; the error says what is wrong with it.
    pub fn of(csr: &Csr) -> Result<Self, String> {
        let pem = String::from_utf8(csr.spec.request.0.clone()).map_err(|_| "the request is not PEM")?;
        let (_, block) =
            x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| "the request is not PEM")?;
        let (_, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|_| "the request is no PKCS #10 request")?;
        let subject = &request.certification_request_info.subject;
        let texts = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let common_names = texts(subject.iter_common_name().filter_map(|a| a.as_str().ok()).collect());
        let mut asked = Self {
            common_name: common_names.first().cloned().unwrap_or_default(),
            organizations: texts(subject.iter_organization().filter_map(|a| a.as_str().ok()).collect()),
            ..Self::default()
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(dns) => asked.dns.push((*dns).to_owned()),
                    GeneralName::IPAddress(bytes) => match address(bytes) {
                        Some(address) => asked.addresses.push(address),
                        None => asked.other_names = true,
                    },
                    _ => asked.other_names = true,
                }
            }
        }
        asked.pem = pem;
        Ok(asked)
    }

    /// The node the subject names.
    pub fn node(&self) -> Option<&str> {
        self.common_name.strip_prefix(NODE).filter(|n| !n.is_empty())
    }

    fn is_node_subject(&self) -> bool {
        self.node().is_some() && self.organizations == [NODES]
    }

    fn is_client(&self, csr: &Csr) -> bool {
        self.is_node_subject()
            && self.dns.is_empty()
            && self.addresses.is_empty()
            && !self.other_names
            && usages(csr, "client auth")
    }

    /// A serving certificate names at least one DNS name or address, nothing else, and a node as its subject.
    fn is_serving(&self, csr: &Csr) -> bool {
        self.is_node_subject()
            && !(self.dns.is_empty() && self.addresses.is_empty())
            && !self.other_names
            && usages(csr, "server auth")
    }

    /// Whether the request is approved without a person. `node` is the node the subject names, if it exists.
    pub fn opinion(&self, csr: &Csr, node: Option<&Node>) -> Opinion {
        let by_itself = csr.spec.username.as_deref() == Some(&self.common_name);
        match csr.spec.signer_name.as_str() {
            CLIENT_KUBELET if self.is_client(csr) && by_itself => Opinion::SelfClient,
            CLIENT_KUBELET if self.is_client(csr) => Opinion::Client,
            SERVING if self.is_serving(csr) && by_itself && self.names_only(node) => Opinion::Serving,
            _ => Opinion::None,
        }
    }

    /// Whether every asked name and address is the node's own.
    fn names_only(&self, node: Option<&Node>) -> bool {
        let Some(node) = node else { return false };
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let known = node.status.as_ref().and_then(|s| s.addresses.as_deref()).unwrap_or_default();
        let provided = informers::objects::annotation(&node.metadata, PROVIDED_IP);
        self.dns.iter().all(|dns| dns == name || known.iter().any(|a| a.address == *dns))
            && self.addresses.iter().all(|ip| {
                let ip = ip.to_string();
                known.iter().any(|a| a.address == ip) || provided == Some(ip.as_str())
            })
    }

    /// What the signer of the request may sign it for; the error says why it may not.
    pub fn allowed_usage(&self, csr: &Csr) -> Result<Usage, String> {
        let usages: Vec<&str> = csr.spec.usages.iter().flatten().map(String::as_str).collect();
        match csr.spec.signer_name.as_str() {
            CLIENT_KUBELET if self.is_client(csr) => Ok(Usage::Client),
            SERVING if self.is_serving(csr) => Ok(Usage::Server),
            CLIENT if self.organizations.iter().any(|o| o == "system:masters") => Err(
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
                    .into(),
            ),
            CLIENT
                if usages.contains(&"client auth")
                    && usages
                        .iter()
                        .all(|u| ["client auth", "digital signature", "key encipherment"].contains(u)) =>
            {
                Ok(Usage::Client)
            }
            LEGACY => Ok(match (usages.contains(&"client auth"), usages.contains(&"server auth")) {
                (true, true) => Usage::Both,
                (_, true) => Usage::Server,
                _ => Usage::Client,
            }),
            other => Err(format!("the request is not what the signer {other} signs")),
        }
    }
}

/// Whether the usages are a TLS end's: signature, this purpose, perhaps key encipherment, nothing else.
fn usages(csr: &Csr, purpose: &str) -> bool {
    let usages: Vec<&str> = csr.spec.usages.iter().flatten().map(String::as_str).collect();
    usages.contains(&"digital signature")
        && usages.contains(&purpose)
        && usages.iter().all(|u| *u == purpose || ["digital signature", "key encipherment"].contains(u))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(signer: &str, user: &str, dns: &[String], ips: &[IpAddr], usages: &[&str]) -> Csr {
        let made = kit::pki::request("system:node:n1", &[NODES.to_owned()], dns, ips).unwrap();
        let mut csr = Csr::default();
        csr.spec.request = k8s_openapi::ByteString(made.request_pem.into_bytes());
        csr.spec.signer_name = signer.into();
        csr.spec.username = Some(user.into());
        csr.spec.usages = Some(usages.iter().map(|u| (*u).to_owned()).collect());
        csr
    }

    fn node(address: &str) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n1"},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        }))
        .unwrap()
    }

    #[test]
    fn opinions() {
        let client = ["client auth", "digital signature"];
        let server = ["server auth", "digital signature"];
        let (dns, ips) = (["n1".to_owned()], ["10.224.0.4".parse().unwrap()]);
        let good = node("10.224.0.4");
        for (csr, node, expected) in [
            (csr(CLIENT_KUBELET, "system:bootstrap:abcdef", &[], &[], &client), None, Opinion::Client),
            (csr(CLIENT_KUBELET, "system:node:n1", &[], &[], &client), None, Opinion::SelfClient),
            (csr(CLIENT_KUBELET, "system:node:n1", &dns, &[], &client), None, Opinion::None),
            (csr(CLIENT_KUBELET, "system:node:n1", &[], &[], &server), None, Opinion::None),
            (csr(SERVING, "system:node:n1", &dns, &ips, &server), Some(good.clone()), Opinion::Serving),
            (csr(SERVING, "system:node:n1", &dns, &ips, &server), Some(node("10.224.0.5")), Opinion::None),
            (csr(SERVING, "system:node:n1", &dns, &ips, &server), None, Opinion::None),
            (csr(SERVING, "system:node:n2", &dns, &ips, &server), Some(good.clone()), Opinion::None),
            (csr(SERVING, "system:node:n1", &["n2".to_owned()], &[], &server), Some(good), Opinion::None),
        ] {
            let asked = Asked::of(&csr).unwrap();
            assert_eq!(asked.opinion(&csr, node.as_ref()), expected, "{csr:?}");
        }
    }

    #[test]
    fn signers_refuse_what_is_not_theirs() {
        let client = csr(CLIENT_KUBELET, "x", &[], &[], &["client auth", "digital signature"]);
        assert!(Asked::of(&client).unwrap().allowed_usage(&client).is_ok());
        let serving = csr(SERVING, "x", &[], &[], &["server auth", "digital signature"]);
        assert!(Asked::of(&serving).unwrap().allowed_usage(&serving).is_err(), "it names nothing");
        let broken = Csr::default();
        assert!(Asked::of(&broken).is_err());
    }
}
