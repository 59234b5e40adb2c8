//! Fields no manager owns, and those a write through a path never changes (upstream's reset fields).

use super::fields::Set;
use crate::schema::Schema;
use serde_json::{Map, Value};

/// `metadata` that is the server's alone.
const METADATA: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// What a write through one path leaves alone.
#[derive(Debug, Clone)]
pub(super) enum Ignored {
    /// These fields.
    Fields(Vec<&'static [&'static str]>),
    /// Everything but this field.
    AllBut(&'static str),
}

impl Ignored {
    /// Of a write to an object of that schema.
    pub fn of(schema: &Schema, subresource: Option<&str>) -> Self {
        let custom = schema.name().is_none();
        match subresource {
            None if schema.types().status_apart() => Self::Fields(vec![&["status"]]),
            Some("status") if custom => Self::AllBut("status"),
            Some("status") => {
                let mut fields: Vec<&'static [&'static str]> = vec![&["spec"]];
                match schema.name().unwrap_or_default() {
                    "api.apps.v1.Deployment" => fields.push(&["metadata", "labels"]),
                    "api.core.v1.Pod" => {
                        fields.push(&["metadata", "deletionTimestamp"]);
                        fields.push(&["metadata", "ownerReferences"]);
                    }
                    _ => {}
                }
                Self::Fields(fields)
            }
            _ => Self::Fields(Vec::new()),
        }
    }

    /// Without what this write does not change.
    pub fn strip(&self, mut set: Set) -> Set {
        match self {
            Self::Fields(fields) => fields.iter().for_each(|path| set.forget(path, false)),
            Self::AllBut(field) => set.keep_fields(|name| name == *field),
        }
        set
    }

    /// Without what no manager owns either.
    pub fn strip_all(&self, set: Set) -> Set {
        let mut set = self.strip(set);
        set.forget(&["apiVersion"], false);
        set.forget(&["kind"], false);
        for field in METADATA {
            set.forget(&["metadata", field], false);
        }
        set.forget(&["metadata"], true);
        set
    }

    /// The configuration without what this write does not change.
    pub fn cut(&self, config: &mut Map<String, Value>) {
        match self {
            Self::Fields(fields) => {
                for path in fields {
                    match path {
                        [field] => {
                            config.remove(*field);
                        }
                        [parent, field] => {
                            if let Some(Value::Object(parent)) = config.get_mut(*parent) {
                                parent.remove(*field);
                            }
                        }
                        _ => {}
                    }
                }
            }
            Self::AllBut(field) => {
                config.retain(|key, _| {
                    key == field || matches!(key.as_str(), "apiVersion" | "kind" | "metadata")
                });
                if let Some(Value::Object(metadata)) = config.get_mut("metadata") {
                    metadata.retain(|key, _| METADATA.contains(&key.as_str()));
                }
            }
        }
    }
}
