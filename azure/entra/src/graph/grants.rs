//! What principals may do at applications: app roles given to them, permissions granted to clients.

use http::StatusCode;
use serde_json::Value;

use super::write::text;
use super::{Asked, Fault, Reply, shapes};
use crate::entra::Entra;
use crate::model::{PermissionGrant, RoleAssignment};
use crate::store;

/// The role that is none of an application's own.
const NO_ROLE: &str = "00000000-0000-0000-0000-000000000000";

impl Entra {
    pub(super) async fn assign_role(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let need =
            |name: &str| asked.need(&body, name, "AppRoleAssignment").map(|id| id.to_ascii_lowercase());
        let role = RoleAssignment {
            id: uuid::Uuid::new_v4().simple().to_string(),
            role: need("appRoleId").unwrap_or_else(|_| NO_ROLE.to_owned()),
            principal: need("principalId")?,
            resource: need("resourceId")?,
            created: self.now().to_string(),
        };
        let of = self.id_of(&asked.path[0].to_ascii_lowercase(), &asked.path[1])?;
        if of != role.principal && of != role.resource {
            return Err(Fault::bad(
                "The principalId or resourceId of the assignment is not the object of the path.",
            ));
        }
        self.principal(&role.principal).ok_or_else(|| Fault::not_found(&role.principal))?;
        let resource = self.one("serviceprincipals", &role.resource)?;
        let defines =
            resource["appRoles"].as_array().into_iter().flatten().any(|r| r["id"] == role.role.as_str());
        if role.role != NO_ROLE && !defines {
            return Err(Fault::bad("Permission being assigned was not found on application"));
        }
        let made = role.clone();
        self.store
            .change(|state| {
                let same = |r: &&RoleAssignment| {
                    r.role == role.role && r.principal == role.principal && r.resource == role.resource
                };
                if state.roles.values().any(|r| same(&r)) {
                    let fault = Fault::bad("Permission being assigned already exists on the object");
                    return Ok((Err(fault), Vec::new()));
                }
                Ok((Ok(()), vec![store::put("role", &role.id, &role)?]))
            })
            .await??;
        let shown = shapes::assignment(&made, &self.store.state.read());
        Ok((StatusCode::CREATED, Some(shown)))
    }

    pub(super) async fn unassign_role(&self, id: &str) -> Reply {
        self.forget_record("role", id, |state| state.roles.contains_key(id)).await
    }

    pub(super) async fn revoke_grant(&self, id: &str) -> Reply {
        self.forget_record("grant", id, |state| state.grants.contains_key(id)).await
    }

    async fn forget_record(&self, kind: &str, id: &str, there: impl FnOnce(&store::State) -> bool) -> Reply {
        let removed = self.store.change(|state| match there(state) {
            true => Ok((true, vec![store::remove(kind, id)])),
            false => Ok((false, Vec::new())),
        });
        if removed.await? { Ok((StatusCode::NO_CONTENT, None)) } else { Err(Fault::not_found(id)) }
    }

    pub(super) async fn grant(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let need = |name: &str| asked.need(&body, name, "OAuth2PermissionGrant");
        let principal = match need("consentType")?.as_str() {
            "AllPrincipals" => None,
            "Principal" => Some(self.id_of("users", &need("principalId")?)?),
            other => {
                return Err(Fault::bad(format!(
                    "Invalid value specified for property 'consentType' of resource 'OAuth2PermissionGrant': '{other}'."
                )));
            }
        };
        let grant = PermissionGrant {
            id: uuid::Uuid::new_v4().simple().to_string(),
            client: self.id_of("serviceprincipals", &need("clientId")?)?,
            resource: self.id_of("serviceprincipals", &need("resourceId")?)?,
            principal,
            scope: text(&body, "scope").unwrap_or_default(),
        };
        let shown = shapes::grant(&grant);
        self.store
            .change(|state| {
                let same = |g: &PermissionGrant| {
                    g.client == grant.client && g.resource == grant.resource && g.principal == grant.principal
                };
                if state.grants.values().any(same) {
                    let fault = Fault {
                        status: StatusCode::CONFLICT,
                        code: "Request_MultipleObjectsWithSameKeyValue",
                        message: "Permission entry already exists.".to_owned(),
                    };
                    return Ok((Err(fault), Vec::new()));
                }
                Ok((Ok(()), vec![store::put("grant", &grant.id, &grant)?]))
            })
            .await??;
        Ok((StatusCode::CREATED, Some(shown)))
    }

    pub(super) async fn change_grant(&self, asked: &Asked<'_>) -> Reply {
        let (body, id) = (asked.body()?, asked.path[1].clone());
        let changed = self.store.change(|state| {
            let Some(mut grant) = state.grants.get(&id).cloned() else { return Ok((false, Vec::new())) };
            grant.scope = body.get("scope").and_then(Value::as_str).map_or(grant.scope, str::to_owned);
            Ok((true, vec![store::put("grant", &id, &grant)?]))
        });
        if changed.await? {
            Ok((StatusCode::NO_CONTENT, None))
        } else {
            Err(Fault::not_found(&asked.path[1]))
        }
    }
}
