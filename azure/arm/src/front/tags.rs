//! Tags: what they may be, and the API that changes them on anything that has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::resource::read_tags;
use crate::{ArmError, Resource, ResourceId};

/// Limits of the public cloud.
const TAGS_MAX: usize = 50;
const NAME_CHARACTERS_MAX: usize = 512;
const VALUE_CHARACTERS_MAX: usize = 256;
const RESERVED: &str = "<>%&\\?/";

type Tags = BTreeMap<String, String>;

/// Refuses tags that ARM refuses; none at all is fine.
pub(super) fn check(tags: Option<&Value>) -> Result<(), ArmError> {
    let Some(tags) = tags.filter(|t| !t.is_null()) else { return Ok(()) };
    let Some(map) = tags.as_object() else {
        return Err(ArmError::invalid_content("tags are an object of texts"));
    };
    if map.len() > TAGS_MAX {
        return Err(ArmError::bad_request(
            "InvalidTags",
            format!("The number of tags '{}' exceeds the maximum of '{TAGS_MAX}'.", map.len()),
        ));
    }
    let mut known: Vec<String> = Vec::new();
    for (name, value) in map {
        if value.is_object() || value.is_array() {
            return Err(ArmError::invalid_content(format_args!("the value of tag {name} is not a text")));
        }
        if name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
            return Err(ArmError::bad_request(
                "InvalidTagName",
                format!("The tag name must have between 1 and {NAME_CHARACTERS_MAX} characters."),
            ));
        }
        if name.chars().any(|c| RESERVED.contains(c) || c.is_control()) {
            return Err(ArmError::bad_request(
                "InvalidTagNameCharacters",
                format!(
                    "The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters."
                ),
            ));
        }
        if value.as_str().is_some_and(|v| v.chars().count() > VALUE_CHARACTERS_MAX) {
            return Err(ArmError::bad_request(
                "InvalidTagValueLength",
                format!(
                    "Tag value too large. The following tag names have values longer than the maximum of {VALUE_CHARACTERS_MAX} characters: '{name}'."
                ),
            ));
        }
        let lower = name.to_lowercase();
        if known.contains(&lower) {
            return Err(ArmError::bad_request(
                "DuplicateTagNames",
                format!("The tag name '{name}' is there more than once; case does not matter."),
            ));
        }
        known.push(lower);
    }
    Ok(())
}

/// What PATCH does with the tags it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Replace,
    Merge,
    Delete,
}

impl Change {
    fn apply(self, old: Tags, given: &Tags) -> Tags {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        match self {
            Change::Replace => given.clone(),
            Change::Merge => {
                let mut tags: Tags =
                    old.into_iter().filter(|(name, _)| !given.keys().any(|g| same(g, name))).collect();
                tags.extend(given.clone());
                tags
            }
            // A name without a value takes the tag away whatever it says.
            Change::Delete => old
                .into_iter()
                .filter(|(name, value)| {
                    !given.iter().any(|(g, v)| same(g, name) && (v.is_empty() || v == value))
                })
                .collect(),
        }
    }
}

fn change(method: &Method, body: &Value) -> Result<Change, ArmError> {
    if *method == Method::PUT {
        return Ok(Change::Replace);
    }
    let named = body.get("operation").and_then(Value::as_str).unwrap_or("");
    match named.to_ascii_lowercase().as_str() {
        "replace" => Ok(Change::Replace),
        "merge" => Ok(Change::Merge),
        "delete" => Ok(Change::Delete),
        _ => Err(ArmError::bad_request(
            "InvalidTagsPatchOperation",
            format!(
                "The operation '{named}' is not valid. The valid operations are 'Replace', 'Merge' and 'Delete'."
            ),
        )),
    }
}

fn shown(resource: &Resource) -> Value {
    json!({
        "id": format!("{}/providers/Microsoft.Resources/tags/default", resource.id), "name": "default",
        "type": "Microsoft.Resources/tags", "properties": {"tags": resource.tags.clone().unwrap_or_default()},
    })
}

impl Front {
    /// `…/providers/Microsoft.Resources/tags/default`.
    pub(super) async fn tags_at(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let deed = match *asked.method() {
            Method::GET => "read",
            Method::DELETE => "delete",
            Method::PUT | Method::PATCH => "write",
            _ => return Err(no_route(asked.incoming)),
        };
        if rest.len() != 1 || !rest[0].eq_ignore_ascii_case("default") {
            return Err(no_route(asked.incoming));
        }
        asked.authorize(&format!("Microsoft.Resources/tags/{deed}"), &scope)?;
        let missing = || match scope.group() {
            Some(group) if scope.parts().is_empty() => ArmError::group_not_found(group),
            _ => ArmError::resource_not_found(&scope),
        };
        let found = self.resources.get(&scope).ok_or_else(missing)?;
        if deed == "read" {
            return Ok(Answer::ok(shown(&found)));
        }
        self.access.check_locks("write", &scope)?;
        let (change, given) = if deed == "delete" {
            (Change::Replace, Tags::new())
        } else {
            let body = asked.incoming.object()?;
            let Some(tags) = body.pointer("/properties/tags").filter(|t| t.is_object()) else {
                return Err(ArmError::invalid_content("properties.tags is missing"));
            };
            check(Some(tags))?;
            (change(asked.method(), &body)?, read_tags(tags))
        };
        let mut too_many = None;
        let stored = self
            .resources
            .modify(&scope, |r| {
                let tags = change.apply(r.tags.clone().unwrap_or_default(), &given);
                too_many = Some(tags.len()).filter(|n| *n > TAGS_MAX);
                let changed = too_many.is_none() && r.tags.as_ref() != Some(&tags);
                if changed {
                    r.tags = Some(tags);
                }
                changed
            })
            .await?;
        if let Some(number) = too_many {
            return Err(ArmError::bad_request(
                "InvalidTags",
                format!("The number of tags '{number}' exceeds the maximum of '{TAGS_MAX}'."),
            ));
        }
        let now = match stored {
            Some(stored) => stored,
            None => self.resources.get(&scope).map(|r| (*r).clone()).ok_or_else(missing)?,
        };
        if deed == "delete" {
            return Ok(Answer::empty(http::StatusCode::OK));
        }
        Ok(Answer::ok(shown(&now)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Change, Tags, check};

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn tags_are_merged_replaced_and_deleted_without_case() {
        let old = tags(&[("Team", "a"), ("env", "x")]);
        let table = [
            (Change::Replace, tags(&[("n", "1")]), tags(&[("n", "1")])),
            (Change::Merge, tags(&[("TEAM", "b")]), tags(&[("TEAM", "b"), ("env", "x")])),
            (Change::Delete, tags(&[("team", "")]), tags(&[("env", "x")])),
            (Change::Delete, tags(&[("env", "y")]), old.clone()),
            (Change::Delete, tags(&[("ENV", "x")]), tags(&[("Team", "a")])),
        ];
        for (change, given, expected) in table {
            assert_eq!(change.apply(old.clone(), &given), expected, "{change:?} {given:?}");
        }
    }

    #[test]
    fn tags_that_cannot_be_are_refused() {
        let many: serde_json::Map<String, Value> = (0..51).map(|i| (format!("t{i}"), json!("v"))).collect();
        let table = [
            (json!(null), ""),
            (json!({"a": "b", "c": 1}), ""),
            (json!([]), "InvalidRequestContent"),
            (json!({"a": {}}), "InvalidRequestContent"),
            (json!({"": "b"}), "InvalidTagName"),
            (json!({"a/b": "c"}), "InvalidTagNameCharacters"),
            (json!({"a": "v".repeat(257)}), "InvalidTagValueLength"),
            (json!({"a": "", "A": ""}), "DuplicateTagNames"),
            (Value::Object(many), "InvalidTags"),
        ];
        for (value, code) in table {
            let found = check(Some(&value)).err().map_or(String::new(), |e| e.code);
            assert_eq!(found, code, "{value}");
        }
    }
}
