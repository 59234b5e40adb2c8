//! What tokens can be asked for: Azure's own resources, the hosts of this cloud, and applications of the tenant. And the
//! service principals that stand for Azure's own applications in every tenant.
//!
//! Ids and names are those Microsoft publishes for its first-party applications, role templates and permissions.

use serde_json::{Map, Value, json};

use crate::entra::{Entra, EntraError};
use crate::errors::Refused;
use crate::model::{Application, PrincipalKind, ServicePrincipal};
use crate::store::{self, Change, State};

/// The AKS server application: the audience of tokens for clusters.
pub(crate) const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
/// Microsoft Graph.
pub(crate) const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
/// Resource Manager.
const ARM: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";
/// The tenant that owns Microsoft's applications.
pub(crate) const MICROSOFT_TENANT: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";

/// Role template of Global Administrator.
pub(crate) const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
/// Role template of every user who is a member.
pub(crate) const MEMBER: &str = "b79fbf4d-3ef9-4689-8143-76b194e85509";
/// Role template that Graph's tokens for applications carry.
pub(crate) const DIRECTORY_READERS: &str = "0997a1d0-0d1d-4acb-b408-d5ca73121e90";

/// What Azure's own public clients may do at Graph.
pub(crate) const GRAPH_SCOPES: &str = "Application.ReadWrite.All AuditLog.Read.All DelegatedPermissionGrant.ReadWrite.All Directory.AccessAsUser.All Group.ReadWrite.All User.ReadWrite.All email openid profile";

/// Public clients of Azure that need no registration: az, Azure PowerShell, kubelogin, VS Code.
const KNOWN_CLIENTS: &[&str] = &[
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
    "1950a258-227b-4e31-a9cf-717495945fc2",
    "80faf920-1908-4b52-b5ef-a8e7bedfc67a",
    "aebc6443-996d-45c2-90f0-388ff96faa56",
    "51f81489-12ee-4a9e-aaae-a2591f45987d",
];

/// Resources of the cloud itself, beside those of the front door's hosts.
const KNOWN: &[&str] = &[
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://graph.microsoft.com",
    "https://graph.windows.net",
    "https://vault.azure.net",
    "https://containerregistry.azure.net",
    "https://storage.azure.com",
    "https://monitor.azure.com",
    "https://api.loganalytics.io",
    "https://database.windows.net",
    "https://dns.azure.net",
    "https://servicebus.azure.net",
    "https://eventhubs.azure.net",
    "https://batch.core.windows.net",
    AKS_SERVER,
    GRAPH,
    ARM,
];

/// Microsoft's applications that have a service principal here: id, name, its other names.
const FIRST_PARTY: &[(&str, &str, &[&str])] = &[
    (GRAPH, "Microsoft Graph", &["https://graph.microsoft.com", "https://graph.microsoft.com/"]),
    (
        ARM,
        "Windows Azure Service Management API",
        &[
            "https://management.azure.com",
            "https://management.azure.com/",
            "https://management.core.windows.net",
            "https://management.core.windows.net/",
        ],
    ),
    (AKS_SERVER, "Azure Kubernetes Service AAD Server", &[]),
    ("80faf920-1908-4b52-b5ef-a8e7bedfc67a", "Azure Kubernetes Service AAD Client", &[]),
    ("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Microsoft Azure CLI", &[]),
    ("cfa8b339-82a2-471a-a3c9-0fc0be7a4093", "Azure Key Vault", &["https://vault.azure.net"]),
];

/// Permissions of Graph for applications that Azure's tools ask for most: id and name.
const GRAPH_ROLES: &[(&str, &str)] = &[
    ("7ab1d382-f21e-4acd-a863-ba3e13f7da61", "Directory.Read.All"),
    ("19dbc75e-c2e2-444c-a770-ec69d8559fc7", "Directory.ReadWrite.All"),
    ("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", "Application.ReadWrite.All"),
    ("9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "Application.Read.All"),
    ("18a4783c-866b-4cc7-a460-3d5e5662c884", "Application.ReadWrite.OwnedBy"),
    ("df021288-bdef-4463-88db-98f22de89214", "User.Read.All"),
    ("741f803b-c850-494e-b5df-cde7c675a1ca", "User.ReadWrite.All"),
    ("5b567255-7703-4780-807c-7be8301ae99b", "Group.Read.All"),
    ("62a82d76-70ea-41e2-9197-370581804d09", "Group.ReadWrite.All"),
    ("98830695-27a2-44f7-8c18-0c3ebc9698f6", "GroupMember.Read.All"),
];

/// Whether a client is one of Azure's own.
pub(crate) fn is_known_client(client_id: &str) -> bool {
    KNOWN_CLIENTS.contains(&client_id.to_ascii_lowercase().as_str())
}

fn bare(resource: &str) -> String {
    resource.trim_end_matches('/').trim_start_matches("spn:").to_ascii_lowercase()
}

/// Whether a resource is Microsoft Graph.
pub(crate) fn is_graph(resource: &str) -> bool {
    matches!(bare(resource).as_str(), "https://graph.microsoft.com" | "https://graph.windows.net" | GRAPH)
}

/// Whether an application goes by this name as a resource.
pub(crate) fn names(app: &Application, resource: &str) -> bool {
    let bare = bare(resource);
    app.app_id.eq_ignore_ascii_case(&bare)
        || bare.strip_prefix("api://").is_some_and(|id| app.app_id.eq_ignore_ascii_case(id))
        || app.identifier_uris.iter().any(|u| u.trim_end_matches('/').eq_ignore_ascii_case(&bare))
}

/// The service principal of a resource.
pub(crate) fn principal_named<'a>(state: &'a State, resource: &str) -> Option<&'a ServicePrincipal> {
    let wanted = bare(resource);
    let own = state.applications.values().find(|a| names(a, resource)).map(|a| a.app_id.as_str());
    let first = FIRST_PARTY
        .iter()
        .find(|(id, _, uris)| *id == wanted || uris.iter().any(|u| u.trim_end_matches('/') == wanted));
    state.principal_of(own.or(first.map(|(id, ..)| *id))?)
}

/// Other names of a first-party application.
pub(crate) fn names_of(app_id: &str) -> &'static [&'static str] {
    FIRST_PARTY.iter().find(|(id, ..)| *id == app_id).map_or(&[], |(_, _, names)| names)
}

/// The principals of Microsoft's applications that a tenant does not have yet.
pub(crate) fn missing_first_party(state: &State, now: &str) -> Result<Vec<Change>, EntraError> {
    let missing = FIRST_PARTY.iter().filter(|(id, ..)| state.principal_of(id).is_none());
    missing
        .map(|(app_id, name, _)| {
            let mut extra = Map::new();
            if *app_id == GRAPH {
                let roles = GRAPH_ROLES.iter().map(|(id, value)| {
                    json!({"id": id, "value": value, "displayName": value, "description": value, "isEnabled": true,
                        "allowedMemberTypes": ["Application"], "origin": "Application"})
                });
                extra.insert("appRoles".to_owned(), Value::Array(roles.collect()));
            }
            let principal = ServicePrincipal {
                id: uuid::Uuid::new_v4().to_string(),
                app_id: (*app_id).to_owned(),
                name: (*name).to_owned(),
                kind: PrincipalKind::FirstParty,
                resource_id: None,
                created: now.to_owned(),
                enabled: true,
                federated: Vec::new(),
                secrets: Vec::new(),
                certificates: Vec::new(),
                owners: Vec::new(),
                admin: false,
                extra,
            };
            store::put("sp", &principal.id, &principal)
        })
        .collect()
}

impl Entra {
    /// The audience that a scope asks for, if this directory knows it.
    pub(crate) fn audience(&self, scope: &str) -> Result<String, Refused> {
        let skip = ["offline_access", "openid", "profile", "email"];
        let wanted = scope.split_whitespace().find(|s| !skip.contains(&s.to_ascii_lowercase().as_str()));
        let Some(wanted) = wanted else { return Ok(GRAPH.to_owned()) };
        let resource = match wanted.strip_suffix("/.default") {
            Some(resource) => resource,
            None if wanted.contains("://") || wanted.contains('/') => {
                wanted.rsplit_once('/').map_or(wanted, |(r, _)| r)
            }
            None => wanted,
        };
        self.check_resource(resource)?;
        Ok(resource.to_owned())
    }

    /// Refuses resources that are not of this cloud.
    pub(crate) fn check_resource(&self, resource: &str) -> Result<(), Refused> {
        let bare = bare(resource);
        let host =
            bare.strip_prefix("https://").map(|rest| rest.split(['/', ':']).next().unwrap_or("").to_owned());
        let of_host = host.is_some_and(|host| {
            self.config.hosts.iter().any(|h| h.eq_ignore_ascii_case(&host))
                || host.ends_with(".vault.azure.net")
                || host.ends_with(".azurecr.io")
        });
        if of_host || KNOWN.contains(&bare.as_str()) || self.application_named(resource).is_some() {
            return Ok(());
        }
        Err(Refused::new(
            "invalid_resource",
            500_011,
            format!(
                "The resource principal named {resource} was not found in the tenant named Lazurite. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
            ),
        ))
    }
}
