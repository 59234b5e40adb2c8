//! Secrets, certificates and trusts of applications and service principals.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;

use super::write::{text, texts};
use super::{Asked, Fault, Reply, shapes};
use crate::EntraError;
use crate::entra::Entra;
use crate::model::{Application, Certificate, Federated, PrincipalKind, Secret};
use crate::{secrets, store};

/// Most trusts of one application.
const TRUSTS_MAX: usize = 20;

fn instant(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}

/// One certificate of a body. One that is there already may come without its key, as it is shown.
fn certificate(given: &Value, kept: &[Certificate]) -> Result<Certificate, Fault> {
    let key_id = text(given, "keyId");
    let Some(key) = text(given, "key").filter(|k| !k.is_empty()) else {
        let same = kept.iter().find(|c| Some(&c.key_id) == key_id.as_ref()).cloned();
        return same.ok_or_else(|| {
            Fault::bad("A value is required for property 'key' of resource 'KeyCredential'.")
        });
    };
    let invalid = || Fault::bad("Key credential must be a valid certificate.");
    // az sends the lines of a PEM file as they are.
    let packed: String = key.split_whitespace().collect();
    let der = STANDARD.decode(&packed).map_err(|_| invalid())?;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&der).map_err(|_| invalid())?;
    let (from, until) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let end = text(given, "endDateTime");
    if end.as_ref().and_then(|e| e.parse::<jiff::Timestamp>().ok()).is_some_and(|e| e.as_second() > until) {
        return Err(Fault::bad("Key credential end date is invalid."));
    }
    let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    Ok(Certificate {
        key_id: key_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        der: packed,
        name: text(given, "displayName").or_else(|| Some(parsed.subject().to_string())),
        start: text(given, "startDateTime").unwrap_or_else(|| instant(from)),
        end: end.unwrap_or_else(|| instant(until)),
        thumbprint: thumbprint.as_ref().iter().map(|b| format!("{b:02X}")).collect(),
    })
}

/// `keyCredentials` of a body: the whole list that is to be.
pub(super) fn certificates(body: &Value, kept: &[Certificate]) -> Result<Option<Vec<Certificate>>, Fault> {
    let Some(list) = body.get("keyCredentials").and_then(Value::as_array) else { return Ok(None) };
    list.iter().map(|given| certificate(given, kept)).collect::<Result<_, _>>().map(Some)
}

impl Entra {
    /// A new secret, and how it is shown the only time that its text is.
    pub(super) fn make_secret(&self, given: &Value) -> Result<(Secret, Value), Fault> {
        let plain = secrets::client_secret();
        let mut secret = self.new_secret(&plain, text(given, "displayName").as_deref(), 2);
        for (name, field) in [("startDateTime", &mut secret.start), ("endDateTime", &mut secret.end)] {
            let Some(given) = text(given, name) else { continue };
            // As one form, so that times compare as texts.
            let parsed: jiff::Timestamp = given.parse().map_err(|_| {
                Fault::bad(format!(
                    "Cannot convert the literal '{given}' to the expected type 'Edm.DateTimeOffset'."
                ))
            })?;
            *field = parsed.to_string();
        }
        let mut shown = shapes::secret(&secret);
        shown["secretText"] = json!(plain);
        Ok((secret, shown))
    }

    pub(super) async fn add_password(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let body = asked.body().unwrap_or_default();
        let (secret, shown) = self.make_secret(body.get("passwordCredential").unwrap_or(&Value::Null))?;
        self.change_secrets(asked, kind, move |secrets| {
            secrets.push(secret);
            true
        })
        .await?;
        Ok((StatusCode::OK, Some(shown)))
    }

    pub(super) async fn remove_password(&self, asked: &Asked<'_>, kind: &str) -> Reply {
        let key = asked.need(&asked.body()?, "keyId", "PasswordCredential")?;
        let removed = self
            .change_secrets(asked, kind, |secrets| {
                let before = secrets.len();
                secrets.retain(|s| s.key_id != key);
                secrets.len() < before
            })
            .await?;
        if removed {
            return Ok((StatusCode::NO_CONTENT, None));
        }
        Err(Fault::bad(format!("No password credential found with keyId '{key}'.")))
    }

    async fn change_secrets(
        &self,
        asked: &Asked<'_>,
        kind: &str,
        change: impl FnOnce(&mut Vec<Secret>) -> bool,
    ) -> Result<bool, Fault> {
        let id = self.id_of(kind, &asked.path[1])?;
        let missing = EntraError::NotFound { id: id.clone() };
        let changed = self.store.change(|state| {
            if kind == "applications" {
                let mut app = state.applications.get(&id).ok_or(missing)?.clone();
                let done = change(&mut app.secrets);
                return Ok((Ok(done), vec![store::put("app", &id, &app)?]));
            }
            let mut principal = state.principals.get(&id).ok_or(missing)?.clone();
            if principal.kind != PrincipalKind::Application {
                return Ok((Err(Fault::denied()), Vec::new()));
            }
            let done = change(&mut principal.secrets);
            Ok((Ok(done), vec![store::put("sp", &id, &principal)?]))
        });
        changed.await?
    }

    /// Changes an application's trusts; `change` may refuse.
    async fn change_trusts(
        &self,
        asked: &Asked<'_>,
        change: impl FnOnce(&mut Application) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let id = self.id_of("applications", &asked.path[1])?;
        let changed = self.store.change(|state| {
            let mut app = state.applications.get(&id).ok_or(EntraError::NotFound { id })?.clone();
            match change(&mut app) {
                Ok(()) => Ok((Ok(()), vec![store::put("app", &app.id, &app)?])),
                Err(fault) => Ok((Err(fault), Vec::new())),
            }
        });
        changed.await?
    }

    pub(super) async fn add_trust(&self, asked: &Asked<'_>) -> Reply {
        let body = asked.body()?;
        let need = |name: &str| asked.need(&body, name, "FederatedIdentityCredential");
        let trust = Federated {
            id: uuid::Uuid::new_v4().to_string(),
            name: need("name")?,
            issuer: need("issuer")?,
            subject: need("subject")?,
            audiences: texts(body.get("audiences")),
            description: text(&body, "description"),
        };
        let shown = shapes::federated(&trust);
        self.change_trusts(asked, move |app| {
            check_trust(&trust, &app.federated)?;
            if app.federated.len() >= TRUSTS_MAX {
                return Err(Fault::bad(format!(
                    "The application already has the maximum of {TRUSTS_MAX} federated identity credentials."
                )));
            }
            app.federated.push(trust);
            Ok(())
        })
        .await?;
        Ok((StatusCode::CREATED, Some(shown)))
    }

    pub(super) async fn change_trust(&self, asked: &Asked<'_>) -> Reply {
        let (body, key) = (asked.body()?, asked.path[3].clone());
        self.change_trusts(asked, move |app| {
            let found = app.federated.iter().position(|t| t.id == key || t.name == key);
            let index = found.ok_or_else(|| Fault::not_found(&key))?;
            let mut trust = app.federated.remove(index);
            if text(&body, "name").is_some_and(|name| name != trust.name) {
                return Err(Fault::bad(
                    "The property 'name' of a federated identity credential cannot be changed.",
                ));
            }
            trust.issuer = text(&body, "issuer").unwrap_or(trust.issuer);
            trust.subject = text(&body, "subject").unwrap_or(trust.subject);
            trust.description = text(&body, "description").or(trust.description);
            if body.get("audiences").is_some() {
                trust.audiences = texts(body.get("audiences"));
            }
            check_trust(&trust, &app.federated)?;
            app.federated.insert(index, trust);
            Ok(())
        })
        .await?;
        Ok((StatusCode::NO_CONTENT, None))
    }

    pub(super) async fn remove_trust(&self, asked: &Asked<'_>) -> Reply {
        let key = asked.path[3].clone();
        self.change_trusts(asked, move |app| {
            let before = app.federated.len();
            app.federated.retain(|t| t.id != key && t.name != key);
            if app.federated.len() < before { Ok(()) } else { Err(Fault::not_found(&key)) }
        })
        .await?;
        Ok((StatusCode::NO_CONTENT, None))
    }
}

/// The rules of a trust, alone and beside the others.
fn check_trust(trust: &Federated, others: &[Federated]) -> Result<(), Fault> {
    if trust.audiences.len() != 1 {
        return Err(Fault::bad("A federated identity credential must have exactly one audience."));
    }
    if !url::Url::parse(&trust.issuer).is_ok_and(|u| u.scheme() == "https" && u.has_host()) {
        return Err(Fault::bad("The issuer of a federated identity credential must be a valid HTTPS URL."));
    }
    let conflict = |message: &str| {
        Err(Fault {
            status: StatusCode::CONFLICT,
            code: "Request_MultipleObjectsWithSameKeyValue",
            message: message.to_owned(),
        })
    };
    if others.iter().any(|o| o.name == trust.name) {
        return conflict("FederatedIdentityCredential with name already exists.");
    }
    if others.iter().any(|o| o.issuer == trust.issuer && o.subject == trust.subject) {
        return conflict("FederatedIdentityCredential with issuer and subject already exists.");
    }
    Ok(())
}
