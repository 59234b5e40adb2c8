//! Changing the directory: who may, and objects made, changed and removed.

use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::read::unknown_segment;
use super::{Asked, Fault, Reply, credentials, shapes};
use crate::entra::Entra;
use crate::model::{Application, Group, PrincipalKind, ServicePrincipal};
use crate::store::{self, Change, State};
use crate::{EntraError, secrets};

pub(super) fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

/// At least eight characters of three of the four kinds, as Entra wants it.
fn strong(password: &str) -> bool {
    let has = |test: fn(char) -> bool| usize::from(password.chars().any(test));
    let kinds = has(|c| c.is_ascii_lowercase())
        + has(|c| c.is_ascii_uppercase())
        + has(|c| c.is_ascii_digit())
        + has(|c| !c.is_ascii_alphanumeric());
    (8..=256).contains(&password.chars().count()) && kinds >= 3
}

const WEAK: &str = "The specified password does not comply with password complexity requirements. Please provide a different password.";

async fn hashed(password: &str) -> Result<String, Fault> {
    if !strong(password) {
        return Err(Fault::bad(WEAK));
    }
    let password = password.to_owned();
    let hash = tokio::task::spawn_blocking(move || secrets::hash_password(&password)).await;
    hash.map_err(|_| EntraError::Cancelled.into())
}

/// Identifier URIs name one application of the tenant.
fn uri_taken(state: &State, uris: &[String], but: &str) -> Option<Fault> {
    let same =
        |a: &Application| a.identifier_uris.iter().any(|u| uris.iter().any(|n| n.eq_ignore_ascii_case(u)));
    state
        .applications
        .values()
        .any(|a| a.id != but && same(a))
        .then(|| Fault::bad("Another object with the same value for property identifierUris already exists."))
}

impl Entra {
    pub(super) async fn graph_write(&self, asked: &Asked<'_>, words: &[&str]) -> Reply {
        let method = &asked.incoming.method;
        self.may_write(asked, words)?;
        match (method, words) {
            (&Method::POST, ["applications"]) => self.create_application(asked).await,
            (&Method::POST, ["serviceprincipals"]) => self.create_principal(asked).await,
            (&Method::POST, ["users"]) => self.create_user_from(asked).await,
            (&Method::POST, ["groups"]) => self.create_group(asked).await,
            (&Method::POST, ["users", _, "revokesigninsessions"]) => self.end_sessions(asked).await,
            (&Method::POST, [kind @ ("applications" | "serviceprincipals"), _, "addpassword"]) => {
                self.add_password(asked, kind).await
            }
            (&Method::POST, [kind @ ("applications" | "serviceprincipals"), _, "removepassword"]) => {
                self.remove_password(asked, kind).await
            }
            (&Method::POST, ["applications", _, "federatedidentitycredentials"]) => {
                self.add_trust(asked).await
            }
            (&Method::PATCH, ["applications", _, "federatedidentitycredentials", _]) => {
                self.change_trust(asked).await
            }
            (&Method::DELETE, ["applications", _, "federatedidentitycredentials", _]) => {
                self.remove_trust(asked).await
            }
            (&Method::POST, [kind, _, part @ ("members" | "owners"), "$ref"]) => {
                self.add_link(asked, kind, part).await
            }
            (&Method::DELETE, [kind, _, part @ ("members" | "owners"), _, "$ref"]) => {
                self.remove_link(asked, kind, part).await
            }
            (
                &Method::POST,
                ["serviceprincipals" | "users" | "groups", _, "approleassignments" | "approleassignedto"],
            ) => self.assign_role(asked).await,
            (&Method::DELETE, [_, _, "approleassignments" | "approleassignedto", _]) => {
                self.unassign_role(&asked.path[3]).await
            }
            (&Method::POST, ["oauth2permissiongrants"]) => self.grant(asked).await,
            (&Method::PATCH, ["oauth2permissiongrants", _]) => self.change_grant(asked).await,
            (&Method::DELETE, ["oauth2permissiongrants", _]) => self.revoke_grant(&asked.path[1]).await,
            (&Method::PATCH, ["applications", _]) => self.update_application(asked).await,
            (&Method::PATCH, [kind, _]) => self.update(asked, kind).await,
            (&Method::DELETE, [kind, _]) => self.remove_object(asked, kind).await,
            _ => Err(Fault::not_implemented(&format!("'{method} /{}'", asked.path.join("/")))),
        }
    }

    pub(super) fn id_of(&self, kind: &str, key: &str) -> Result<String, Fault> {
        Ok(self.one(kind, key)?["id"].as_str().unwrap_or(key).to_owned())
    }

    /// Administrators may write everything, owners what they own, people what is theirs.
    fn may_write(&self, asked: &Asked<'_>, words: &[&str]) -> Result<(), Fault> {
        if self.is_admin(&asked.caller) {
            return Ok(());
        }
        let [kind, key, ..] = words else { return Err(Fault::denied()) };
        let caller = &asked.caller.oid;
        let mine = match *kind {
            "applications" | "serviceprincipals" | "groups" => {
                let id = self.id_of(kind, key)?;
                self.store.state.read().owners_of(&id).is_some_and(|owners| owners.contains(caller))
            }
            "users" => words.get(2) == Some(&"revokesigninsessions") && self.id_of(kind, key)? == *caller,
            _ => false,
        };
        if mine { Ok(()) } else { Err(Fault::denied()) }
    }

    async fn create_application(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let mut app = Application {
            id: uuid::Uuid::new_v4().to_string(),
            app_id: uuid::Uuid::new_v4().to_string(),
            name: asked.need(&body, "displayName", "Application")?,
            identifier_uris: texts(body.get("identifierUris")),
            created: self.now().to_string(),
            secrets: Vec::new(),
            certificates: credentials::certificates(&body, &[])?.unwrap_or_default(),
            federated: Vec::new(),
            owners: vec![asked.caller.oid.clone()],
            extra: Map::new(),
        };
        shapes::set_extra("applications", &mut app.extra, &body);
        let (mut shown, mut plain) = (Value::Null, Vec::new());
        for given in body.get("passwordCredentials").and_then(Value::as_array).into_iter().flatten() {
            let (secret, answer) = self.make_secret(given)?;
            app.secrets.push(secret);
            plain.push(answer);
        }
        self.store
            .change(|state| match uri_taken(state, &app.identifier_uris, &app.id) {
                Some(fault) => Ok((Err(fault), Vec::new())),
                None => {
                    shown = shapes::application(&app, &self.domain());
                    Ok((Ok(()), vec![store::put("app", &app.id, &app)?]))
                }
            })
            .await??;
        if !plain.is_empty() {
            shown["passwordCredentials"] = Value::Array(plain);
        }
        Ok((StatusCode::CREATED, Some(shown)))
    }

    async fn create_principal(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let app_id = asked.need(&body, "appId", "ServicePrincipal")?;
        let now = self.now().to_string();
        let made = self
            .store
            .change(|state| {
                if state.principal_of(&app_id).is_some() {
                    let fault = Fault { status: StatusCode::CONFLICT, code: "Request_MultipleObjectsWithSameKeyValue", message: format!("The service principal cannot be created, updated, or restored because the service principal name {app_id} is already in use.") };
                    return Ok((Err(fault), Vec::new()));
                }
                let Some(app) = state.application_of(&app_id) else { return Ok((Err(Fault::bad(format!("The appId '{app_id}' of the service principal does not reference a valid application object."))), Vec::new())) };
                let mut made = ServicePrincipal {
                    id: uuid::Uuid::new_v4().to_string(),
                    app_id: app.app_id.clone(),
                    name: app.name.clone(),
                    kind: PrincipalKind::Application,
                    resource_id: None,
                    created: now,
                    enabled: body.get("accountEnabled").and_then(Value::as_bool).unwrap_or(true),
                    federated: Vec::new(),
                    secrets: Vec::new(),
                    certificates: Vec::new(),
                    owners: vec![asked.caller.oid.clone()],
                    admin: false,
                    extra: Map::new(),
                };
                shapes::set_extra("serviceprincipals", &mut made.extra, &body);
                let change = store::put("sp", &made.id, &made)?;
                Ok((Ok(made.id), vec![change]))
            })
            .await??;
        Ok((StatusCode::CREATED, Some(self.one("serviceprincipals", &made)?)))
    }

    async fn create_user_from(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let upn = asked.need(&body, "userPrincipalName", "User")?;
        let name = asked.need(&body, "displayName", "User")?;
        let domain = upn.split_once('@').map_or("", |(_, domain)| domain);
        if !domain.eq_ignore_ascii_case(&self.domain()) {
            return Err(Fault::bad(
                "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in your organization.",
            ));
        }
        let password = body.pointer("/passwordProfile/password").and_then(Value::as_str);
        let password = password.filter(|p| strong(p)).ok_or_else(|| Fault::bad(WEAK))?;
        let id = self.create_user(&upn, &name, password, false).await?;
        let enabled = body.get("accountEnabled").and_then(Value::as_bool).unwrap_or(true);
        self.change_user(&id, |user| {
            user.enabled = enabled;
            shapes::set_extra("users", &mut user.extra, &body);
        })
        .await?;
        Ok((StatusCode::CREATED, Some(self.one("users", &id)?)))
    }

    async fn change_user(&self, id: &str, change: impl FnOnce(&mut crate::model::User)) -> Result<(), Fault> {
        let changed = self.store.change(|state| {
            let missing = || EntraError::NotFound { id: id.to_owned() };
            let mut user = state.users.get(id).ok_or_else(missing)?.clone();
            change(&mut user);
            Ok(((), vec![store::put("user", id, &user)?]))
        });
        Ok(changed.await?)
    }

    async fn end_sessions(&self, asked: &Asked<'_>) -> Reply {
        let (id, now) = (self.id_of("users", &asked.path[1])?, self.now().as_second());
        // A sign-in of this very second is ended too.
        self.change_user(&id, |user| user.sessions_from = now + 1).await?;
        Ok((StatusCode::OK, Some(serde_json::json!({"value": true}))))
    }

    async fn create_group(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        for (name, wanted) in [("mailEnabled", false), ("securityEnabled", true)] {
            if body.get(name).is_some_and(|given| *given != wanted) {
                return Err(Fault::not_implemented(&format!("A group with '{name}' {}", !wanted)));
            }
        }
        let ids = |name: &str| -> Vec<String> {
            texts(body.get(name)).iter().map(|url| super::links::last_segment(url)).collect()
        };
        let mut group = Group {
            id: uuid::Uuid::new_v4().to_string(),
            name: asked.need(&body, "displayName", "Group")?,
            nickname: asked.need(&body, "mailNickname", "Group")?,
            description: text(&body, "description"),
            created: self.now().to_string(),
            members: ids("members@odata.bind"),
            owners: ids("owners@odata.bind"),
            extra: Map::new(),
        };
        if group.owners.is_empty() {
            group.owners.push(asked.caller.oid.clone());
        }
        if let Some(unknown) =
            group.members.iter().chain(&group.owners).find(|id| self.principal(id).is_none())
        {
            return Err(Fault::not_found(unknown));
        }
        shapes::set_extra("groups", &mut group.extra, &body);
        let change = store::put("group", &group.id, &group)?;
        self.store.change(|_| Ok(((), vec![change]))).await?;
        Ok((StatusCode::CREATED, Some(shapes::group(&group))))
    }

    async fn update_application(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let id = self.id_of("applications", &asked.path[1])?;
        let uris = texts(body.get("identifierUris"));
        self.store
            .change(|state| {
                let mut app =
                    state.applications.get(&id).ok_or(EntraError::NotFound { id: id.clone() })?.clone();
                if let Some(fault) = uri_taken(state, &uris, &id) {
                    return Ok((Err(fault), Vec::new()));
                }
                match credentials::certificates(&body, &app.certificates) {
                    Ok(Some(given)) => app.certificates = given,
                    Ok(None) => {}
                    Err(fault) => return Ok((Err(fault), Vec::new())),
                }
                if body.get("identifierUris").is_some() {
                    app.identifier_uris = uris;
                }
                if let Some(kept) = body.get("passwordCredentials").and_then(Value::as_array) {
                    app.secrets.retain(|s| kept.iter().any(|k| k["keyId"].as_str() == Some(&s.key_id)));
                }
                app.name = text(&body, "displayName").unwrap_or(app.name);
                shapes::set_extra("applications", &mut app.extra, &body);
                let mut changes = vec![store::put("app", &app.id, &app)?];
                // The principal's name follows its application's.
                if let Some(principal) = state.principal_of(&app.app_id).filter(|p| p.name != app.name) {
                    let renamed = ServicePrincipal { name: app.name.clone(), ..principal.clone() };
                    changes.push(store::put("sp", &renamed.id, &renamed)?);
                }
                Ok((Ok(()), changes))
            })
            .await??;
        Ok((StatusCode::NO_CONTENT, None))
    }

    async fn update(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let body = asked.body()?;
        let id = self.id_of(kind, &asked.path[1])?;
        let password = body.pointer("/passwordProfile/password").and_then(Value::as_str);
        let hash = match password {
            Some(password) => Some(hashed(password).await?),
            None => None,
        };
        let enabled = body.get("accountEnabled").and_then(Value::as_bool);
        let (name, now) = (text(&body, "displayName"), self.now().as_second());
        let changed = self.store.change(|state| {
            let record = if let Some(mut p) = state.principals.get(&id).cloned() {
                match credentials::certificates(&body, &p.certificates) {
                    Ok(Some(given)) => p.certificates = given,
                    Ok(None) => {}
                    Err(fault) => return Ok((Err(fault), Vec::new())),
                }
                p.enabled = enabled.unwrap_or(p.enabled);
                p.name = name.unwrap_or(p.name);
                shapes::set_extra("serviceprincipals", &mut p.extra, &body);
                store::put("sp", &id, &p)?
            } else if let Some(mut u) = state.users.get(&id).cloned() {
                u.enabled = enabled.unwrap_or(u.enabled);
                u.name = name.unwrap_or(u.name);
                if let Some(hash) = hash {
                    u.password = hash;
                    u.sessions_from = now;
                }
                shapes::set_extra("users", &mut u.extra, &body);
                store::put("user", &id, &u)?
            } else if let Some(mut g) = state.groups.get(&id).cloned() {
                g.name = name.unwrap_or(g.name);
                g.nickname = text(&body, "mailNickname").unwrap_or(g.nickname);
                g.description = text(&body, "description").or(g.description);
                shapes::set_extra("groups", &mut g.extra, &body);
                store::put("group", &id, &g)?
            } else {
                return Err(EntraError::NotFound { id });
            };
            Ok((Ok(()), vec![record]))
        });
        changed.await??;
        Ok((StatusCode::NO_CONTENT, None))
    }

    async fn remove_object(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let (kind, key) = match kind {
            "directoryobjects" => {
                let found = self.object(&asked.path[1]).ok_or_else(|| Fault::not_found(&asked.path[1]))?;
                (super::links::kind_of(&found), asked.path[1].clone())
            }
            other => (other, asked.path[1].clone()),
        };
        let id = self.id_of(kind, &key)?;
        self.store
            .change(|state| {
                let mut gone = vec![id.clone()];
                let mut changes = Vec::new();
                match kind {
                    "applications" => {
                        let app = state.applications.get(&id).map(|a| a.app_id.clone()).unwrap_or_default();
                        changes.push(store::remove("app", &id));
                        if let Some(principal) = state.principal_of(&app) {
                            changes.push(store::remove("sp", &principal.id));
                            gone.push(principal.id.clone());
                        }
                    }
                    "serviceprincipals" => changes.push(store::remove("sp", &id)),
                    "users" => changes.push(store::remove("user", &id)),
                    "groups" => changes.push(store::remove("group", &id)),
                    _ => return Ok((Err(unknown_segment(kind)), Vec::new())),
                }
                changes.extend(forgotten(state, &gone)?);
                Ok((Ok(()), changes))
            })
            .await??;
        Ok((StatusCode::NO_CONTENT, None))
    }
}

/// What else changes when objects go: memberships, ownerships, roles, grants, sign-ins.
fn forgotten(state: &State, gone: &[String]) -> Result<Vec<Change>, EntraError> {
    let is_gone = |id: &String| gone.contains(id);
    let mut changes = Vec::new();
    for group in state.groups.values().filter(|g| !is_gone(&g.id)) {
        if group.members.iter().chain(&group.owners).any(is_gone) {
            let mut group = group.clone();
            group.members.retain(|m| !is_gone(m));
            group.owners.retain(|m| !is_gone(m));
            changes.push(store::put("group", &group.id, &group)?);
        }
    }
    for app in state.applications.values().filter(|a| !is_gone(&a.id) && a.owners.iter().any(is_gone)) {
        let mut app = app.clone();
        app.owners.retain(|m| !is_gone(m));
        changes.push(store::put("app", &app.id, &app)?);
    }
    for principal in state.principals.values().filter(|p| !is_gone(&p.id) && p.owners.iter().any(is_gone)) {
        let mut principal = principal.clone();
        principal.owners.retain(|m| !is_gone(m));
        changes.push(store::put("sp", &principal.id, &principal)?);
    }
    let roles = state.roles.values().filter(|r| is_gone(&r.principal) || is_gone(&r.resource));
    changes.extend(roles.map(|r| store::remove("role", &r.id)));
    let grants = state
        .grants
        .values()
        .filter(|g| is_gone(&g.client) || is_gone(&g.resource) || g.principal.as_ref().is_some_and(is_gone));
    changes.extend(grants.map(|g| store::remove("grant", &g.id)));
    let sign_ins = state.refresh.iter().filter(|(_, r)| is_gone(&r.user));
    changes.extend(sign_ins.map(|(key, _)| store::remove("refresh", key)));
    Ok(changes)
}
