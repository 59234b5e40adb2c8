//! Query options on lists and objects: `$filter`, `$search`, `$orderby`, `$count`, `$top`, `$skiptoken`, `$select`.
//!
//! A list is answered in pages of [`PAGE`] unless `$top` says otherwise; `@odata.nextLink` leads on.

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::{Asked, Fault, Reply, shapes};

/// Objects in a page where the client does not say.
const PAGE: usize = 100;
/// The most a client may ask for.
const PAGE_MAX: usize = 999;

fn unsupported(message: impl Into<String>) -> Fault {
    Fault { status: StatusCode::BAD_REQUEST, code: "Request_UnsupportedQuery", message: message.into() }
}

/// Refuses the name of a property that objects of a kind do not have.
fn known(kind: &str, property: &str) -> Result<(), Fault> {
    let first = property.split('/').next().unwrap_or(property);
    match shapes::kind_name(kind) {
        Some(name) if !shapes::has(kind, first) => Err(Fault {
            status: StatusCode::BAD_REQUEST,
            code: "BadRequest",
            message: format!("Could not find a property named '{first}' on type 'microsoft.graph.{name}'."),
        }),
        _ => Ok(()),
    }
}

/// `"displayName:abc"` or `"mail:x" OR "displayName:y"`: a word of the property begins with the text.
fn searched(text: &str, object: &Value) -> bool {
    text.split(" OR ").any(|alternative| {
        alternative.split(" AND ").all(|clause| {
            let clause = clause.trim().trim_matches('"');
            let (property, wanted) = clause.split_once(':').unwrap_or(("displayName", clause));
            let have = object.get(property.trim()).and_then(Value::as_str).unwrap_or("").to_lowercase();
            let wanted = wanted.trim().to_lowercase();
            have.starts_with(&wanted)
                || have.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(&wanted))
        })
    })
}

fn order(values: &mut [Value], kind: &str, text: &str) -> Result<(), Fault> {
    for part in text.split(',').rev() {
        let mut words = part.split_whitespace();
        let property = words.next().unwrap_or("");
        known(kind, property)?;
        let key = |v: &Value| v.get(property).and_then(Value::as_str).unwrap_or("").to_lowercase();
        values.sort_by_key(key);
        if words.next().is_some_and(|w| w.eq_ignore_ascii_case("desc")) {
            values.reverse();
        }
    }
    Ok(())
}

fn selected(object: Value, names: &[String]) -> Value {
    let Value::Object(map) = object else { return object };
    let keep = |name: &str| name.starts_with('@') || names.iter().any(|n| n.eq_ignore_ascii_case(name));
    Value::Object(map.into_iter().filter(|(name, _)| keep(name)).collect::<Map<_, _>>())
}

impl Asked<'_> {
    fn selects(&self, kind: &str) -> Result<Option<Vec<String>>, Fault> {
        let Some(text) = self.query("$select").filter(|t| !t.trim().is_empty()) else { return Ok(None) };
        let mut names: Vec<String> = text.split(',').map(|n| n.trim().to_owned()).collect();
        for name in &names {
            known(kind, name)?;
        }
        // What is expanded is shown, whatever is selected.
        names.extend(self.query("$expand").iter().map(|e| e.split('(').next().unwrap_or(e).to_owned()));
        Ok(Some(names))
    }

    fn eventual(&self) -> bool {
        let level = self.incoming.headers.get("consistencylevel").and_then(|v| v.to_str().ok());
        level.is_some_and(|l| l.eq_ignore_ascii_case("eventual"))
    }

    /// One object, as asked for.
    pub(super) fn shown(&self, kind: &str, object: Value) -> Reply {
        let object = match self.selects(kind)? {
            Some(names) => selected(object, &names),
            None => object,
        };
        Ok((StatusCode::OK, Some(object)))
    }

    /// How many objects fit the filter: `…/$count`.
    pub(super) fn counted(&self, kind: &str, mut values: Vec<Value>) -> Reply {
        if !self.eventual() {
            return Err(unsupported(
                "$count is not currently supported without the request header 'ConsistencyLevel: eventual'.",
            ));
        }
        self.reduce(kind, &mut values)?;
        Ok((StatusCode::OK, Some(json!(values.len()))))
    }

    fn reduce(&self, kind: &str, values: &mut Vec<Value>) -> Result<(), Fault> {
        let filter = Filter::parse(self.query("$filter"))?;
        for property in &filter.properties {
            known(kind, property)?;
        }
        if filter.advanced && !(self.eventual() || self.query("$count") == Some("true")) {
            return Err(unsupported(format!(
                "Operator in the filter clause '{}' needs the request header 'ConsistencyLevel: eventual' and '$count=true'.",
                self.query("$filter").unwrap_or("")
            )));
        }
        values.retain(|v| filter.fits(v));
        if let Some(text) = self.query("$search") {
            if !self.eventual() {
                return Err(unsupported(
                    "Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'",
                ));
            }
            values.retain(|v| searched(text, v));
        }
        Ok(())
    }

    /// A list, as asked for.
    pub(super) fn listed(&self, kind: &str, mut values: Vec<Value>) -> Reply {
        self.reduce(kind, &mut values)?;
        if let Some(text) = self.query("$orderby") {
            order(&mut values, kind, text)?;
        }
        let total = values.len();
        let top = match self.query("$top") {
            None => PAGE,
            Some(text) => {
                text.parse::<usize>().ok().filter(|n| (1..=PAGE_MAX).contains(n)).ok_or_else(|| {
                    unsupported(format!(
                        "Invalid page size specified: '{text}'. Must be between 1 and {PAGE_MAX} inclusive."
                    ))
                })?
            }
        };
        // The token names the last object of the page before; an object that has gone meanwhile ends nothing.
        if let Some(last) = self.query("$skiptoken") {
            let at = values.iter().position(|v| v["id"] == *last).ok_or_else(|| {
                Fault::bad("Invalid $skiptoken: the list has changed. Ask for it from its beginning.")
            })?;
            values.drain(..=at);
        }
        let more = values.len() > top;
        values.truncate(top);
        let next = more.then(|| self.next_link(&values)).flatten();
        if let Some(names) = self.selects(kind)? {
            values = values.into_iter().map(|v| selected(v, &names)).collect();
        }
        let mut body = json!({});
        if self.query("$count") == Some("true") {
            body["@odata.count"] = json!(total);
        }
        if let Some(next) = next {
            body["@odata.nextLink"] = json!(next);
        }
        body["value"] = Value::Array(values);
        Ok((StatusCode::OK, Some(body)))
    }

    fn next_link(&self, page: &[Value]) -> Option<String> {
        let last = page.last()?["id"].as_str()?;
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let kept = self.incoming.query.iter().filter(|(name, _)| *name != "$skiptoken");
        let mut query: Vec<String> = kept.map(|(name, value)| format!("{name}={}", encode(value))).collect();
        query.push(format!("$skiptoken={}", encode(last)));
        let path: Vec<String> = self.incoming.segments.iter().map(|s| encode(s)).collect();
        Some(format!("{}/{}?{}", self.incoming.base, path.join("/"), query.join("&")))
    }
}
