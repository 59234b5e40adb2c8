//! Changing the directory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{Asked, Fault, Reply, shapes};
use crate::entra::Entra;
use crate::model::{Application, Certificate, Federated, Group, PrincipalKind, ServicePrincipal};
use crate::{secrets, store};

/// Members of an application that clients may set and that are only shown again.
const EXTRA: &[&str] = &[
    "web",
    "spa",
    "publicClient",
    "api",
    "appRoles",
    "requiredResourceAccess",
    "optionalClaims",
    "signInAudience",
    "tags",
    "notes",
    "isFallbackPublicClient",
    "groupMembershipClaims",
    "info",
];

fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

fn set_extra(extra: &mut Map<String, Value>, body: &Value) {
    for name in EXTRA {
        if let Some(value) = body.get(*name) {
            extra.insert((*name).to_owned(), value.clone());
        }
    }
}

/// `keyCredentials` of a body.
fn certificates(body: &Value) -> Result<Option<Vec<Certificate>>, Fault> {
    let Some(list) = body.get("keyCredentials").and_then(Value::as_array) else { return Ok(None) };
    let read = |c: &Value| {
        let der = text(c, "key").ok_or_else(|| Fault::bad("A key credential needs a key."))?;
        // az sends the lines of a PEM file as they are.
        let der: String = der.split_whitespace().collect();
        STANDARD.decode(&der).map_err(|_| Fault::bad("The key of a key credential is not base64."))?;
        Ok(Certificate {
            key_id: text(c, "keyId").unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            der,
            name: text(c, "displayName"),
            start: text(c, "startDateTime").unwrap_or_default(),
            end: text(c, "endDateTime").unwrap_or_else(|| "9999".to_owned()),
        })
    };
    list.iter().map(read).collect::<Result<_, _>>().map(Some)
}

impl Entra {
    pub(super) async fn graph_write(&self, asked: &Asked<'_>, words: &[&str]) -> Reply {
        let method = &asked.incoming.method;
        if let ["applications", _, ..] = words {
            self.may_change_app(asked)?;
        } else {
            self.require_admin(&asked.caller)?;
        }
        match (method, words) {
            (&Method::POST, ["applications"]) => self.create_application(asked).await,
            (&Method::POST, ["serviceprincipals"]) => self.create_principal(asked).await,
            (&Method::POST, ["users"]) => self.create_user_from(asked).await,
            (&Method::POST, ["groups"]) => self.create_group(asked).await,
            (&Method::POST, [kind @ ("applications" | "serviceprincipals"), _, "addpassword"]) => {
                self.add_password(asked, kind).await
            }
            (&Method::POST, [kind @ ("applications" | "serviceprincipals"), _, "removepassword"]) => {
                self.remove_password(asked, kind).await
            }
            (&Method::POST, ["applications", _, "federatedidentitycredentials"]) => {
                self.add_trust(asked).await
            }
            (&Method::DELETE, ["applications", _, "federatedidentitycredentials", _]) => {
                self.remove_trust(asked).await
            }
            (&Method::POST, ["groups", _, "members", "$ref"]) => self.change_member(asked, true).await,
            (&Method::DELETE, ["groups", _, "members", _, "$ref"]) => self.change_member(asked, false).await,
            (&Method::PATCH, [kind, _]) => self.update(asked, kind).await,
            (&Method::DELETE, [kind, _]) => self.remove_object(asked, kind).await,
            _ => Err(Fault::not_implemented(&format!("'{method} /{}'", asked.path.join("/")))),
        }
    }

    fn id_of(&self, kind: &str, key: &str) -> Result<String, Fault> {
        Ok(self.one(kind, key)?["id"].as_str().unwrap_or(key).to_owned())
    }

    fn may_change_app(&self, asked: &Asked<'_>) -> Result<(), Fault> {
        let id = self.id_of("applications", asked.path[1])?;
        let owned = self
            .store
            .state
            .read()
            .applications
            .get(&id)
            .is_some_and(|a| a.owners.contains(&asked.caller.oid));
        if owned { Ok(()) } else { self.require_admin(&asked.caller) }
    }

    async fn create_application(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let name = text(&body, "displayName").ok_or_else(|| {
            Fault::bad("A value is required for property 'displayName' of resource 'Application'.")
        })?;
        let mut app = Application {
            id: uuid::Uuid::new_v4().to_string(),
            app_id: uuid::Uuid::new_v4().to_string(),
            name,
            identifier_uris: texts(body.get("identifierUris")),
            created: self.now().to_string(),
            secrets: Vec::new(),
            certificates: certificates(&body)?.unwrap_or_default(),
            federated: Vec::new(),
            owners: vec![asked.caller.oid.clone()],
            extra: Map::new(),
        };
        set_extra(&mut app.extra, &body);
        let change = store::put("app", &app.id, &app)?;
        self.store.change(|_| Ok(((), vec![change]))).await?;
        Ok((StatusCode::CREATED, Some(shapes::application(&app, &self.domain()))))
    }

    async fn create_principal(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let app_id = text(&body, "appId").ok_or_else(|| {
            Fault::bad("A value is required for property 'appId' of resource 'ServicePrincipal'.")
        })?;
        let now = self.now().to_string();
        let made = self
            .store
            .change(|state| {
                let Some(app) = state.application_of(&app_id) else { return Ok((Err(Fault::bad(format!("The appId '{app_id}' of the service principal does not reference a valid application object."))), Vec::new())) };
                if state.principal_of(&app_id).is_some() {
                    let fault = Fault { status: StatusCode::CONFLICT, code: "Request_MultipleObjectsWithSameKeyValue", message: "The service principal cannot be created, updated, or restored because the service principal name is already in use.".to_owned() };
                    return Ok((Err(fault), Vec::new()));
                }
                let made = ServicePrincipal {
                    id: uuid::Uuid::new_v4().to_string(),
                    app_id: app.app_id.clone(),
                    name: app.name.clone(),
                    kind: PrincipalKind::Application,
                    resource_id: None,
                    created: now,
                    enabled: body.get("accountEnabled").and_then(Value::as_bool).unwrap_or(true),
                    federated: Vec::new(),
                    secrets: Vec::new(),
                    admin: false,
                    extra: Map::new(),
                };
                let change = store::put("sp", &made.id, &made)?;
                Ok((Ok(made.id), vec![change]))
            })
            .await??;
        Ok((StatusCode::CREATED, Some(self.one("serviceprincipals", &made)?)))
    }

    async fn create_user_from(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let need = |name: &str| {
            text(&body, name).ok_or_else(|| {
                Fault::bad(format!("A value is required for property '{name}' of resource 'User'."))
            })
        };
        let password = body.pointer("/passwordProfile/password").and_then(Value::as_str).ok_or_else(|| Fault::bad("The specified password does not comply with password complexity requirements. Please provide a different password."))?;
        let id =
            self.create_user(&need("userPrincipalName")?, &need("displayName")?, password, false).await?;
        Ok((StatusCode::CREATED, Some(self.one("users", &id)?)))
    }

    async fn create_group(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let need = |name: &str| {
            text(&body, name).ok_or_else(|| {
                Fault::bad(format!("A value is required for property '{name}' of resource 'Group'."))
            })
        };
        let group = Group {
            id: uuid::Uuid::new_v4().to_string(),
            name: need("displayName")?,
            nickname: need("mailNickname")?,
            description: text(&body, "description"),
            created: self.now().to_string(),
            members: Vec::new(),
        };
        let change = store::put("group", &group.id, &group)?;
        self.store.change(|_| Ok(((), vec![change]))).await?;
        Ok((StatusCode::CREATED, Some(shapes::group(&group))))
    }

    async fn add_password(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let body = asked.body().unwrap_or_default();
        let given = body.get("passwordCredential").unwrap_or(&Value::Null);
        let plain = secrets::client_secret();
        let mut secret = self.new_secret(&plain, text(given, "displayName").as_deref(), 2);
        secret.start = text(given, "startDateTime").unwrap_or(secret.start);
        secret.end = text(given, "endDateTime").unwrap_or(secret.end);
        let answer = json!({"keyId": secret.key_id, "displayName": secret.name, "hint": secret.hint, "startDateTime": secret.start,
            "endDateTime": secret.end, "secretText": plain, "customKeyIdentifier": null});
        self.change_secrets(asked, kind, move |secrets| secrets.push(secret)).await?;
        Ok((StatusCode::OK, Some(answer)))
    }

    async fn remove_password(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let key = text(&asked.body()?, "keyId").ok_or_else(|| Fault::bad("keyId is required."))?;
        self.change_secrets(asked, kind, move |secrets| secrets.retain(|s| s.key_id != key)).await?;
        Ok((StatusCode::NO_CONTENT, None))
    }

    async fn change_secrets(
        &self,
        asked: &Asked<'_>,
        kind: &str,
        change: impl FnOnce(&mut Vec<crate::model::Secret>),
    ) -> Result<(), Fault> {
        let id = self.id_of(kind, asked.path[1])?;
        let missing = crate::EntraError::NotFound { id: id.clone() };
        let changed = self.store.change(|state| {
            if kind == "applications" {
                let mut app = state.applications.get(&id).ok_or(missing)?.clone();
                change(&mut app.secrets);
                return Ok(((), vec![store::put("app", &id, &app)?]));
            }
            let mut principal = state.principals.get(&id).ok_or(missing)?.clone();
            change(&mut principal.secrets);
            Ok(((), vec![store::put("sp", &id, &principal)?]))
        });
        Ok(changed.await?)
    }

    async fn change_app(
        &self,
        key: &str,
        change: impl FnOnce(&mut Application),
    ) -> Result<Application, Fault> {
        let id = self.id_of("applications", key)?;
        let changed = self.store.change(|state| {
            let mut app = state.applications.get(&id).ok_or(crate::EntraError::NotFound { id })?.clone();
            change(&mut app);
            let record = store::put("app", &app.id, &app)?;
            Ok((app, vec![record]))
        });
        Ok(changed.await?)
    }

    async fn add_trust(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let need = |name: &str| {
            text(&body, name).ok_or_else(|| Fault::bad(format!("A value is required for property '{name}'.")))
        };
        let trust = Federated {
            id: uuid::Uuid::new_v4().to_string(),
            name: need("name")?,
            issuer: need("issuer")?,
            subject: need("subject")?,
            audiences: texts(body.get("audiences")),
            description: text(&body, "description"),
        };
        let shown = shapes::federated(&trust);
        self.change_app(asked.path[1], move |app| app.federated.push(trust)).await?;
        Ok((StatusCode::CREATED, Some(shown)))
    }

    async fn remove_trust(&self, asked: &Asked<'_>) -> Reply {
        let key = asked.path[3].to_owned();
        self.change_app(asked.path[1], move |app| app.federated.retain(|t| t.id != key && t.name != key))
            .await?;
        Ok((StatusCode::NO_CONTENT, None))
    }

    async fn change_member(&self, asked: &Asked<'_>, add: bool) -> Reply {
        let id = self.id_of("groups", asked.path[1])?;
        let member = if add {
            let reference =
                text(&asked.body()?, "@odata.id").ok_or_else(|| Fault::bad("@odata.id is required."))?;
            reference.rsplit('/').next().unwrap_or("").to_ascii_lowercase()
        } else {
            asked.path[3].to_ascii_lowercase()
        };
        if add && self.principal(&member).is_none() {
            return Err(Fault::not_found(&member));
        }
        let changed = self.store.change(|state| {
            let mut group = state.groups.get(&id).ok_or(crate::EntraError::NotFound { id })?.clone();
            let had = group.members.contains(&member);
            if add && had {
                return Ok((false, Vec::new()));
            }
            group.members.retain(|m| *m != member);
            if add {
                group.members.push(member);
            }
            let record = store::put("group", &group.id, &group)?;
            Ok((true, vec![record]))
        });
        if !changed.await? {
            return Err(Fault::bad(
                "One or more added object references already exist for the following modified properties: 'members'.",
            ));
        }
        Ok((StatusCode::NO_CONTENT, None))
    }

    async fn update(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let body = asked.body()?;
        if kind == "applications" || kind.starts_with("applications(") {
            let given = certificates(&body)?;
            let clear = body.get("passwordCredentials").and_then(Value::as_array).cloned();
            self.change_app(asked.path[1], |app| {
                app.name = text(&body, "displayName").unwrap_or_else(|| app.name.clone());
                if body.get("identifierUris").is_some() {
                    app.identifier_uris = texts(body.get("identifierUris"));
                }
                if let Some(given) = given {
                    app.certificates = given;
                }
                if let Some(kept) = clear {
                    app.secrets.retain(|s| kept.iter().any(|k| k["keyId"].as_str() == Some(&s.key_id)));
                }
                set_extra(&mut app.extra, &body);
            })
            .await?;
            return Ok((StatusCode::NO_CONTENT, None));
        }
        let id = self.id_of(kind, asked.path[1])?;
        let hash = match body.pointer("/passwordProfile/password").and_then(Value::as_str).map(str::to_owned)
        {
            Some(password) => Some(
                tokio::task::spawn_blocking(move || secrets::hash_password(&password))
                    .await
                    .map_err(|_| Fault::bad("cancelled"))?,
            ),
            None => None,
        };
        let enabled = body.get("accountEnabled").and_then(Value::as_bool);
        let name = text(&body, "displayName");
        let changed = self.store.change(|state| {
            let record = if let Some(mut p) = state.principals.get(&id).cloned() {
                p.enabled = enabled.unwrap_or(p.enabled);
                p.name = name.unwrap_or(p.name);
                store::put("sp", &id, &p)?
            } else if let Some(mut u) = state.users.get(&id).cloned() {
                u.enabled = enabled.unwrap_or(u.enabled);
                u.name = name.unwrap_or(u.name);
                u.password = hash.unwrap_or(u.password);
                store::put("user", &id, &u)?
            } else if let Some(mut g) = state.groups.get(&id).cloned() {
                g.name = name.unwrap_or(g.name);
                g.description = text(&body, "description").or(g.description);
                store::put("group", &id, &g)?
            } else {
                return Err(crate::EntraError::NotFound { id });
            };
            Ok(((), vec![record]))
        });
        changed.await?;
        Ok((StatusCode::NO_CONTENT, None))
    }

    async fn remove_object(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let id = self.id_of(kind, asked.path[1])?;
        self.store
            .change(|state| {
                let record = match kind.split('(').next().unwrap_or(kind) {
                    "applications" => {
                        let app = state.applications.get(&id).map(|a| a.app_id.clone()).unwrap_or_default();
                        let principal = state.principal_of(&app).map(|p| store::remove("sp", &p.id));
                        return Ok((
                            (),
                            std::iter::once(store::remove("app", &id)).chain(principal).collect(),
                        ));
                    }
                    "serviceprincipals" => store::remove("sp", &id),
                    "users" => store::remove("user", &id),
                    _ => store::remove("group", &id),
                };
                Ok(((), vec![record]))
            })
            .await?;
        Ok((StatusCode::NO_CONTENT, None))
    }
}
