//! Who may pull and push: Azure's token dance in front of the registry.
//!
//! ```text
//! GET /v2/ ─▶ 401 Bearer realm=…/oauth2/token
//! POST /oauth2/exchange  (an Entra access token)  ─▶ refresh token
//! GET|POST /oauth2/token (refresh token, or application id and secret) ─▶ access token for a scope
//! ```
//!
//! An access token says who its bearer is and what it was asked for: for another repository or deed it is no good. What
//! its bearer may do is asked of the [`Gate`] at every request all the same, so a role that is taken away counts at once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kit::http::{Connection, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::deleted::{Keeping, SoftDelete};
use super::errors::Failure;
use super::route::{Asked, Route};
use super::store::StoreError;

const FORM_MAX_BYTES: usize = 64 * 1024;
const ACCESS_VALID_S: i64 = 75 * 60;
const REFRESH_VALID_S: i64 = 3 * 3600;
/// The user name az and docker use with a refresh token as password.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

/// As the registries of the public cloud say it.
const NOT_AUTHORIZED: &str =
    "authentication required, visit https://aka.ms/acr/authorization for more information.";

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Prove who they are.
    Sign,
    /// List repositories.
    List,
    /// Read images.
    Pull,
    /// Read what is kept about images: tags, dates, locks.
    ReadMetadata,
    /// Change it.
    WriteMetadata,
    /// Write images.
    Push,
    /// Delete images.
    Delete,
    /// List what is deleted and can be restored.
    ReadDeleted,
    /// Restore it.
    Restore,
}

/// Somebody the directory knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Object id.
    pub object_id: String,
    /// What logs and errors call them.
    pub name: String,
}

/// What the registry asks of the directory and of authorisation.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Whose Entra access token this is.
    async fn bearer(&self, token: &str) -> Option<Principal>;
    /// Who signs in to the registry `host` with this name and secret: an application, or the registry's admin user.
    async fn secret(&self, host: &str, name: &str, secret: &str) -> Option<Principal>;
    /// Whether anybody may pull from this repository.
    async fn is_public(&self, repository: &str) -> bool;
    /// Whether they may do it in this repository (`host/name`; a bare `host` for the list of repositories).
    async fn allows(&self, principal: &Principal, repository: &str, action: Action) -> bool;
    /// Whether this connection comes from a machine that may pull from this repository without signing in: what stands for the internet's
    /// public registries is open to machines, what is kept in a container registry is not.
    fn is_open_to(&self, connection: &Connection, repository: &str) -> bool;
    /// What becomes of what is deleted in this repository.
    fn soft_delete(&self, _repository: &str) -> SoftDelete {
        SoftDelete::default()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    name: String,
    aud: String,
    grant: Grant,
    #[serde(default)]
    access: Vec<Scope>,
    exp: i64,
}

/// What an access token is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scope {
    /// `host/name`; a bare host for its list of repositories.
    name: String,
    /// The words of the scope that were granted.
    actions: Vec<String>,
}

impl Scope {
    fn covers(&self, repository: &str, action: Action) -> bool {
        self.name == repository && self.actions.iter().any(|word| actions_named(word).contains(&action))
    }
}

/// Who asks, and what their token is for: anything, unless it is one of the registry's own.
struct Bearer {
    principal: Principal,
    scopes: Option<Vec<Scope>>,
}

impl Bearer {
    fn anything(principal: Principal) -> Self {
        Self { principal, scopes: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Grant {
    Refresh,
    Access,
}

/// The registry's own tokens.
pub(super) struct Auth {
    gate: Arc<dyn Gate>,
    clock: Arc<dyn kit::Clock>,
    encode: EncodingKey,
    decode: DecodingKey,
}

impl Auth {
    pub(super) fn open(
        dir: &Path,
        gate: Arc<dyn Gate>,
        clock: Arc<dyn kit::Clock>,
    ) -> Result<Self, StoreError> {
        let path = dir.join("token.key");
        let key = match kit::files::read(&path) {
            Ok(key) => key,
            Err(error) if error.is_missing() => {
                let key = [*uuid::Uuid::new_v4().as_bytes(), *uuid::Uuid::new_v4().as_bytes()].concat();
                kit::files::write_atomic(&path, &key, kit::files::Readers::Owner)?;
                key
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            gate,
            clock,
            encode: EncodingKey::from_secret(&key),
            decode: DecodingKey::from_secret(&key),
        })
    }

    /// What becomes now of what is deleted where a request asks.
    pub(super) fn keeping(&self, route: &Route) -> Keeping {
        self.gate.soft_delete(&route.repository).at(self.clock.now())
    }

    /// Lets a request pass or says why not.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        connection: Option<&Connection>,
        route: &Route,
        action: Action,
    ) -> Result<(), Failure> {
        let reads = matches!(action, Action::Pull | Action::ReadMetadata);
        if (reads || action == Action::List)
            && connection.is_some_and(|connection| self.gate.is_open_to(connection, &route.repository))
        {
            return Ok(());
        }
        let Some(bearer) = self.who(headers, route).await else {
            if reads
                && !headers.contains_key(header::AUTHORIZATION)
                && self.gate.is_public(&route.repository).await
            {
                return Ok(());
            }
            return Err(Failure::unauthorized(challenge(route, action)));
        };
        if action == Action::Sign {
            return Ok(());
        }
        if bearer.scopes.is_some_and(|scopes| !scopes.iter().any(|s| s.covers(&route.repository, action))) {
            let challenge = format!("{},error=\"insufficient_scope\"", challenge(route, action));
            return Err(Failure::unauthorized(challenge));
        }
        if self.gate.allows(&bearer.principal, &route.repository, action).await {
            return Ok(());
        }
        Err(Failure::denied(format!(
            "requested access to `{}` is denied to `{}`",
            route.repository, bearer.principal.name
        )))
    }

    async fn who(&self, headers: &HeaderMap, route: &Route) -> Option<Bearer> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return match self.own(credentials, route, Grant::Access) {
                Some(bearer) => Some(bearer),
                None => self.gate.bearer(credentials).await.map(Bearer::anything),
            };
        }
        if scheme.eq_ignore_ascii_case("basic") {
            return self.basic(credentials, route).await.map(Bearer::anything);
        }
        None
    }

    async fn basic(&self, credentials: &str, route: &Route) -> Option<Principal> {
        let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        if user == TOKEN_USER {
            return self.own(password, route, Grant::Refresh).map(|bearer| bearer.principal);
        }
        self.gate.secret(&route.host, user, password).await
    }

    fn own(&self, token: &str, route: &Route, grant: Grant) -> Option<Bearer> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[&route.host]);
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decode, &validation).ok()?.claims;
        let valid = claims.grant == grant && claims.exp > self.clock.now().as_second();
        let principal = Principal { object_id: claims.sub, name: claims.name };
        valid.then_some(Bearer { principal, scopes: Some(claims.access) })
    }

    fn sign(
        &self,
        principal: &Principal,
        route: &Route,
        grant: Grant,
        access: Vec<Scope>,
    ) -> Result<String, Failure> {
        let valid = match grant {
            Grant::Refresh => REFRESH_VALID_S,
            Grant::Access => ACCESS_VALID_S,
        };
        let claims = Claims {
            sub: principal.object_id.clone(),
            name: principal.name.clone(),
            aud: route.host.clone(),
            grant,
            access,
            exp: self.clock.now().as_second() + valid,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encode).map_err(|error| {
            tracing::error!(%error, "failed to sign a registry token");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry could not sign a token")
        })
    }

    /// What of these scopes they may have; none when they name something and none of it is allowed.
    async fn granted(&self, principal: &Principal, route: &Route, scopes: &[String]) -> Option<Vec<Scope>> {
        let host = route.field("ns").unwrap_or(&route.host).to_ascii_lowercase();
        let (mut found, mut named) = (Vec::new(), false);
        for scope in scopes.iter().flat_map(|scopes| scopes.split(' ')) {
            let parts = scope.split_once(':').and_then(|(kind, rest)| Some((kind, rest.rsplit_once(':')?)));
            let (name, words) = match parts {
                Some(("repository", (name, words))) => (format!("{host}/{name}"), words),
                Some(("registry", ("catalog", words))) => (host.clone(), words),
                Some(("registry", ("deleted_catalog", "*"))) => (host.clone(), "deleted_read"),
                _ => continue,
            };
            named |= name != host;
            let mut actions = Vec::new();
            for word in words.split(',') {
                for action in actions_named(word) {
                    if self.gate.allows(principal, &name, *action).await {
                        actions.push(word.to_owned());
                        break;
                    }
                }
            }
            if !actions.is_empty() {
                found.push(Scope { name, actions });
            }
        }
        (!named || !found.is_empty()).then_some(found)
    }

    /// `/oauth2/exchange` and `/oauth2/token`.
    pub(super) async fn issue(&self, request: Request, route: &Route) -> Result<Response, Failure> {
        let basic = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Basic "))
            .map(str::to_owned);
        let bytes = kit::http::read(request.into_body(), FORM_MAX_BYTES).await?;
        let fields = || url::form_urlencoded::parse(&bytes).into_owned();
        let asked = fields().chain(route.query.iter().cloned());
        let scopes: Vec<String> = asked.filter(|(name, _)| name == "scope").map(|(_, scope)| scope).collect();
        let form: HashMap<String, String> = fields().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let refused = || {
            Failure::new(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "the credentials are not valid for this registry",
            )
        };
        if route.asked == Asked::Exchange {
            let principal = self.gate.bearer(field("access_token")).await.ok_or_else(refused)?;
            let token = self.sign(&principal, route, Grant::Refresh, Vec::new())?;
            return Ok(kit::http::json(StatusCode::OK, &json!({"refresh_token": token})));
        }
        let principal = match basic {
            Some(basic) => self.basic(&basic, route).await,
            None => match field("grant_type") {
                "refresh_token" => {
                    self.own(field("refresh_token"), route, Grant::Refresh).map(|bearer| bearer.principal)
                }
                "password" => self.gate.secret(&route.host, field("username"), field("password")).await,
                _ => None,
            },
        };
        let principal = principal.ok_or_else(refused)?;
        let Some(access) = self.granted(&principal, route, &scopes).await else {
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", NOT_AUTHORIZED));
        };
        let token = self.sign(&principal, route, Grant::Access, access)?;
        let body = json!({"access_token": token, "token": token, "expires_in": ACCESS_VALID_S});
        Ok(kit::http::json(StatusCode::OK, &body))
    }
}

/// What a word of a scope stands for; what is most asked for first. Who may read an image may read what is kept about it.
fn actions_named(word: &str) -> &'static [Action] {
    use Action::{Delete, List, Pull, Push, ReadDeleted, ReadMetadata, Restore, WriteMetadata};
    match word {
        "pull" => &[Pull, ReadMetadata],
        "metadata_read" => &[ReadMetadata],
        "push" => &[Push],
        "metadata_write" => &[WriteMetadata],
        "delete" => &[Delete],
        "deleted_read" => &[ReadDeleted],
        "deleted_restore" => &[Restore],
        "*" => &[Pull, Push, Delete, ReadMetadata, WriteMetadata, List],
        _ => &[],
    }
}

fn challenge(route: &Route, action: Action) -> String {
    // A token is asked for by the repository's name alone; where the request was for another registry's, the realm remembers whose.
    let other = route.field("ns").filter(|_| !route.name.is_empty());
    let place = other.map(|host| format!("?ns={host}")).unwrap_or_default();
    let mut text = format!("Bearer realm=\"https://{0}/oauth2/token{place}\",service=\"{0}\"", route.host);
    let list = match route.asked {
        Asked::Catalog => Some("catalog"),
        Asked::DeletedCatalog => Some("deleted_catalog"),
        _ => None,
    };
    if let Some(list) = list {
        text.push_str(&format!(",scope=\"registry:{list}:*\""));
        return text;
    }
    let actions = match action {
        Action::Sign => return text,
        Action::List => "*",
        Action::Pull => "pull",
        Action::ReadMetadata => "metadata_read",
        Action::WriteMetadata => "metadata_write",
        Action::Push => "pull,push",
        Action::Delete => "delete",
        Action::ReadDeleted => "deleted_read",
        Action::Restore => "deleted_read,deleted_restore",
    };
    text.push_str(&format!(",scope=\"repository:{}:{actions}\"", route.name));
    text
}
