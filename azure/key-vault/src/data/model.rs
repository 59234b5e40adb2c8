//! Objects as they are kept and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Failure;
use super::asked::Vault;
use super::kind::Kind;
use crate::certificates::{self, Chain};
use crate::crypto::Material;

const TAGS_MAX: usize = 15;

/// A name of one kind: which version is the newest, and what is of the name as a whole.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Head {
    pub(super) name: String,
    /// The newest version; empty while a certificate waits for its first.
    pub(super) current: String,
    /// How many versions were made.
    pub(super) made: u64,
    /// The key or secret of a certificate.
    pub(super) managed: bool,
    pub(super) deleted: Option<Deletion>,
    /// A certificate's policy, or a key's rotation policy; else null.
    #[serde(default)]
    pub(super) policy: Value,
    /// A certificate's last request.
    #[serde(default)]
    pub(super) pending: Option<Pending>,
}

/// When an object was deleted and until when it can be recovered, seconds since 1970.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) struct Deletion {
    pub(super) at: i64,
    pub(super) purge: i64,
}

/// A certificate that was asked for.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Pending {
    pub(super) request_id: String,
    pub(super) issuer: String,
    /// The request to sign, DER in base64.
    pub(super) csr: String,
    /// `inProgress`, `completed` or `cancelled`.
    pub(super) status: String,
    pub(super) cancellation_requested: bool,
    /// The key that waits for its certificate.
    pub(super) material: Option<Material>,
    pub(super) tags: Option<BTreeMap<String, String>>,
}

/// One version.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Version {
    /// 32 hexadecimal digits.
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) enabled: bool,
    pub(super) not_before: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) content: Content,
}

/// What a version holds.
#[derive(Serialize, Deserialize, Clone)]
pub(super) enum Content {
    Secret { value: String, content_type: Option<String> },
    Key(Material),
    Certificate(Chain),
}

impl Head {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            current: String::new(),
            made: 0,
            managed: false,
            deleted: None,
            policy: Value::Null,
            pending: None,
        }
    }

    /// Whether it is there for everybody: neither deleted nor still without a version.
    pub(super) fn is_live(&self) -> bool {
        self.deleted.is_none() && !self.current.is_empty()
    }

    /// The next version of this name; it becomes the newest.
    pub(super) fn next(&mut self, id: &str, now: i64, content: Content) -> Version {
        self.made += 1;
        id.clone_into(&mut self.current);
        Version {
            id: id.to_owned(),
            sequence: self.made,
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
            tags: None,
            content,
        }
    }
}

/// A name for a version.
pub(super) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Version {
    /// Takes `attributes` and `tags` of a body; what is not there stays.
    pub(super) fn take(&mut self, body: &Value) -> Result<(), Failure> {
        let given = match body.get("attributes") {
            None | Some(Value::Null) => &Map::new(),
            Some(Value::Object(given)) => given,
            Some(_) => return Err(Failure::bad("The property 'attributes' must be an object.")),
        };
        match given.get("enabled") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(enabled)) => self.enabled = *enabled,
            Some(_) => return Err(Failure::bad("The attribute 'enabled' must be true or false.")),
        }
        for (name, slot) in [("nbf", &mut self.not_before), ("exp", &mut self.expires)] {
            match given.get(name) {
                None | Some(Value::Null) => {}
                Some(value) => match value.as_i64().filter(|at| *at >= 0) {
                    Some(at) => *slot = Some(at),
                    None => {
                        return Err(Failure::bad(format!(
                            "The attribute '{name}' must be a number of seconds since 1970."
                        )));
                    }
                },
            }
        }
        if let Some(tags) = read_tags(body)? {
            self.tags = Some(tags);
        }
        Ok(())
    }

    /// `attributes` as shown.
    pub(super) fn attributes(&self, vault: &Vault) -> Value {
        let mut shown = json!({
            "enabled": self.enabled, "created": self.created, "updated": self.updated,
            "recoveryLevel": vault.recovery_level(), "recoverableDays": vault.retention_days(),
        });
        for (name, at) in [("nbf", self.not_before), ("exp", self.expires)] {
            if let Some(at) = at {
                shown[name] = json!(at);
            }
        }
        shown
    }
}

/// `tags` of a body.
pub(super) fn read_tags(body: &Value) -> Result<Option<BTreeMap<String, String>>, Failure> {
    let given = match body.get("tags") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(Failure::bad("The property 'tags' must be an object.")),
    };
    if given.len() > TAGS_MAX {
        return Err(Failure::bad(format!("An object can have at most {TAGS_MAX} tags.")));
    }
    let one = |(name, value): (&String, &Value)| match value.as_str() {
        Some(value) if name.len() <= 256 && value.len() <= 256 => Ok((name.clone(), value.to_owned())),
        _ => Err(Failure::bad(format!("The tag '{name}' must be a text of at most 256 characters."))),
    };
    given.iter().map(one).collect::<Result<_, _>>().map(Some)
}

/// `https://kv.vault.azure.net/secrets/name[/version]`.
pub(super) fn url(vault: &Vault, kind: Kind, name: &str, version: Option<&str>) -> String {
    let base = format!("{}/{}/{name}", vault.url, kind.plural());
    version.map_or(base.clone(), |version| format!("{base}/{version}"))
}

/// As lists show it: without its value; `versioned` in lists of versions.
pub(super) fn entry(vault: &Vault, kind: Kind, head: &Head, version: &Version, versioned: bool) -> Value {
    let id = url(vault, kind, &head.name, versioned.then_some(version.id.as_str()));
    let mut shown = json!({kind.id_member(): id, "attributes": version.attributes(vault)});
    if let Some(tags) = version.tags.as_ref().filter(|tags| !tags.is_empty()) {
        shown["tags"] = json!(tags);
    }
    if head.managed {
        shown["managed"] = json!(true);
    }
    match &version.content {
        Content::Secret { content_type, .. } => {
            if let Some(content_type) = content_type {
                shown["contentType"] = json!(content_type);
            }
            if head.managed && versioned {
                shown["kid"] = json!(url(vault, Kind::Key, &head.name, Some(&version.id)));
            }
        }
        Content::Key(_) => {}
        Content::Certificate(chain) => {
            shown["x5t"] = json!(chain.thumbprint());
            shown["subject"] = json!(chain.subject().unwrap_or_default());
        }
    }
    shown
}

/// As GET and writes show it, a secret without its value.
pub(super) fn bundle(vault: &Vault, kind: Kind, head: &Head, version: &Version) -> Value {
    let mut shown = entry(vault, kind, head, version, true);
    match &version.content {
        Content::Secret { .. } => {}
        Content::Key(material) => {
            let mut key = material.jwk();
            key.insert("kid".into(), json!(url(vault, kind, &head.name, Some(&version.id))));
            if let Some(map) = shown.as_object_mut() {
                map.remove("kid");
            }
            shown["key"] = Value::Object(key);
        }
        Content::Certificate(chain) => {
            shown["kid"] = json!(url(vault, Kind::Key, &head.name, Some(&version.id)));
            shown["sid"] = json!(url(vault, Kind::Secret, &head.name, Some(&version.id)));
            shown["cer"] = json!(chain.leaf());
            shown["policy"] = policy(vault, head);
            if let Some(map) = shown.as_object_mut() {
                map.remove("subject");
            }
            if head.pending.is_some() {
                shown["pending"] = json!({"id": format!("{}/pending", url(vault, kind, &head.name, None))});
            }
        }
    }
    shown
}

/// A certificate's policy as shown.
pub(super) fn policy(vault: &Vault, head: &Head) -> Value {
    let mut shown = certificates::shown(&head.policy);
    shown["id"] = json!(format!("{}/policy", url(vault, Kind::Certificate, &head.name, None)));
    shown
}

/// A secret with its value.
pub(super) fn with_value(mut shown: Value, version: &Version) -> Value {
    if let Content::Secret { value, .. } = &version.content {
        shown["value"] = json!(value);
    }
    shown
}

/// What was deleted, with how to get it back and until when.
pub(super) fn deleted(vault: &Vault, kind: Kind, head: &Head, mut shown: Value) -> Value {
    if let Some(deletion) = head.deleted {
        shown["recoveryId"] = json!(format!("{}/deleted{}/{}", vault.url, kind.plural(), head.name));
        shown["deletedDate"] = json!(deletion.at);
        shown["scheduledPurgeDate"] = json!(deletion.purge);
    }
    shown
}
