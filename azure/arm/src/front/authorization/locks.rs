//! Locks.

use http::StatusCode;
use serde_json::json;

use super::{property, shown};
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};

/// Longest note on a lock, in characters.
const NOTES_CHARACTERS_MAX: usize = 512;

impl Front {
    pub(super) async fn put_lock(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        self.check_scope_exists(scope)?;
        let body = asked.incoming.object()?;
        let given = property(&body, "level");
        let level = match given.to_ascii_lowercase().as_str() {
            "cannotdelete" => "CanNotDelete",
            "readonly" => "ReadOnly",
            _ => {
                return Err(ArmError::bad_request(
                    "LockLevelNotSupported",
                    format!(
                        "The lock level '{given}' is not supported. The supported levels are 'CanNotDelete, ReadOnly'."
                    ),
                ));
            }
        };
        let notes = property(&body, "notes");
        if notes.chars().count() > NOTES_CHARACTERS_MAX {
            return Err(ArmError::bad_request(
                "LockNotesTooLong",
                format!("The notes of a lock may have at most {NOTES_CHARACTERS_MAX} characters."),
            ));
        }
        let mut properties = json!({"level": level});
        for field in ["notes", "owners"] {
            if let Some(value) = body.get("properties").and_then(|p| p.get(field)).filter(|v| !v.is_null()) {
                properties[field] = value.clone();
            }
        }
        let existing = self.resources.get(&id);
        if let Some(same) = existing.as_ref().filter(|e| e.properties == properties) {
            return Ok(Answer::ok(shown(same)));
        }
        let mut made = Resource::new(id);
        made.properties = properties;
        let stored = self.resources.save(made).await?;
        let status = if existing.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        Ok(Answer::new(status, shown(&stored)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::property;

    #[test]
    fn a_property_that_is_no_text_is_absent() {
        let body = json!({"properties": {"level": 7}});
        assert_eq!(property(&body, "level"), "");
        assert_eq!(property(&Value::Null, "level"), "");
    }
}
