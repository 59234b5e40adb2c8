//! `/keys`: making and keeping them. Using them is in `operations`.

use http::Method;
use kit::http::Response;
use serde_json::{Value, json};

use super::asked::Asked;
use super::kind::{CREATE_KEY, Deed, GET_ROTATION, IMPORT_KEY, Kind, ROTATE_KEY, Right, SET_ROTATION};
use super::model::{Content, bundle, new_id, url};
use super::objects::{self, managed, ok};
use super::operations;
use super::store::Changes;
use super::{DataPlane, Failure};
use crate::crypto::{CryptoError, Material, Wish};

impl From<CryptoError> for Failure {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::Refused(why) => Failure::bad(why),
            CryptoError::Failed => {
                tracing::error!("the cryptographic library failed");
                Failure::internal()
            }
        }
    }
}

/// Everything below `/keys`.
pub(super) async fn answer(plane: &DataPlane, asked: &Asked, words: &[&str]) -> Result<Response, Failure> {
    match (&asked.method, words) {
        (&Method::GET, []) => objects::list(plane, asked, Kind::Key),
        (&Method::POST, ["restore"]) => objects::restore(plane, asked, Kind::Key).await,
        (&Method::POST, [name, "create"]) => create(plane, asked, name).await,
        (&Method::PUT, [name]) => import(plane, asked, name).await,
        (&Method::POST, [name, "rotate"]) => rotate(plane, asked, name).await,
        (&Method::DELETE, [name]) => objects::delete(plane, asked, Kind::Key, name).await,
        (&Method::POST, [name, "backup"]) => objects::backup(plane, asked, Kind::Key, name),
        (&Method::GET, [name, "versions"]) => objects::versions(plane, asked, Kind::Key, name),
        (&Method::GET, [name, "rotationpolicy"]) => rotation_policy(plane, asked, name),
        (&Method::PUT, [name, "rotationpolicy"]) => set_rotation_policy(plane, asked, name).await,
        (&Method::POST, [.., last @ ("release" | "attestation")]) => {
            Err(Failure::not_implemented(&format!("The operation '{last}' on keys")))
        }
        (&Method::POST, [name, operation]) => operations::answer(plane, asked, name, None, operation).await,
        (&Method::POST, [name, version, operation]) => {
            operations::answer(plane, asked, name, Some(version), operation).await
        }
        (&Method::GET, [name]) => get(plane, asked, name, None),
        (&Method::GET, [name, version]) => get(plane, asked, name, Some(version)),
        (&Method::PATCH, [name]) => update(plane, asked, name, None).await,
        (&Method::PATCH, [name, version]) => update(plane, asked, name, Some(version)).await,
        _ => Err(asked.no_such_operation()),
    }
}

fn get(plane: &DataPlane, asked: &Asked, name: &str, version: Option<&str>) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Key.right(Deed::Get), Some(name))?;
    let (head, found) = plane.find(asked, Kind::Key, name, version)?;
    Ok(ok(&bundle(&asked.vault, Kind::Key, &head, &found)))
}

/// Stores new key material as the name's newest version.
async fn store(
    plane: &DataPlane,
    asked: &Asked,
    name: &str,
    material: Material,
) -> Result<Response, Failure> {
    let _turn = plane.store.turn().await;
    let mut changes = Changes::default();
    let mut head = plane.head_to_write(asked, &mut changes, Kind::Key, name)?;
    let mut version = head.next(&new_id(), plane.now(), Content::Key(material));
    version.take(&asked.body)?;
    plane.write(asked, Kind::Key, &head, &version, changes).await?;
    Ok(ok(&bundle(&asked.vault, Kind::Key, &head, &version)))
}

/// Refuses before a costly key is made what would be refused after.
fn check(plane: &DataPlane, asked: &Asked, right: Right, name: &str) -> Result<(), Failure> {
    plane.authorize(asked, right, Some(name))?;
    plane.head_to_write(asked, &mut Changes::default(), Kind::Key, name).map(|_| ())
}

/// Makes a key where it holds nobody up.
pub(super) async fn generate(wish: Wish) -> Result<Material, Failure> {
    let made = tokio::task::spawn_blocking(move || Material::generate(&wish)).await;
    Ok(made.map_err(|_| Failure::internal())??)
}

fn check_hsm(asked: &Asked, wish: &Wish) -> Result<(), Failure> {
    if wish.hsm && !asked.vault.premium() {
        return Err(Failure::bad(
            "HSM-protected keys need a vault of the premium SKU; this vault's SKU is standard.",
        ));
    }
    Ok(())
}

async fn create(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    check(plane, asked, CREATE_KEY, name)?;
    let wish = Wish::read(&asked.body)?;
    check_hsm(asked, &wish)?;
    let material = generate(wish).await?;
    store(plane, asked, name, material).await
}

async fn import(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    check(plane, asked, IMPORT_KEY, name)?;
    let given = asked.body.get("key").unwrap_or(&Value::Null);
    let mut material = Material::import(given)?;
    if asked.body.get("Hsm").or_else(|| asked.body.get("hsm")) == Some(&json!(true)) {
        material.hsm = true;
    }
    if material.hsm && !asked.vault.premium() {
        return Err(Failure::bad(
            "HSM-protected keys need a vault of the premium SKU; this vault's SKU is standard.",
        ));
    }
    store(plane, asked, name, material).await
}

async fn rotate(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, ROTATE_KEY, Some(name))?;
    let (head, current) = plane.find(asked, Kind::Key, name, None)?;
    if head.managed {
        return Err(managed(Kind::Key, name));
    }
    let Content::Key(material) = &current.content else { return Err(Failure::internal()) };
    let material = generate(material.alike()).await?;
    let _turn = plane.store.turn().await;
    let mut changes = Changes::default();
    let mut head = plane.head_to_write(asked, &mut changes, Kind::Key, name)?;
    let mut version = head.next(&new_id(), plane.now(), Content::Key(material));
    version.tags = current.tags;
    plane.write(asked, Kind::Key, &head, &version, changes).await?;
    Ok(ok(&bundle(&asked.vault, Kind::Key, &head, &version)))
}

async fn update(
    plane: &DataPlane,
    asked: &Asked,
    name: &str,
    version: Option<&str>,
) -> Result<Response, Failure> {
    objects::update(plane, asked, Kind::Key, name, version, |_, version| {
        if let (Content::Key(material), Some(given)) = (&mut version.content, asked.body.get("key_ops")) {
            material.set_operations(given)?;
        }
        Ok(())
    })
    .await
}

fn rotation_policy(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, GET_ROTATION, Some(name))?;
    let (head, _) = plane.find(asked, Kind::Key, name, None)?;
    let mut shown = if head.policy.is_null() {
        json!({
            "lifetimeActions": [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}],
            "attributes": {},
        })
    } else {
        head.policy.clone()
    };
    shown["id"] = json!(format!("{}/rotationpolicy", url(&asked.vault, Kind::Key, &head.name, None)));
    Ok(ok(&shown))
}

async fn set_rotation_policy(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, SET_ROTATION, Some(name))?;
    let actions = arm::json::list(&asked.body, "/lifetimeActions");
    for action in actions {
        match arm::json::text(action, "/action/type").map(str::to_ascii_lowercase).as_deref() {
            Some("notify") => {}
            Some("rotate") => return Err(Failure::not_implemented("The rotation of keys by themselves")),
            _ => return Err(Failure::bad("The type of a lifetime action is Rotate or Notify.")),
        }
    }
    let _turn = plane.store.turn().await;
    let (mut head, version) = plane.find(asked, Kind::Key, name, None)?;
    let now = plane.now();
    let created = head.policy["attributes"]["created"].as_i64().unwrap_or(now);
    let mut attributes = json!({"created": created, "updated": now});
    if let Some(after) = arm::json::text(&asked.body, "/attributes/expiryTime") {
        attributes["expiryTime"] = json!(after);
    }
    head.policy = json!({"lifetimeActions": actions, "attributes": attributes});
    plane.write(asked, Kind::Key, &head, &version, Changes::default()).await?;
    rotation_policy_after(asked, &head.name, &head.policy)
}

fn rotation_policy_after(asked: &Asked, name: &str, policy: &Value) -> Result<Response, Failure> {
    let mut shown = policy.clone();
    shown["id"] = json!(format!("{}/rotationpolicy", url(&asked.vault, Kind::Key, name, None)));
    Ok(ok(&shown))
}
