//! `/secrets`.

use http::Method;
use kit::http::Response;
use serde_json::Value;

use super::asked::Asked;
use super::kind::{Deed, Kind, SET_SECRET};
use super::model::{Content, bundle, new_id, with_value};
use super::objects::{self, ok};
use super::store::Changes;
use super::{DataPlane, Failure};

/// A secret is at most 25 kB.
const VALUE_MAX_BYTES: usize = 25_600;
const CONTENT_TYPE_MAX: usize = 255;

/// Everything below `/secrets`.
pub(super) async fn answer(plane: &DataPlane, asked: &Asked, words: &[&str]) -> Result<Response, Failure> {
    match (&asked.method, words) {
        (&Method::GET, []) => objects::list(plane, asked, Kind::Secret),
        (&Method::POST, ["restore"]) => objects::restore(plane, asked, Kind::Secret).await,
        (&Method::PUT, [name]) => set(plane, asked, name).await,
        (&Method::DELETE, [name]) => objects::delete(plane, asked, Kind::Secret, name).await,
        (&Method::POST, [name, "backup"]) => objects::backup(plane, asked, Kind::Secret, name),
        (&Method::GET, [name, "versions"]) => objects::versions(plane, asked, Kind::Secret, name),
        (&Method::GET, [name]) => get(plane, asked, name, None),
        (&Method::GET, [name, version]) => get(plane, asked, name, Some(version)),
        (&Method::PATCH, [name]) => update(plane, asked, name, None).await,
        (&Method::PATCH, [name, version]) => update(plane, asked, name, Some(version)).await,
        _ => Err(asked.no_such_operation()),
    }
}

fn get(plane: &DataPlane, asked: &Asked, name: &str, version: Option<&str>) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Secret.right(Deed::Get), Some(name))?;
    let (head, found) = plane.find(asked, Kind::Secret, name, version)?;
    if !found.enabled {
        return Err(Failure::forbidden("Operation get is not allowed on a disabled secret.")
            .inner(Kind::Secret.disabled()));
    }
    Ok(ok(&with_value(bundle(&asked.vault, Kind::Secret, &head, &found), &found)))
}

fn content_type(body: &Value) -> Result<Option<String>, Failure> {
    match body.get("contentType") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= CONTENT_TYPE_MAX => Ok(Some(text.clone())),
        Some(_) => Err(Failure::bad(format!(
            "The property 'contentType' must be a text of at most {CONTENT_TYPE_MAX} characters."
        ))),
    }
}

async fn set(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, SET_SECRET, Some(name))?;
    let Some(value) = asked.text("value") else {
        return Err(Failure::bad("The property 'value' of a secret is required and must be a text."));
    };
    if value.len() > VALUE_MAX_BYTES {
        return Err(Failure::bad(format!(
            "The value of a secret is at most {VALUE_MAX_BYTES} bytes; this one has {}.",
            value.len()
        )));
    }
    let content = Content::Secret { value: value.to_owned(), content_type: content_type(&asked.body)? };
    let _turn = plane.store.turn().await;
    let mut changes = Changes::default();
    let mut head = plane.head_to_write(asked, &mut changes, Kind::Secret, name)?;
    let mut version = head.next(&new_id(), plane.now(), content);
    version.take(&asked.body)?;
    plane.write(asked, Kind::Secret, &head, &version, changes).await?;
    Ok(ok(&with_value(bundle(&asked.vault, Kind::Secret, &head, &version), &version)))
}

async fn update(
    plane: &DataPlane,
    asked: &Asked,
    name: &str,
    version: Option<&str>,
) -> Result<Response, Failure> {
    let given = content_type(&asked.body)?;
    objects::update(plane, asked, Kind::Secret, name, version, |_, version| {
        if let (Content::Secret { content_type, .. }, Some(given)) = (&mut version.content, given) {
            *content_type = Some(given);
        }
        Ok(())
    })
    .await
}
