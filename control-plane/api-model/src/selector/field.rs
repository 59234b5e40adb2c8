//! Field selectors: `status.phase=Running,spec.nodeName!=`.

use super::SelectorError;

/// One condition on a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// Field path, as in `spec.nodeName`.
    pub field: String,
    /// Value compared with.
    pub value: String,
    /// Equal, or different.
    pub equal: bool,
}

/// All requirements must hold; none selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads the text form; `\` escapes `,`, `=` and itself.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for part in split(text) {
            if part.is_empty() {
                continue;
            }
            let refuse = || SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"));
            let at = operator(part).ok_or_else(refuse)?;
            let rest = &part[at..];
            let (equal, width) = match rest.as_bytes() {
                [b'!', b'=', ..] => (false, 2),
                [b'=', b'=', ..] => (true, 2),
                _ => (true, 1),
            };
            let value = unescape(&rest[width..]).ok_or_else(refuse)?;
            requirements.push(FieldRequirement { field: part[..at].to_owned(), value, equal });
        }
        Ok(Self { requirements })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// The value some field must have, when the selector says so (`metadata.name=x` reads one object).
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.equal && r.field == field).map(|r| r.value.as_str())
    }

    /// Whether an object fits whose fields are looked up by path; a missing field is the empty text.
    pub fn matches(&self, field: impl Fn(&str) -> Option<String>) -> bool {
        self.requirements.iter().all(|r| (field(&r.field).unwrap_or_default() == r.value) == r.equal)
    }

    /// Refuses fields the resource cannot select by.
    pub fn check(&self, resource: &crate::Resource) -> Result<(), SelectorError> {
        match self.requirements.iter().find(|r| !resource.field_labels.contains(&r.field)) {
            Some(r) => Err(SelectorError(format!("field label not supported: {}", r.field))),
            None => Ok(()),
        }
    }
}

/// The value of a selectable field of an object as text; `None` when it is absent. Understands the few labels that are no paths.
pub fn value_of(object: &serde_json::Value, label: &str) -> Option<String> {
    use serde_json::Value;
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let mut at = object;
    match (kind, label) {
        ("Event", "source") => {
            let source =
                object.pointer("/source/component").and_then(Value::as_str).filter(|s| !s.is_empty());
            return source.or_else(|| object.get("reportingComponent")?.as_str()).map(str::to_owned);
        }
        ("Job", "status.successful") => {
            return Some(
                object.pointer("/status/succeeded").map_or_else(|| "0".to_owned(), Value::to_string),
            );
        }
        ("Node", "spec.unschedulable") | ("Pod", "spec.hostNetwork") => {
            let pointer = format!("/{}", label.replace('.', "/"));
            return Some((object.pointer(&pointer) == Some(&Value::Bool(true))).to_string());
        }
        ("Pod", "status.podIPs") => {
            let ips = object.pointer("/status/podIPs")?.as_array()?;
            let ips: Vec<&str> = ips.iter().filter_map(|ip| ip.get("ip")?.as_str()).collect();
            return Some(ips.join(","));
        }
        _ => {}
    }
    for step in label.split('.') {
        at = at.get(step)?;
    }
    match at {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Where the operator begins.
fn operator(part: &str) -> Option<usize> {
    let at = part.find('=')?;
    Some(if part[..at].ends_with('!') { at - 1 } else { at })
}

fn unescape(text: &str) -> Option<String> {
    let (mut out, mut escaped) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        match c {
            '\\' | ',' | '=' if escaped => {
                out.push(c);
                escaped = false;
            }
            _ if escaped => return None,
            '\\' => escaped = true,
            '=' | ',' => return None,
            _ => out.push(c),
        }
    }
    (!escaped).then_some(out)
}
