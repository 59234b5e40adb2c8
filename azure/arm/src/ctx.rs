//! What a provider is given with a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::{Clock, Tasks};

use crate::{Access, ArmClient, ArmError, Caller, Directory, Operations, ResourceId, Resources, Table};

/// What a provider is given with a request. Cheap to clone, so that work which outlives the request may keep it.
#[derive(Clone)]
pub struct Ctx {
    /// Who asks.
    pub caller: Caller,
    /// The client's address, for the log.
    pub client_ip: Option<std::net::IpAddr>,
    /// Ties together what one request causes.
    pub correlation_id: String,
    /// The api-version asked for.
    pub api_version: String,
    /// The query's other parameters; names in lower case.
    pub query: Arc<BTreeMap<String, String>>,
    /// `https://management.azure.com`, or whatever the client called the front door; for absolute URLs.
    pub base_url: String,
    /// All resources.
    pub resources: Resources,
    /// All operations.
    pub operations: Operations,
    /// Who may do what.
    pub access: Access,
    /// The directory.
    pub directory: Arc<dyn Directory>,
    /// The front door, as the same caller; see [`ArmClient::with_identity`] for others.
    pub arm: ArmClient,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// Where background work runs.
    pub tasks: Tasks,
    /// The cloud's tenant.
    pub tenant_id: String,
    /// Suffixes and names of this cloud.
    pub cloud: Arc<crate::front::Cloud>,
}

impl Ctx {
    /// A parameter of the query, by lower-case name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A durable table of the provider's own.
    pub fn table(&self, name: &str) -> Table {
        self.resources.table(name)
    }

    /// Refuses unless the caller may do `linked_action` on another resource that the request needs
    /// (`Microsoft.Network/virtualNetworks/subnets/join/action`, …).
    pub fn authorize_linked(
        &self,
        action: &str,
        scope: &ResourceId,
        linked_action: &str,
        linked: &ResourceId,
    ) -> Result<(), ArmError> {
        if self.access.may(&self.caller, linked_action, linked) {
            return Ok(());
        }
        Err(ArmError::linked_authorization_failed(
            &self.caller,
            action,
            scope,
            linked_action,
            std::slice::from_ref(linked),
        ))
    }
}
