//! Values that only libraries make.

use std::net::IpAddr;
use std::sync::Arc;

use api_model::quantity::Quantity;
use ipnet::IpNet;

use crate::library::authz::{Authorization, Check, Decision};
use crate::library::format::Format;

/// A library's value.
#[derive(Debug, Clone)]
pub enum Opaque<'a> {
    /// Resource quantity.
    Quantity(Quantity),
    /// Address.
    Ip(IpAddr),
    /// Network.
    Cidr(IpNet),
    /// URL.
    Url(Arc<url::Url>, String),
    /// Version.
    Semver(semver::Version),
    /// Named format.
    Format(&'static Format),
    /// Who is asked, and about whom.
    Authorizer(Authorization<'a>),
    /// What is asked.
    Check(Authorization<'a>, Check),
    /// What is answered.
    Decision(Decision),
}

pub(crate) const QUANTITY: &str = "kubernetes.Quantity";
pub(crate) const IP: &str = "net.IP";
pub(crate) const CIDR: &str = "net.CIDR";
pub(crate) const URL: &str = "kubernetes.URL";
pub(crate) const SEMVER: &str = "kubernetes.Semver";
pub(crate) const FORMAT: &str = "kubernetes.NamedFormat";
pub(crate) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub(crate) const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
pub(crate) const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
pub(crate) const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
pub(crate) const DECISION: &str = "kubernetes.authorization.Decision";

impl Opaque<'_> {
    /// Name of the type.
    pub fn name(&self) -> &'static str {
        match self {
            Opaque::Quantity(_) => QUANTITY,
            Opaque::Ip(_) => IP,
            Opaque::Cidr(_) => CIDR,
            Opaque::Url(..) => URL,
            Opaque::Semver(_) => SEMVER,
            Opaque::Format(_) => FORMAT,
            Opaque::Authorizer(_) => AUTHORIZER,
            Opaque::Check(_, check) => check.type_name(),
            Opaque::Decision(_) => DECISION,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Opaque::Ip(IpAddr::V4(_)) | Opaque::Cidr(IpNet::V4(_)) => 4,
            Opaque::Ip(IpAddr::V6(_)) | Opaque::Cidr(IpNet::V6(_)) => 16,
            _ => 1,
        }
    }

    pub(super) fn equal(&self, other: &Opaque<'_>) -> bool {
        match (self, other) {
            (Opaque::Quantity(a), Opaque::Quantity(b)) => a == b,
            (Opaque::Ip(a), Opaque::Ip(b)) => a == b,
            (Opaque::Cidr(a), Opaque::Cidr(b)) => a == b,
            (Opaque::Url(a, _), Opaque::Url(b, _)) => a == b,
            (Opaque::Semver(a), Opaque::Semver(b)) => a.cmp_precedence(b).is_eq(),
            (Opaque::Format(a), Opaque::Format(b)) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }
}
