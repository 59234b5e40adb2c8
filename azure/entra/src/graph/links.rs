//! Members and owners: references from one object to others.

use http::StatusCode;
use serde_json::Value;

use super::{Asked, Fault, Reply};
use crate::EntraError;
use crate::entra::Entra;
use crate::store::{self, Change, State};

/// The id at the end of `https://…/directoryObjects/<id>`.
pub(super) fn last_segment(url: &str) -> String {
    url.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_ascii_lowercase()
}

/// The list that an object, as shown, is in.
pub(super) fn kind_of(object: &Value) -> &'static str {
    match object["@odata.type"].as_str().unwrap_or("") {
        "#microsoft.graph.application" => "applications",
        "#microsoft.graph.user" => "users",
        "#microsoft.graph.group" => "groups",
        _ => "serviceprincipals",
    }
}

/// Changes the members or owners of an object; false where `change` says that nothing is to be done.
fn changed(
    state: &State,
    id: &str,
    part: &str,
    change: impl FnOnce(&mut Vec<String>) -> bool,
) -> Result<(bool, Vec<Change>), EntraError> {
    let (done, record) = if let Some(mut group) = state.groups.get(id).cloned() {
        let list = if part == "members" { &mut group.members } else { &mut group.owners };
        (change(list), store::put("group", id, &group)?)
    } else if let Some(mut app) = state.applications.get(id).cloned() {
        (change(&mut app.owners), store::put("app", id, &app)?)
    } else if let Some(mut principal) = state.principals.get(id).cloned() {
        (change(&mut principal.owners), store::put("sp", id, &principal)?)
    } else {
        return Err(EntraError::NotFound { id: id.to_owned() });
    };
    Ok((done, if done { vec![record] } else { Vec::new() }))
}

impl Entra {
    fn linking(&self, asked: &Asked<'_>, kind: &str, part: &str) -> Result<String, Fault> {
        match (kind, part) {
            ("groups", _) | ("applications" | "serviceprincipals", "owners") => {
                self.id_of(kind, &asked.path[1])
            }
            _ => Err(Fault::not_implemented(&format!("'/{kind}/{{id}}/{part}/$ref'"))),
        }
    }

    pub(super) async fn add_link(&self, asked: &Asked<'_>, kind: &str, part: &str) -> Reply {
        let id = self.linking(asked, kind, part)?;
        let body = asked.body()?;
        let reference = body.get("@odata.id").and_then(Value::as_str);
        let target = last_segment(reference.ok_or_else(|| {
            Fault::bad("The '@odata.id' of the object to refer to is missing from the request.")
        })?);
        let found = self.principal(&target).ok_or_else(|| Fault::not_found(&target))?;
        if part == "owners" && found.kind == "Group" {
            return Err(Fault::bad(
                "The reference target 'Group' of type 'Group' is invalid for the 'owners' reference.",
            ));
        }
        if part == "members" && target == id {
            return Err(Fault::bad("A group cannot be a member of itself."));
        }
        let done = self.store.change(|state| {
            changed(state, &id, part, |list| {
                let new = !list.contains(&target);
                if new {
                    list.push(target);
                }
                new
            })
        });
        if done.await? {
            return Ok((StatusCode::NO_CONTENT, None));
        }
        Err(Fault::bad(format!(
            "One or more added object references already exist for the following modified properties: '{part}'."
        )))
    }

    pub(super) async fn remove_link(&self, asked: &Asked<'_>, kind: &str, part: &str) -> Reply {
        let id = self.linking(asked, kind, part)?;
        let target = asked.path[3].to_ascii_lowercase();
        // A group that has an owner keeps one, as in Entra.
        let last = part == "owners"
            && kind == "groups"
            && self.store.state.read().owners_of(&id).is_some_and(|o| *o == [target.clone()]);
        if last {
            return Err(Fault::bad(
                "The group must have at least one owner, hence this owner cannot be removed.",
            ));
        }
        let done = self.store.change(|state| {
            changed(state, &id, part, |list| {
                let before = list.len();
                list.retain(|other| *other != target);
                list.len() < before
            })
        });
        if done.await? { Ok((StatusCode::NO_CONTENT, None)) } else { Err(Fault::not_found(&asked.path[3])) }
    }
}
