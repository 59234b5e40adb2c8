//! The query of a request, read once.

use std::collections::HashMap;

use api_model::{Cause, FieldPath};
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
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The first value of a parameter, empty or not.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// All values of a parameter.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a parameter says yes: it is there, and neither `0` nor `false`. One without a value says yes.
    pub fn flag(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
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
        let Some(text) = self.raw(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
            let why = match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
        })
    }

    /// Whether the response is to be indented: `pretty` says so, or else a client that people read from.
    pub fn pretty(&self, user_agent: &str) -> bool {
        match self.get("pretty") {
            Some(text) => matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
            None => ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| user_agent.starts_with(known)),
        }
    }

    /// All parameters as a string map of lists, for options objects.
    pub fn all(&self) -> &HashMap<String, Vec<String>> {
        &self.0
    }
}

/// Whether a write is to be tried only; what is wrong goes to `causes`.
fn dry_run(given: &[String], causes: &mut Vec<Cause>) -> bool {
    if given.iter().any(|value| value != "All") {
        causes.push(Cause::unsupported(&FieldPath::new("dryRun"), &json!(given), &["All"]));
    }
    !given.is_empty()
}

/// Refuses options of this kind when anything is wrong with them.
fn refuse(kind: &str, causes: &[Cause]) -> Result<(), ApiError> {
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", kind, "", causes)) }
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
    fn of(query: &Query, causes: &mut Vec<Cause>) -> Self {
        match query.get("fieldValidation") {
            None | Some("Warn") => Self::Warn,
            Some("Ignore") => Self::Ignore,
            Some("Strict") => Self::Strict,
            Some(other) => {
                let path = FieldPath::new("fieldValidation");
                causes.push(Cause::unsupported(&path, &json!(other), &["", "Ignore", "Strict", "Warn"]));
                Self::Warn
            }
        }
    }
}

/// The longest name of a field manager, in bytes.
const MANAGER_BYTES_MAX: usize = 128;

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
    /// The options of a patch.
    ///
    /// # Errors
    /// When a value is refused.
    pub fn of(query: &Query, user_agent: &str) -> Result<Self, ApiError> {
        Self::read("PatchOptions", query, user_agent)
    }

    /// From the query; the manager's default is the first part of the user agent. `kind` is that of the options,
    /// for refusals.
    ///
    /// # Errors
    /// When a value is refused.
    pub fn read(kind: &str, query: &Query, user_agent: &str) -> Result<Self, ApiError> {
        let mut causes = Vec::new();
        let manager =
            query.get("fieldManager").unwrap_or_else(|| user_agent.split('/').next().unwrap_or_default());
        if query.has("fieldManager") {
            check_manager(manager, &mut causes);
        }
        let options = Self {
            dry_run: dry_run(query.values("dryRun"), &mut causes),
            validation: FieldValidation::of(query, &mut causes),
            manager: if manager.is_empty() { "unknown".to_owned() } else { shortened(manager) },
            force: query.flag("force"),
            stated: Stated {
                field_manager: query.get("fieldManager").map(str::to_owned),
                field_validation: query.get("fieldValidation").map(str::to_owned),
            },
        };
        refuse(kind, &causes)?;
        Ok(options)
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

fn check_manager(manager: &str, causes: &mut Vec<Cause>) {
    let path = FieldPath::new("fieldManager");
    if manager.len() > MANAGER_BYTES_MAX {
        causes.push(Cause::too_long(&path, MANAGER_BYTES_MAX));
    }
    // What cannot be printed: control characters, and blanks other than the plain one.
    for (position, c) in
        manager.char_indices().filter(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' '))
    {
        let why = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
        causes.push(Cause::invalid(&path, &json!(manager), &why));
    }
}

/// A manager's name that is made of a user agent is cut, not refused.
fn shortened(manager: &str) -> String {
    let mut end = manager.len().min(MANAGER_BYTES_MAX);
    while !manager.is_char_boundary(end) {
        end -= 1;
    }
    manager[..end].to_owned()
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
    /// The old way to say it was used, and said that dependents go: then an object that stays is answered with 202.
    pub dependents_go: bool,
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

    /// From the body or, when there is none, from the query.
    ///
    /// # Errors
    /// When a value is refused or the options contradict each other.
    pub fn of(query: &Query, body: Option<&Value>) -> Result<Self, ApiError> {
        match body {
            Some(body) => Self::read(body),
            None => Self::read(&from_query(query)?),
        }
    }

    fn read(body: &Value) -> Result<Self, ApiError> {
        check_types(body)?;
        let mut causes = Vec::new();
        let orphan = body["orphanDependents"].as_bool();
        let policy = body["propagationPolicy"].as_str();
        let path = FieldPath::new("propagationPolicy");
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(Cause::invalid(&path, &json!(policy), why));
        }
        let propagation = match policy {
            None => orphan.map(|orphan| if orphan { Propagation::Orphan } else { Propagation::Background }),
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                causes.push(Cause::unsupported(&path, &json!(other), &known));
                None
            }
        };
        let listed = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let dry_run = dry_run(&listed.map(str::to_owned).collect::<Vec<_>>(), &mut causes);
        check_unsafe(body, &mut causes);
        refuse("DeleteOptions", &causes)?;
        let precondition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
        Ok(Self {
            dry_run,
            // Less than nothing means almost nothing.
            grace_period_s: body["gracePeriodSeconds"]
                .as_i64()
                .map(|seconds| if seconds < 0 { 1 } else { seconds }),
            propagation,
            dependents_go: orphan == Some(false),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
        })
    }
}

/// The options of a query, as a body would carry them.
fn from_query(query: &Query) -> Result<Value, ApiError> {
    let mut body = json!({});
    if let Some(seconds) = query.number("gracePeriodSeconds")? {
        body["gracePeriodSeconds"] = json!(seconds);
    }
    for flag in ["orphanDependents", UNSAFE] {
        if query.has(flag) {
            body[flag] = json!(query.flag(flag));
        }
    }
    if let Some(policy) = query.raw("propagationPolicy") {
        body["propagationPolicy"] = json!(policy);
    }
    if query.has("dryRun") {
        body["dryRun"] = json!(query.values("dryRun"));
    }
    if let Some(uid) = query.get("uid") {
        body["preconditions"] = json!({"uid": uid});
    }
    Ok(body)
}

/// Refuses values of the wrong type, as decoding into Go's struct does.
fn check_types(body: &Value) -> Result<(), ApiError> {
    let fields: [(&str, &str, fn(&Value) -> bool); 6] = [
        ("gracePeriodSeconds", "int64", |value| value.is_i64()),
        ("orphanDependents", "bool", Value::is_boolean),
        ("propagationPolicy", "v1.DeletionPropagation", Value::is_string),
        ("dryRun", "[]string", |value| {
            value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
        }),
        ("preconditions", "v1.Preconditions", Value::is_object),
        (UNSAFE, "bool", Value::is_boolean),
    ];
    for (name, wanted, fits) in fields {
        let value = &body[name];
        if !value.is_null() && !fits(value) {
            return Err(ApiError::bad_request(format!(
                "json: cannot unmarshal {} into Go struct field DeleteOptions.{name} of type {wanted}",
                go_name(value)
            )));
        }
    }
    Ok(())
}

/// What Go calls the type of a JSON value that does not fit.
fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Deletes what cannot be read; nothing here is stored that cannot, so it only must not contradict the rest.
const UNSAFE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

fn check_unsafe(body: &Value, causes: &mut Vec<Cause>) {
    if body[UNSAFE] != Value::Bool(true) {
        return;
    }
    for field in ["dryRun", "propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions"] {
        let given = match &body[field] {
            Value::Null => false,
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        if given {
            let why = format!("cannot be set together with .{field}");
            causes.push(Cause::invalid(&FieldPath::new(UNSAFE), &json!(true), &why));
        }
    }
}
