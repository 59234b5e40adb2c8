//! The query of a request, read once.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::ApiError;

/// The query's parameters; of a repeated one, all values.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, Vec<String>>);

impl Query {
    /// Reads a query string.
    pub fn parse(query: Option<&str>) -> Self {
        let mut map: HashMap<String, Vec<String>> = HashMap::new();
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            map.entry(key.into_owned()).or_default().push(value.into_owned());
        }
        Self(map)
    }

    /// The first value of a parameter; none when it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter says yes. A parameter without a value does.
    pub fn flag(&self, name: &str) -> bool {
        match self.0.get(name).and_then(|values| values.first()) {
            None => false,
            Some(value) => !matches!(value.as_str(), "false" | "0" | "False" | "f"),
        }
    }

    /// Whether the parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ApiError::bad_request(format!(
                    "invalid value {text:?} for parameter {name}: not a whole number"
                ))
            }),
        }
    }

    /// Whether the write is to be tried only.
    ///
    /// # Errors
    /// When it is neither absent nor `All`.
    pub fn dry_run(&self) -> Result<bool, ApiError> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }

    /// All parameters as a string map of lists, for options objects.
    pub fn all(&self) -> &HashMap<String, Vec<String>> {
        &self.0
    }
}

/// What to do about fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so in `Warning` headers.
    Warn,
    /// Refuse the object.
    Strict,
}

impl FieldValidation {
    /// From the query; `Warn` when nothing is said.
    ///
    /// # Errors
    /// When the value is unknown.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        match query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// The options of a write.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Try only.
    pub dry_run: bool,
    /// Unknown fields.
    pub validation: FieldValidation,
    /// Who writes, for managed fields.
    pub manager: String,
    /// Take over fields of other managers (apply only).
    pub force: bool,
    /// What the caller said himself: `fieldManager` and `fieldValidation`, for admission to see.
    pub stated: Stated,
}

/// Options as the caller gave them, without defaults.
#[derive(Debug, Clone, Default)]
pub struct Stated {
    /// `fieldManager`.
    pub field_manager: Option<String>,
    /// `fieldValidation`.
    pub field_validation: Option<String>,
}

impl WriteOptions {
    /// From the query; the manager's default is the first part of the user agent.
    ///
    /// # Errors
    /// When a value is unknown.
    pub fn of(query: &Query, user_agent: &str) -> Result<Self, ApiError> {
        let agent = user_agent.split('/').next().unwrap_or_default();
        let manager = query.get("fieldManager").unwrap_or(agent);
        if manager.len() > 128 {
            return Err(ApiError::bad_request(
                "fieldManager: Too long: may not be more than 128 bytes".to_owned(),
            ));
        }
        Ok(Self {
            dry_run: query.dry_run()?,
            validation: FieldValidation::of(query)?,
            manager: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            force: query.flag("force"),
            stated: Stated {
                field_manager: query.get("fieldManager").map(str::to_owned),
                field_validation: query.get("fieldValidation").map(str::to_owned),
            },
        })
    }

    /// Adds what the caller said to an options object.
    pub fn write_to(&self, options: &mut Value) {
        if let Some(manager) = &self.stated.field_manager {
            options["fieldManager"] = json!(manager);
        }
        if let Some(validation) = &self.stated.field_validation {
            options["fieldValidation"] = json!(validation);
        }
    }

    /// The options of a write the server makes by itself.
    pub fn internal(manager: &str) -> Self {
        Self {
            dry_run: false,
            validation: FieldValidation::Ignore,
            manager: manager.to_owned(),
            force: false,
            stated: Stated::default(),
        }
    }
}

/// What is to happen to dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner.
    Orphan,
    /// They are deleted after the owner is gone.
    Background,
    /// They are deleted before the owner goes.
    Foreground,
}

/// The options of a deletion.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Try only.
    pub dry_run: bool,
    /// How long to wait before the object goes; none: its own wish.
    pub grace_period_s: Option<i64>,
    /// What becomes of dependents; none: the kind's own rule.
    pub propagation: Option<Propagation>,
    /// Only when the object has this uid.
    pub uid: Option<String>,
    /// Only when it has this resource version.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Adds what is asked for to an options object.
    pub fn write_to(&self, options: &mut Value) {
        if let Some(seconds) = self.grace_period_s {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(propagation) = self.propagation {
            options["propagationPolicy"] = json!(format!("{propagation:?}"));
        }
        for (field, value) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(value) = value {
                options["preconditions"][field] = json!(value);
            }
        }
    }

    /// From the query and, when there is one, the body.
    ///
    /// # Errors
    /// When a value is unknown or the options contradict each other.
    pub fn of(query: &Query, body: Option<&Value>) -> Result<Self, ApiError> {
        let empty = json!({});
        let body = body.unwrap_or(&empty);
        let text = |name: &str| body.get(name).and_then(Value::as_str).or_else(|| query.get(name));
        let dry_run = match body.get("dryRun").and_then(Value::as_array).map(Vec::as_slice) {
            None | Some([]) => query.dry_run()?,
            Some([all]) if all == "All" => true,
            Some(_) => {
                return Err(ApiError::bad_request(
                    "dryRun: Unsupported value: supported values: \"All\"".to_owned(),
                ));
            }
        };
        let orphan = body
            .get("orphanDependents")
            .and_then(Value::as_bool)
            .or_else(|| query.has("orphanDependents").then(|| query.flag("orphanDependents")));
        let propagation = match text("propagationPolicy") {
            None => orphan.map(|orphan| if orphan { Propagation::Orphan } else { Propagation::Background }),
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\""
                )));
            }
        };
        let preconditions = body.get("preconditions");
        let precondition = |name: &str| {
            preconditions.and_then(|given| given.get(name)).and_then(Value::as_str).map(str::to_owned)
        };
        Ok(Self {
            dry_run,
            grace_period_s: match body.get("gracePeriodSeconds").and_then(Value::as_i64) {
                Some(seconds) => Some(seconds),
                None => query.number("gracePeriodSeconds")?,
            },
            propagation,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
        })
    }
}
