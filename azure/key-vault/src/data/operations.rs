//! Using a key: encrypt, decrypt, wrap, unwrap, sign, verify.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::http::Response;
use serde_json::json;

use super::asked::Asked;
use super::kind::{Kind, cryptography};
use super::model::{Content, Version, url};
use super::objects::ok;
use super::{DataPlane, Failure};
use crate::crypto::Material;

/// `POST /keys/<name>[/<version>]/<operation>`.
pub(super) async fn answer(
    plane: &DataPlane,
    asked: &Asked,
    name: &str,
    version: Option<&str>,
    operation: &str,
) -> Result<Response, Failure> {
    let Some((right, operation)) = cryptography(operation) else { return Err(asked.no_such_operation()) };
    plane.authorize(asked, right, Some(name))?;
    let (head, found) = plane.find(asked, Kind::Key, name, version)?;
    let Content::Key(material) = &found.content else { return Err(Failure::internal()) };
    check(material, &found, operation, plane.now())?;
    let algorithm =
        asked.text("alg").ok_or_else(|| Failure::bad("The property 'alg' is required."))?.to_owned();
    let value = bytes(asked, "value")?;
    let digest = if operation == "verify" { bytes(asked, "digest")? } else { Vec::new() };
    let (material, kid) = (material.clone(), url(&asked.vault, Kind::Key, &head.name, Some(&found.id)));
    let done = tokio::task::spawn_blocking(move || match operation {
        "encrypt" | "wrapKey" => material.encrypt(&algorithm, &value).map(Done::Bytes),
        "decrypt" | "unwrapKey" => material.decrypt(&algorithm, &value).map(Done::Bytes),
        "sign" => material.sign(&algorithm, &value).map(Done::Bytes),
        _ => material.verify(&algorithm, &digest, &value).map(Done::Holds),
    });
    Ok(match done.await.map_err(|_| Failure::internal())?? {
        Done::Bytes(bytes) => ok(&json!({"kid": kid, "value": URL_SAFE_NO_PAD.encode(bytes)})),
        Done::Holds(holds) => ok(&json!({"value": holds})),
    })
}

enum Done {
    Bytes(Vec<u8>),
    Holds(bool),
}

fn bytes(asked: &Asked, name: &str) -> Result<Vec<u8>, Failure> {
    let text = asked.text(name).ok_or_else(|| Failure::bad(format!("The property '{name}' is required.")))?;
    URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .map_err(|_| Failure::bad(format!("The property '{name}' is not encoded with base64url.")))
}

/// Refuses what the key's attributes forbid. A key outside its time still decrypts, unwraps and verifies.
fn check(material: &Material, version: &Version, operation: &str, now: i64) -> Result<(), Failure> {
    let refuse = |why: &str, inner| {
        Err(Failure::forbidden(format!("Operation {operation} is not allowed on {why}.")).inner(inner))
    };
    if !version.enabled {
        return refuse("a disabled key", Kind::Key.disabled());
    }
    if !matches!(operation, "decrypt" | "unwrapKey" | "verify") {
        if version.not_before.is_some_and(|at| at > now) {
            return refuse("a key that is not yet valid", "KeyNotYetValid");
        }
        if version.expires.is_some_and(|at| at <= now) {
            return refuse("an expired key", "KeyExpired");
        }
    }
    if !material.operations.iter().any(|allowed| allowed == operation) {
        return Err(Failure::forbidden(format!("Operation {operation} is not permitted on this key."))
            .inner("KeyOperationForbidden"));
    }
    Ok(())
}
