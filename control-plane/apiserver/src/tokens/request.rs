//! Issuing: `POST …/serviceaccounts/<name>/token`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ServiceAccountTokens;
use crate::attributes::{ApiError, Objects, UserInfo, text, texts};
use crate::authz::node_name;

/// The kubelet asks for 3607 s and gets a year, as upstream extends tokens for old clients; the token says when it is stale.
const WARN_AFTER_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;
const SHORTEST_SECONDS: i64 = 600;
const LONGEST_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 3600;

/// An answered `TokenRequest`.
#[derive(Debug)]
pub struct Issued {
    /// The answer; it holds the token.
    pub request: Value,
    /// The token's id, for the audit log.
    pub credential_id: String,
    /// What the client is to be told.
    pub warning: Option<String>,
}

impl ServiceAccountTokens {
    /// Answers a `TokenRequest` for a service account; `user` is who asks (already authorised to create it).
    pub fn issue(
        &self,
        objects: &dyn Objects,
        namespace: &str,
        account: &str,
        mut request: Value,
        user: &UserInfo,
    ) -> Result<Issued, ApiError> {
        let found = objects
            .get("", "serviceaccounts", namespace, account)
            .ok_or_else(|| ApiError::not_found("", "serviceaccounts", account))?;
        check_account_uid(&request, account, text(&found, "/metadata/uid"))?;
        let (seconds, warning) = self.lifetime(&request)?;
        let mut audiences = texts(&request, "/spec/audiences");
        if audiences.is_empty() {
            audiences = self.audiences.clone();
        }
        let mut private = Map::new();
        private.insert("namespace".into(), json!(namespace));
        private
            .insert("serviceaccount".into(), json!({"name": account, "uid": text(&found, "/metadata/uid")}));
        let bound = request.pointer("/spec/boundObjectRef").filter(|reference| !reference.is_null()).cloned();
        if let Some(reference) = &bound {
            bind(objects, namespace, account, reference, user, &mut private)?;
        }
        let now = self.now();
        let own = audiences.iter().all(|one| self.audiences.contains(one));
        let extended =
            self.lifetimes.extends && own && seconds == WARN_AFTER_SECONDS && private.contains_key("pod");
        if extended {
            private.insert("warnafter".into(), json!(now + seconds));
        }
        let expires = now + if extended { EXTENDED_SECONDS } else { seconds };
        let id = uuid::Uuid::new_v4().to_string();
        let claims = json!({
            "aud": audiences,
            "exp": expires,
            "iat": now,
            "nbf": now,
            "iss": self.issuer,
            "jti": id,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "kubernetes.io": private,
        });
        let token = self.sign(&claims)?;
        // The answer names the time that was asked for, so that the kubelet renews in time.
        let shown = Timestamp::from_second(now + seconds).map_err(ApiError::internal)?;
        request["apiVersion"] = json!("authentication.k8s.io/v1");
        request["kind"] = json!("TokenRequest");
        request["metadata"] = json!({
            "name": account,
            "namespace": namespace,
            "creationTimestamp": Timestamp::from_second(now).map_err(ApiError::internal)?.to_string(),
        });
        request["spec"]["audiences"] = json!(audiences);
        request["spec"]["expirationSeconds"] = json!(seconds);
        request["status"] = json!({"token": token, "expirationTimestamp": shown.to_string()});
        Ok(Issued { request, credential_id: format!("JTI={id}"), warning })
    }

    /// How long the token is to live, and what to say about it.
    fn lifetime(&self, request: &Value) -> Result<(i64, Option<String>), ApiError> {
        let asked = asked_lifetime(request)?;
        match self.lifetimes.longest_seconds {
            Some(longest) if asked > longest => {
                let warning =
                    format!("requested expiration of {asked} seconds shortened to {longest} seconds");
                Ok((longest, Some(warning)))
            }
            _ => Ok((asked, None)),
        }
    }

    pub(super) fn sign(&self, claims: &Value) -> Result<String, ApiError> {
        let Some(key) = self.keys.first() else { return Err(ApiError::internal("no key to sign with")) };
        let mut header = jsonwebtoken::Header::new(key.algorithm);
        header.typ = None;
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, claims, &self.signer).map_err(|error| {
            tracing::error!(%error, "failed to sign a service-account token");
            ApiError::internal("failed to sign a token")
        })
    }
}

fn asked_lifetime(request: &Value) -> Result<i64, ApiError> {
    let asked = match request.pointer("/spec/expirationSeconds") {
        None | Some(Value::Null) => return Ok(DEFAULT_SECONDS),
        Some(asked) => asked.as_i64().unwrap_or(0),
    };
    let why = if asked < SHORTEST_SECONDS {
        "may not specify a duration less than 10 minutes"
    } else if asked > LONGEST_SECONDS {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(asked);
    };
    let cause = api_model::Cause {
        field: "spec.expirationSeconds".into(),
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {asked}: {why}"),
    };
    Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]))
}

/// Who names a uid means the account that has it.
fn check_account_uid(request: &Value, account: &str, real: &str) -> Result<(), ApiError> {
    let asked = text(request, "/metadata/uid");
    if asked.is_empty() || asked == real {
        return Ok(());
    }
    let why = format!(
        "the UID in the token request ({asked}) does not match the UID of the service account ({real})"
    );
    Err(ApiError::conflict("", "serviceaccounts", account, &why))
}

/// `v1, Kind=Pod`, as upstream prints a kind.
fn printed_kind(reference: &Value) -> String {
    format!("{}, Kind={}", text(reference, "/apiVersion"), text(reference, "/kind"))
}

/// Notes what the token is bound to, after checking that it is there.
fn bind(
    objects: &dyn Objects,
    namespace: &str,
    account: &str,
    reference: &Value,
    user: &UserInfo,
    private: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let (kind, name, uid) = (text(reference, "/kind"), text(reference, "/name"), text(reference, "/uid"));
    let (plural, place) = match kind {
        "Pod" => ("pods", namespace),
        "Secret" => ("secrets", namespace),
        "Node" => ("nodes", ""),
        _ => {
            let kind = printed_kind(reference);
            return Err(ApiError::bad_request(format!("cannot bind token to object of type {kind}")));
        }
    };
    let found = objects.get("", plural, place, name).ok_or_else(|| ApiError::not_found("", plural, name))?;
    let real = text(&found, "/metadata/uid");
    if !uid.is_empty() && uid != real {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict("", kind, name, &why));
    }
    private.insert(kind.to_ascii_lowercase(), json!({"name": name, "uid": real}));
    if kind != "Pod" {
        return Ok(());
    }
    if text(&found, "/spec/serviceAccountName") != account {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount \"{account}\" to pod running with different serviceaccount name."
        )));
    }
    let node = text(&found, "/spec/nodeName");
    if node_name(user).is_some_and(|asking| asking != node) {
        return Err(ApiError::forbidden(
            "",
            "serviceaccounts",
            account,
            "node requested token bound to a pod scheduled on a different node",
        ));
    }
    match objects.get("", "nodes", "", node) {
        Some(found) => {
            private.insert("node".into(), json!({"name": node, "uid": text(&found, "/metadata/uid")}));
        }
        // The pod says where it runs even when the node is not registered.
        None if !node.is_empty() => {
            private.insert("node".into(), json!({"name": node}));
        }
        None => {}
    }
    Ok(())
}
