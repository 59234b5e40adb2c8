//! Objects as Graph shows them, and which properties each kind has.

use serde_json::{Map, Value, json};

use crate::entra::Entra;
use crate::model::{
    Application, Certificate, Federated, Group, PermissionGrant, PrincipalKind, RoleAssignment, Secret,
    ServicePrincipal, User,
};
use crate::resources;
use crate::store::State;

/// Properties that Graph documents and that are null or empty here unless a client sets them.
const APPLICATION: &[&str] = &[
    "addIns",
    "api",
    "appRoles",
    "applicationTemplateId",
    "certification",
    "defaultRedirectUri",
    "deletedDateTime",
    "disabledByMicrosoftStatus",
    "groupMembershipClaims",
    "info",
    "isDeviceOnlyAuthSupported",
    "isFallbackPublicClient",
    "notes",
    "optionalClaims",
    "parentalControlSettings",
    "publicClient",
    "requestSignatureVerification",
    "requiredResourceAccess",
    "samlMetadataUrl",
    "serviceManagementReference",
    "servicePrincipalLockConfiguration",
    "signInAudience",
    "spa",
    "tags",
    "tokenEncryptionKeyId",
    "uniqueName",
    "verifiedPublisher",
    "web",
    "description",
];
const PRINCIPAL: &[&str] = &[
    "accountEnabled",
    "addIns",
    "appDescription",
    "appRoleAssignmentRequired",
    "appRoles",
    "applicationTemplateId",
    "deletedDateTime",
    "description",
    "disabledByMicrosoftStatus",
    "homepage",
    "info",
    "loginUrl",
    "logoutUrl",
    "notes",
    "notificationEmailAddresses",
    "oauth2PermissionScopes",
    "preferredSingleSignOnMode",
    "preferredTokenSigningKeyThumbprint",
    "replyUrls",
    "resourceSpecificApplicationPermissions",
    "samlSingleSignOnSettings",
    "signInAudience",
    "tags",
    "tokenEncryptionKeyId",
    "verifiedPublisher",
];
const USER: &[&str] = &[
    "accountEnabled",
    "businessPhones",
    "city",
    "companyName",
    "country",
    "department",
    "employeeId",
    "givenName",
    "jobTitle",
    "mail",
    "mailNickname",
    "mobilePhone",
    "onPremisesSyncEnabled",
    "officeLocation",
    "onPremisesImmutableId",
    "otherMails",
    "postalCode",
    "preferredLanguage",
    "state",
    "streetAddress",
    "surname",
    "usageLocation",
    "userType",
];
const GROUP: &[&str] = &[
    "classification",
    "deletedDateTime",
    "expirationDateTime",
    "groupTypes",
    "isAssignableToRole",
    "mail",
    "mailEnabled",
    "membershipRule",
    "membershipRuleProcessingState",
    "onPremisesSyncEnabled",
    "preferredLanguage",
    "proxyAddresses",
    "renewedDateTime",
    "securityEnabled",
    "theme",
    "uniqueName",
    "visibility",
];
/// Properties that are made here; clients cannot set them.
const MADE: &[&str] = &[
    "id",
    "appId",
    "displayName",
    "identifierUris",
    "createdDateTime",
    "publisherDomain",
    "passwordCredentials",
    "keyCredentials",
    "servicePrincipalNames",
    "alternativeNames",
    "servicePrincipalType",
    "appOwnerOrganizationId",
    "appDisplayName",
    "userPrincipalName",
    "mailNickname",
    "description",
    "securityIdentifier",
    "creationType",
    "signInSessionsValidFromDateTime",
    "federatedIdentityCredentials",
    "owners",
    "members",
    "memberOf",
    "appRoleAssignments",
];

fn settable(kind: &str) -> &'static [&'static str] {
    match kind {
        "applications" => APPLICATION,
        "serviceprincipals" => PRINCIPAL,
        "users" => USER,
        "groups" => GROUP,
        _ => &[],
    }
}

/// The type's name behind `microsoft.graph.`; none for lists of several types.
pub(super) fn kind_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "applications" => "application",
        "serviceprincipals" => "servicePrincipal",
        "users" => "user",
        "groups" => "group",
        _ => return None,
    })
}

/// Whether objects of a kind have a property.
pub(super) fn has(kind: &str, property: &str) -> bool {
    let same = |have: &&str| have.eq_ignore_ascii_case(property);
    MADE.iter().any(|have| same(have)) || settable(kind).iter().any(|have| same(have))
}

/// Takes over what a client may set and what is only shown again. A null takes it away.
pub(super) fn set_extra(kind: &str, extra: &mut Map<String, Value>, body: &Value) {
    for name in settable(kind).iter().filter(|n| **n != "accountEnabled") {
        match body.get(*name) {
            None => {}
            Some(Value::Null) => drop(extra.remove(*name)),
            Some(Value::Object(parts)) => {
                // Graph updates complex properties member by member.
                let old = extra.entry((*name).to_owned()).or_insert_with(|| json!({}));
                if let Some(old) = old.as_object_mut() {
                    old.extend(parts.clone());
                }
            }
            Some(value) => drop(extra.insert((*name).to_owned(), value.clone())),
        }
    }
}

fn with_extra(mut object: Value, kind: &str, extra: &Map<String, Value>) -> Value {
    if let Some(map) = object.as_object_mut() {
        for (name, value) in extra {
            match (map.get_mut(name), value) {
                (Some(Value::Object(defaults)), Value::Object(given)) => defaults.extend(given.clone()),
                _ => drop(map.insert(name.clone(), value.clone())),
            }
        }
        for name in settable(kind) {
            map.entry(*name).or_insert(Value::Null);
        }
    }
    object
}

pub(super) fn secret(secret: &Secret) -> Value {
    json!({"keyId": secret.key_id, "displayName": secret.name, "hint": secret.hint, "startDateTime": secret.start,
        "endDateTime": secret.end, "secretText": null, "customKeyIdentifier": null})
}

fn certificate(certificate: &Certificate) -> Value {
    json!({"keyId": certificate.key_id, "displayName": certificate.name, "type": "AsymmetricX509Cert", "usage": "Verify",
        "startDateTime": certificate.start, "endDateTime": certificate.end, "key": null,
        "customKeyIdentifier": Some(&certificate.thumbprint).filter(|t| !t.is_empty())})
}

pub(super) fn federated(trust: &Federated) -> Value {
    json!({"id": trust.id, "name": trust.name, "issuer": trust.issuer, "subject": trust.subject, "audiences": trust.audiences,
        "description": trust.description})
}

pub(super) fn application(app: &Application, domain: &str) -> Value {
    let object = json!({
        "@odata.type": "#microsoft.graph.application", "id": app.id, "appId": app.app_id, "displayName": app.name,
        "identifierUris": app.identifier_uris, "createdDateTime": app.created, "publisherDomain": domain,
        "signInAudience": "AzureADMyOrg", "passwordCredentials": app.secrets.iter().map(secret).collect::<Vec<_>>(),
        "keyCredentials": app.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "addIns": [], "appRoles": [], "requiredResourceAccess": [], "tags": [],
        "api": {"acceptMappedClaims": null, "knownClientApplications": [], "requestedAccessTokenVersion": null,
            "oauth2PermissionScopes": [], "preAuthorizedApplications": []},
        "info": {"logoUrl": null, "marketingUrl": null, "privacyStatementUrl": null, "supportUrl": null, "termsOfServiceUrl": null},
        "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
        "publicClient": {"redirectUris": []}, "spa": {"redirectUris": []},
        "verifiedPublisher": {"addedDateTime": null, "displayName": null, "verifiedPublisherId": null},
        "web": {"homePageUrl": null, "logoutUrl": null, "redirectUris": [], "redirectUriSettings": [],
            "implicitGrantSettings": {"enableAccessTokenIssuance": false, "enableIdTokenIssuance": false}},
    });
    with_extra(object, "applications", &app.extra)
}

pub(super) fn user(user: &User) -> Value {
    let sessions = jiff::Timestamp::from_second(user.sessions_from.max(0)).map(|t| t.to_string()).ok();
    let object = json!({
        "@odata.type": "#microsoft.graph.user", "id": user.id, "userPrincipalName": user.upn, "displayName": user.name,
        "accountEnabled": user.enabled, "createdDateTime": user.created, "businessPhones": [], "otherMails": [],
        "mailNickname": user.upn.split('@').next(), "userType": "Member",
        "signInSessionsValidFromDateTime": sessions.filter(|_| user.sessions_from > 0).unwrap_or_else(|| user.created.clone()),
    });
    with_extra(object, "users", &user.extra)
}

pub(super) fn group(group: &Group) -> Value {
    let object = json!({
        "@odata.type": "#microsoft.graph.group", "id": group.id, "displayName": group.name, "mailNickname": group.nickname,
        "description": group.description, "createdDateTime": group.created, "renewedDateTime": group.created,
        "mailEnabled": false, "securityEnabled": true, "groupTypes": [], "proxyAddresses": [], "creationOptions": [],
    });
    with_extra(object, "groups", &group.extra)
}

/// A service principal, with what its application says.
pub(super) fn principal(principal: &ServicePrincipal, app: Option<&Application>, tenant: &str) -> Value {
    let mut names = vec![principal.app_id.clone()];
    names.extend(app.iter().flat_map(|a| a.identifier_uris.clone()));
    names.extend(resources::names_of(&principal.app_id).iter().map(|n| (*n).to_owned()));
    if principal.kind == PrincipalKind::ManagedIdentity {
        names.push(format!("https://identity.azure.net/{}", principal.id));
    }
    let alternative: Vec<String> = match &principal.resource_id {
        Some(id) if id.to_ascii_lowercase().contains("/userassignedidentities/") => {
            vec!["isExplicit=True".to_owned(), id.clone()]
        }
        Some(id) => vec!["isExplicit=False".to_owned(), id.clone()],
        None => Vec::new(),
    };
    let of_app = |name: &str| app.and_then(|a| a.extra.get(name)).cloned();
    let scopes = of_app("api").and_then(|api| api.get("oauth2PermissionScopes").cloned());
    let owner =
        if principal.kind == PrincipalKind::FirstParty { resources::MICROSOFT_TENANT } else { tenant };
    let replies = of_app("web").and_then(|web| web.get("redirectUris").cloned());
    let object = json!({
        "@odata.type": "#microsoft.graph.servicePrincipal", "id": principal.id, "appId": principal.app_id,
        "displayName": principal.name, "appDisplayName": principal.name, "accountEnabled": principal.enabled,
        "createdDateTime": principal.created, "servicePrincipalNames": names, "alternativeNames": alternative,
        "servicePrincipalType": match principal.kind {
            PrincipalKind::Application | PrincipalKind::FirstParty => "Application",
            PrincipalKind::ManagedIdentity => "ManagedIdentity",
        },
        "appOwnerOrganizationId": (principal.kind != PrincipalKind::ManagedIdentity).then_some(owner),
        "passwordCredentials": principal.secrets.iter().map(secret).collect::<Vec<_>>(),
        "keyCredentials": principal.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "addIns": [], "appRoles": of_app("appRoles").unwrap_or_else(|| json!([])), "appRoleAssignmentRequired": false,
        "notificationEmailAddresses": [], "oauth2PermissionScopes": scopes.unwrap_or_else(|| json!([])),
        "replyUrls": replies.unwrap_or_else(|| json!([])), "resourceSpecificApplicationPermissions": [], "tags": [],
        "signInAudience": app.map(|_| "AzureADMyOrg"),
    });
    with_extra(object, "serviceprincipals", &principal.extra)
}

/// A role assignment, with the names of both sides.
pub(super) fn assignment(role: &RoleAssignment, state: &State) -> Value {
    let name = |id: &str| {
        let principal = state.principals.get(id).map(|p| (p.name.as_str(), "ServicePrincipal"));
        let user = || state.users.get(id).map(|u| (u.name.as_str(), "User"));
        principal.or_else(user).or_else(|| state.groups.get(id).map(|g| (g.name.as_str(), "Group")))
    };
    json!({"id": role.id, "deletedDateTime": null, "appRoleId": role.role, "createdDateTime": role.created,
        "principalDisplayName": name(&role.principal).map(|n| n.0), "principalId": role.principal,
        "principalType": name(&role.principal).map(|n| n.1), "resourceDisplayName": name(&role.resource).map(|n| n.0),
        "resourceId": role.resource})
}

/// A grant of permissions.
pub(super) fn grant(grant: &PermissionGrant) -> Value {
    json!({"id": grant.id, "clientId": grant.client, "resourceId": grant.resource, "principalId": grant.principal,
        "consentType": if grant.principal.is_some() { "Principal" } else { "AllPrincipals" }, "scope": grant.scope})
}

impl Entra {
    /// Every object of a kind, as shown.
    pub(super) fn all(&self, kind: &str) -> Option<Vec<Value>> {
        let (tenant, domain) = (self.tenant_id(), self.domain());
        let state = self.store.state.read();
        Some(match kind {
            "applications" => state.applications.values().map(|a| application(a, &domain)).collect(),
            "serviceprincipals" => state
                .principals
                .values()
                .map(|p| principal(p, state.application_of(&p.app_id), &tenant))
                .collect(),
            "users" => state.users.values().map(user).collect(),
            "groups" => state.groups.values().map(group).collect(),
            "oauth2permissiongrants" => state.grants.values().map(grant).collect(),
            _ => return None,
        })
    }
}
