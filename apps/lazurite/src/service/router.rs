//! One port, many hosts: which part answers a request, by its host and path.
//!
//! Behind a proxy each part has a host of its own (`management.azure.com`, `login.microsoftonline.com`,
//! …); on `localhost` they share one, and the path decides.

use async_trait::async_trait;
use http::StatusCode;
use kit::http::{BoxService, Request, Response, Service};
use providers::network::platform;

/// Which part answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Resource Manager.
    Arm,
    /// Sign-in and Graph.
    Entra,
    /// The container registry.
    Registry,
    /// What is in the vaults.
    Vault,
    /// The portal.
    Portal,
    /// Lazurite's own calls: images.
    Own,
    /// `/healthz`
    Health,
    /// Nobody.
    Nobody,
}

/// The parts.
pub(crate) struct Router {
    pub(crate) arm: BoxService,
    pub(crate) entra: BoxService,
    pub(crate) registry: BoxService,
    pub(crate) vault: BoxService,
    pub(crate) portal: BoxService,
    pub(crate) own: BoxService,
}

#[async_trait]
impl Service for Router {
    async fn call(&self, request: Request) -> Response {
        let part = part(asked_host(&request), request.uri().path());
        match part {
            Part::Arm => self.arm.call(request).await,
            Part::Entra => self.entra.call(request).await,
            Part::Registry => self.registry.call(request).await,
            Part::Vault => self.vault.call(request).await,
            Part::Portal => self.portal.call(request).await,
            Part::Own => self.own.call(request).await,
            Part::Health => kit::http::bytes_response(StatusCode::OK, "text/plain", "ok"),
            Part::Nobody => nobody(),
        }
    }
}

fn nobody() -> Response {
    let text = "no part of Lazurite answers for this host\n";
    kit::http::bytes_response(StatusCode::NOT_FOUND, "text/plain", text)
}

/// One service of the platform at its own address: who is kept from another by a rule finds no way around over this one.
pub(super) struct Only {
    pub(super) service: &'static platform::Service,
    pub(super) router: BoxService,
}

#[async_trait]
impl Service for Only {
    async fn call(&self, request: Request) -> Response {
        let host = without_port(asked_host(&request)).to_ascii_lowercase();
        match self.service.answers_for(&host) {
            true => self.router.call(request).await,
            false => nobody(),
        }
    }
}

fn asked_host(request: &Request) -> &str {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let header = || request.headers().get(http::header::HOST)?.to_str().ok();
    authority.or_else(header).unwrap_or_default()
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host })
}

/// The part for a host and path.
pub(crate) fn part(host: &str, path: &str) -> Part {
    let host = without_port(host).to_ascii_lowercase();
    match host.as_str() {
        "management.azure.com" => Part::Arm,
        "login.microsoftonline.com" | "sts.windows.net" | "graph.microsoft.com" => Part::Entra,
        name if name.ends_with(".azurecr.io") => Part::Registry,
        name if name.ends_with(".vault.azure.net") => Part::Vault,
        "localhost" | "127.0.0.1" | "[::1]" => by_path(path),
        _ => Part::Nobody,
    }
}

fn by_path(path: &str) -> Part {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let first = segments.next().unwrap_or_default().to_ascii_lowercase();
    let second = segments.next().unwrap_or_default().to_ascii_lowercase();
    match (first.as_str(), second.as_str()) {
        ("healthz", _) => Part::Health,
        ("lazurite", _) => Part::Own,
        ("portal", _) => Part::Portal,
        ("v2" | "acr", _) => Part::Registry,
        ("oauth2", "exchange" | "token") => Part::Registry,
        ("v1.0" | "beta", _) => Part::Entra,
        (
            _,
            "oauth2" | "v2.0" | ".well-known" | "discovery" | "userrealm" | "reprocess" | "kmsi" | "login",
        ) => Part::Entra,
        ("common" | "organizations", _) => Part::Entra,
        _ => Part::Arm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_find_their_part() {
        for (host, path, expected) in [
            ("management.azure.com", "/subscriptions", Part::Arm),
            ("localhost:8443", "/subscriptions/x/resourceGroups", Part::Arm),
            ("localhost:8443", "/metadata/endpoints", Part::Arm),
            ("localhost:8443", "/providers/Microsoft.Authorization/roleDefinitions", Part::Arm),
            ("localhost:8443", "//subscriptions", Part::Arm),
            ("localhost:8443", "/tenants", Part::Arm),
            ("localhost:8443", "/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token", Part::Entra),
            ("localhost:8443", "/organizations/v2.0/.well-known/openid-configuration", Part::Entra),
            ("localhost:8443", "/common/userrealm/a@b", Part::Entra),
            ("localhost:8443", "/v1.0/servicePrincipals", Part::Entra),
            ("localhost:8443", "/v2/", Part::Registry),
            ("localhost:8443", "/oauth2/exchange", Part::Registry),
            ("one.azurecr.io", "/v2/", Part::Registry),
            ("kv1.vault.azure.net:443", "/secrets/a/", Part::Vault),
            ("vault.azure.net", "/", Part::Nobody),
            ("graph.microsoft.com", "/v1.0/me", Part::Entra),
            ("example.org", "/", Part::Nobody),
        ] {
            assert_eq!(part(host, path), expected, "{host}{path}");
        }
    }

    struct Fine;

    #[async_trait]
    impl Service for Fine {
        async fn call(&self, _: Request) -> Response {
            kit::http::bytes_response(StatusCode::OK, "text/plain", "fine")
        }
    }

    #[tokio::test]
    async fn every_name_of_the_platform_has_a_part_and_is_answered_at_its_own_address_only() {
        for (name, address) in platform::names() {
            let host = name.replace('*', "one");
            assert_ne!(part(&host, "/"), Part::Nobody, "{host}");
            for service in platform::answering() {
                let only = Only { service, router: std::sync::Arc::new(Fine) };
                let request = http::Request::builder().uri("/").header("host", format!("{host}:443"));
                let answer = only.call(request.body(kit::http::empty()).unwrap()).await;
                assert_eq!(
                    answer.status().is_success(),
                    service.address() == address,
                    "{host} at {service:?}"
                );
            }
        }
    }
}
