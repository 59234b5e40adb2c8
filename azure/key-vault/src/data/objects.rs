//! What all kinds have in common: finding, listing, changing attributes, deleting and bringing back, backups.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use kit::http::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::asked::{Asked, check_name};
use super::kind::{Deed, Kind};
use super::model::{Deletion, Head, Version, bundle, deleted as shown_deleted, entry};
use super::store::Changes;
use super::{DataPlane, Failure};

const PAGE_MAX: usize = 25;
const DAY_S: i64 = 86_400;
/// What a backup is sealed for.
const BACKUP: &str = "backup";

/// 200 with a body.
pub(super) fn ok(body: &Value) -> Response {
    kit::http::json(StatusCode::OK, body)
}

impl DataPlane {
    /// The head of a name, deleted or not; one whose time is over is gone.
    pub(super) fn head(&self, asked: &Asked, kind: Kind, name: &str) -> Result<Option<Head>, Failure> {
        let found = self.store.head(&asked.vault, kind, name)?;
        let now = self.now();
        Ok(found.filter(|head| head.deleted.is_none_or(|deletion| deletion.purge > now)))
    }

    /// An object that is there, in one version or its newest.
    pub(super) fn find(
        &self,
        asked: &Asked,
        kind: Kind,
        name: &str,
        version: Option<&str>,
    ) -> Result<(Head, Version), Failure> {
        check_name(name)?;
        let missing = || Failure::not_found(kind, name, version);
        let head = self.head(asked, kind, name)?.filter(Head::is_live).ok_or_else(missing)?;
        let wanted = version.unwrap_or(&head.current);
        let found = self.store.version(&asked.vault, kind, name, wanted)?.ok_or_else(missing)?;
        Ok((head, found))
    }

    /// The newest version of a head.
    fn newest(&self, asked: &Asked, kind: Kind, head: &Head) -> Result<Version, Failure> {
        let found = self.store.version(&asked.vault, kind, &head.name, &head.current)?;
        found.ok_or_else(|| Failure::not_found(kind, &head.name, None))
    }

    /// The head to make a new version under: a new one, or the one that is there. Refuses a name that a deleted object
    /// or a certificate has. What an object that is past recovery left is removed with `changes`.
    pub(super) fn head_to_write(
        &self,
        asked: &Asked,
        changes: &mut Changes,
        kind: Kind,
        name: &str,
    ) -> Result<Head, Failure> {
        check_name(name)?;
        match self.head(asked, kind, name)? {
            Some(head) if head.deleted.is_some() => Err(Failure::recoverable(kind, name)),
            Some(head) if head.managed => Err(managed(kind, name)),
            Some(head) => Ok(head),
            None => {
                self.store.forget(changes, &asked.vault, kind, name)?;
                Ok(Head::new(name))
            }
        }
    }

    /// Writes a version and its head.
    pub(super) async fn write(
        &self,
        asked: &Asked,
        kind: Kind,
        head: &Head,
        version: &Version,
        mut changes: Changes,
    ) -> Result<(), Failure> {
        self.store.put_version(&mut changes, &asked.vault, kind, &head.name, version)?;
        self.store.put_head(&mut changes, &asked.vault, kind, head)?;
        self.store.write(changes).await
    }
}

/// 403: the certificate is what can be changed.
pub(super) fn managed(kind: Kind, name: &str) -> Failure {
    Failure::forbidden(format!(
        "The {} {name} belongs to the certificate of that name and can only be changed through it.",
        kind.noun()
    ))
}

/// `GET /<kind>`, `GET /deleted<kind>`.
fn page(
    asked: &Asked,
    found: Vec<(String, Head)>,
    mut show: impl FnMut(&Head) -> Result<Value, Failure>,
) -> Result<Response, Failure> {
    let after = skip_token(asked)?;
    let size = page_size(asked)?;
    let mut rows =
        found.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).peekable();
    let (mut value, mut last) = (Vec::new(), String::new());
    while value.len() < size
        && let Some((key, head)) = rows.next()
    {
        value.push(show(&head)?);
        last = key;
    }
    let next = rows.peek().map(|_| next_link(asked, &last));
    Ok(ok(&json!({"value": value, "nextLink": next})))
}

fn page_size(asked: &Asked) -> Result<usize, Failure> {
    let Some(text) = asked.query.get("maxresults") else { return Ok(PAGE_MAX) };
    let size = text.parse().ok().filter(|size| (1..=PAGE_MAX).contains(size));
    size.ok_or_else(|| Failure::bad(format!("The parameter 'maxresults' must be between 1 and {PAGE_MAX}.")))
}

fn skip_token(asked: &Asked) -> Result<Option<String>, Failure> {
    let Some(token) = asked.query.get("$skiptoken") else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let after = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    after.map(Some).ok_or_else(|| Failure::bad("The parameter '$skiptoken' is invalid."))
}

fn next_link(asked: &Asked, last: &str) -> String {
    let size = asked.query.get("maxresults").map(|size| format!("&maxresults={size}")).unwrap_or_default();
    format!(
        "{}/{}?api-version={}&$skiptoken={}{size}",
        asked.vault.url,
        asked.words.join("/"),
        asked.api_version,
        URL_SAFE_NO_PAD.encode(last)
    )
}

/// `GET /<kind>`.
pub(super) fn list(plane: &DataPlane, asked: &Asked, kind: Kind) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::List), None)?;
    let mut found = plane.store.heads(&asked.vault, kind)?;
    found.retain(|(_, head)| head.is_live());
    page(asked, found, |head| Ok(entry(&asked.vault, kind, head, &plane.newest(asked, kind, head)?, false)))
}

/// `GET /<kind>/<name>/versions`.
pub(super) fn versions(
    plane: &DataPlane,
    asked: &Asked,
    kind: Kind,
    name: &str,
) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::List), Some(name))?;
    check_name(name)?;
    let Some(head) = plane.head(asked, kind, name)?.filter(Head::is_live) else {
        return Ok(ok(&json!({"value": [], "nextLink": null})));
    };
    let (after, size) = (skip_token(asked)?, page_size(asked)?);
    let after: u64 = after.and_then(|after| after.parse().ok()).unwrap_or(0);
    let found = plane.store.versions(&asked.vault, kind, name)?;
    let mut rows = found.into_iter().filter(|version| version.sequence > after).peekable();
    let page: Vec<Version> = rows.by_ref().take(size).collect();
    let next = match (rows.peek(), page.last()) {
        (Some(_), Some(last)) => Some(next_link(asked, &last.sequence.to_string())),
        _ => None,
    };
    let value: Vec<Value> =
        page.iter().map(|version| entry(&asked.vault, kind, &head, version, true)).collect();
    Ok(ok(&json!({"value": value, "nextLink": next})))
}

/// PATCH of a version: attributes and tags, and what `change` takes from the body.
pub(super) async fn update(
    plane: &DataPlane,
    asked: &Asked,
    kind: Kind,
    name: &str,
    version: Option<&str>,
    change: impl FnOnce(&mut Head, &mut Version) -> Result<(), Failure>,
) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::Update), Some(name))?;
    let _turn = plane.store.turn().await;
    let (mut head, mut found) = plane.find(asked, kind, name, version)?;
    if head.managed {
        return Err(managed(kind, name));
    }
    found.take(&asked.body)?;
    change(&mut head, &mut found)?;
    found.updated = plane.now();
    plane.write(asked, kind, &head, &found, Changes::default()).await?;
    Ok(ok(&bundle(&asked.vault, kind, &head, &found)))
}

/// `DELETE /<kind>/<name>`: what was there can be recovered.
pub(super) async fn delete(
    plane: &DataPlane,
    asked: &Asked,
    kind: Kind,
    name: &str,
) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::Delete), Some(name))?;
    let _turn = plane.store.turn().await;
    let (head, version) = plane.find(asked, kind, name, None)?;
    if head.managed {
        return Err(managed(kind, name));
    }
    let now = plane.now();
    let deletion = Deletion { at: now, purge: now + asked.vault.retention_days() * DAY_S };
    let mut changes = Changes::default();
    for twin in kind.with_twins() {
        if let Some(mut head) = plane.head(asked, *twin, name)? {
            head.deleted = Some(deletion);
            plane.store.put_head(&mut changes, &asked.vault, *twin, &head)?;
        }
    }
    plane.store.write(changes).await?;
    let head = Head { deleted: Some(deletion), ..head };
    let shown = bundle(&asked.vault, kind, &head, &version);
    Ok(ok(&shown_deleted(&asked.vault, kind, &head, shown)))
}

/// Everything below `/deleted<kind>`.
pub(super) async fn deleted(
    plane: &DataPlane,
    asked: &Asked,
    kind: Kind,
    words: &[&str],
) -> Result<Response, Failure> {
    match (&asked.method, words) {
        (&Method::GET, []) => {
            plane.authorize(asked, kind.right(Deed::List), None)?;
            let now = plane.now();
            let mut found = plane.store.heads(&asked.vault, kind)?;
            found.retain(|(_, head)| head.deleted.is_some_and(|deletion| deletion.purge > now));
            page(asked, found, |head| {
                let shown = entry(&asked.vault, kind, head, &plane.newest(asked, kind, head)?, false);
                Ok(shown_deleted(&asked.vault, kind, head, shown))
            })
        }
        (&Method::GET, [name]) => {
            plane.authorize(asked, kind.right(Deed::GetDeleted), Some(name))?;
            let head = was_deleted(plane, asked, kind, name)?;
            let shown = bundle(&asked.vault, kind, &head, &plane.newest(asked, kind, &head)?);
            Ok(ok(&shown_deleted(&asked.vault, kind, &head, shown)))
        }
        (&Method::DELETE, [name]) => {
            plane.authorize(asked, kind.right(Deed::Purge), Some(name))?;
            let _turn = plane.store.turn().await;
            let head = was_deleted(plane, asked, kind, name)?;
            asked.vault.check_purge()?;
            if head.managed {
                return Err(managed(kind, name));
            }
            let mut changes = Changes::default();
            for twin in kind.with_twins() {
                plane.store.forget(&mut changes, &asked.vault, *twin, name)?;
            }
            plane.store.write(changes).await?;
            Ok(kit::http::status(StatusCode::NO_CONTENT))
        }
        (&Method::POST, [name, "recover"]) => recover(plane, asked, kind, name).await,
        _ => Err(asked.no_such_operation()),
    }
}

fn was_deleted(plane: &DataPlane, asked: &Asked, kind: Kind, name: &str) -> Result<Head, Failure> {
    check_name(name)?;
    let head = plane.head(asked, kind, name)?.filter(|head| head.deleted.is_some());
    head.ok_or_else(|| Failure::deleted_not_found(kind, name))
}

async fn recover(plane: &DataPlane, asked: &Asked, kind: Kind, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::Recover), Some(name))?;
    let _turn = plane.store.turn().await;
    let mut found = was_deleted(plane, asked, kind, name)?;
    if found.managed {
        return Err(managed(kind, name));
    }
    let mut changes = Changes::default();
    for twin in kind.with_twins() {
        if let Some(mut head) = plane.head(asked, *twin, name)? {
            head.deleted = None;
            plane.store.put_head(&mut changes, &asked.vault, *twin, &head)?;
        }
    }
    plane.store.write(changes).await?;
    found.deleted = None;
    let version = plane.newest(asked, kind, &found)?;
    Ok(ok(&bundle(&asked.vault, kind, &found, &version)))
}

/// An object as a backup carries it.
#[derive(Serialize, Deserialize)]
struct Saved {
    kind: Kind,
    subscription: String,
    objects: Vec<(Kind, Head, Vec<Version>)>,
}

/// `POST /<kind>/<name>/backup`: all versions, sealed.
pub(super) fn backup(plane: &DataPlane, asked: &Asked, kind: Kind, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::Backup), Some(name))?;
    let (head, _) = plane.find(asked, kind, name, None)?;
    if head.managed {
        return Err(managed(kind, name));
    }
    let mut objects = Vec::new();
    for twin in kind.with_twins() {
        if let Some(head) = plane.head(asked, *twin, name)? {
            objects.push((*twin, head, plane.store.versions(&asked.vault, *twin, name)?));
        }
    }
    let subscription = asked.vault.resource.id.subscription().unwrap_or_default().to_owned();
    let plain =
        serde_json::to_vec(&Saved { kind, subscription, objects }).map_err(|_| Failure::internal())?;
    let sealed = plane.store.seal(BACKUP, &plain)?;
    Ok(ok(&json!({"value": URL_SAFE_NO_PAD.encode(sealed)})))
}

/// `POST /<kind>/restore`: into any vault of the subscription that does not have the name.
pub(super) async fn restore(plane: &DataPlane, asked: &Asked, kind: Kind) -> Result<Response, Failure> {
    plane.authorize(asked, kind.right(Deed::Restore), None)?;
    let wrong = || Failure::bad("Backup blob contains invalid or corrupt data.");
    let text = asked.text("value").ok_or_else(wrong)?;
    let sealed = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| wrong())?;
    let sealed = String::from_utf8(sealed).map_err(|_| wrong())?;
    let plain = plane.store.unseal(BACKUP, &sealed).ok_or_else(wrong)?;
    let saved: Saved = serde_json::from_slice(&plain).map_err(|_| wrong())?;
    if saved.kind != kind || asked.vault.resource.id.subscription() != Some(saved.subscription.as_str()) {
        return Err(wrong());
    }
    let _turn = plane.store.turn().await;
    let mut changes = Changes::default();
    let mut answer = None;
    for (kind, head, versions) in &saved.objects {
        match plane.head(asked, *kind, &head.name)? {
            Some(there) if there.deleted.is_some() => return Err(Failure::recoverable(*kind, &head.name)),
            Some(_) => {
                return Err(Failure::conflict(format!(
                    "{} {} already exists in this key vault and cannot be restored over.",
                    kind.title(),
                    head.name
                )));
            }
            None => plane.store.forget(&mut changes, &asked.vault, *kind, &head.name)?,
        }
        for version in versions {
            plane.store.put_version(&mut changes, &asked.vault, *kind, &head.name, version)?;
        }
        plane.store.put_head(&mut changes, &asked.vault, *kind, head)?;
        if *kind == saved.kind {
            let newest = versions.iter().find(|version| version.id == head.current);
            answer = newest.map(|version| bundle(&asked.vault, *kind, head, version));
        }
    }
    plane.store.write(changes).await?;
    Ok(ok(&answer.ok_or_else(wrong)?))
}
