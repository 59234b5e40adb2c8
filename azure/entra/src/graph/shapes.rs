//! Objects as Graph shows them.

use serde_json::{Map, Value, json};

use crate::entra::Entra;
use crate::model::{
    Application, Certificate, Federated, Group, PrincipalKind, Secret, ServicePrincipal, User,
};

fn with_extra(mut object: Value, extra: &Map<String, Value>) -> Value {
    if let Some(map) = object.as_object_mut() {
        for (name, value) in extra {
            map.insert(name.clone(), value.clone());
        }
    }
    object
}

fn secret(secret: &Secret) -> Value {
    json!({"keyId": secret.key_id, "displayName": secret.name, "hint": secret.hint, "startDateTime": secret.start,
        "endDateTime": secret.end, "secretText": null, "customKeyIdentifier": null})
}

fn certificate(certificate: &Certificate) -> Value {
    json!({"keyId": certificate.key_id, "displayName": certificate.name, "type": "AsymmetricX509Cert", "usage": "Verify",
        "startDateTime": certificate.start, "endDateTime": certificate.end, "key": null, "customKeyIdentifier": null})
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
        "keyCredentials": app.certificates.iter().map(certificate).collect::<Vec<_>>(), "deletedDateTime": null,
        "appRoles": [], "requiredResourceAccess": [], "api": {"oauth2PermissionScopes": []},
        "web": {"redirectUris": []}, "spa": {"redirectUris": []}, "publicClient": {"redirectUris": []}, "tags": [],
    });
    with_extra(object, &app.extra)
}

pub(super) fn user(user: &User) -> Value {
    let object = json!({
        "@odata.type": "#microsoft.graph.user", "id": user.id, "userPrincipalName": user.upn, "displayName": user.name,
        "accountEnabled": user.enabled, "createdDateTime": user.created, "mail": null, "businessPhones": [], "givenName": null,
        "surname": null, "jobTitle": null, "mobilePhone": null, "officeLocation": null, "preferredLanguage": null,
        "mailNickname": user.upn.split('@').next(),
    });
    with_extra(object, &user.extra)
}

pub(super) fn group(group: &Group) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.group", "id": group.id, "displayName": group.name, "mailNickname": group.nickname,
        "description": group.description, "createdDateTime": group.created, "mailEnabled": false, "securityEnabled": true,
        "groupTypes": [], "mail": null, "visibility": null,
    })
}

impl Entra {
    /// A service principal, with its application's credentials' ids.
    pub(super) fn principal_json(
        &self,
        principal: &ServicePrincipal,
        app: Option<&Application>,
        tenant: &str,
    ) -> Value {
        let mut names = vec![principal.app_id.clone()];
        names.extend(app.iter().flat_map(|a| a.identifier_uris.clone()));
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
        let object = json!({
            "@odata.type": "#microsoft.graph.servicePrincipal", "id": principal.id, "appId": principal.app_id,
            "displayName": principal.name, "appDisplayName": principal.name, "accountEnabled": principal.enabled,
            "createdDateTime": principal.created, "servicePrincipalNames": names, "alternativeNames": alternative,
            "servicePrincipalType": match principal.kind {
                PrincipalKind::Application => "Application",
                PrincipalKind::ManagedIdentity => "ManagedIdentity",
            },
            "appOwnerOrganizationId": tenant, "passwordCredentials": principal.secrets.iter().map(secret).collect::<Vec<_>>(),
            "keyCredentials": [], "appRoles": [], "oauth2PermissionScopes": [], "tags": [], "deletedDateTime": null,
            "signInAudience": app.map(|_| "AzureADMyOrg"),
        });
        with_extra(object, &principal.extra)
    }
}
