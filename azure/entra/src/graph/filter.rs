//! The forms of `$filter` that Azure's tools send to Graph.

use serde_json::Value;

use super::Fault;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `field eq 'value'`
    Is(String, String),
    /// `startswith(field,'value')`
    Starts(String, String),
    /// `field/any(x:x eq 'value')`
    Any(String, String),
}

/// A conjunction of conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<Test>);

fn unquote(text: &str) -> String {
    text.trim().trim_start_matches('\'').trim_end_matches('\'').replace("''", "'")
}

/// Splits at ` and ` outside of quotes.
fn conjuncts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !quoted && rest.len() >= 5 && rest.is_char_boundary(5) && rest[..5].eq_ignore_ascii_case(" and ") {
            parts.push(std::mem::take(&mut part));
            rest = &rest[5..];
            continue;
        }
        quoted ^= c == '\'';
        part.push(c);
        rest = &rest[c.len_utf8()..];
    }
    parts.push(part);
    parts
}

fn one(text: &str) -> Option<Test> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix("startswith(").or_else(|| text.strip_prefix("startsWith(")) {
        let (field, value) = inner.strip_suffix(')')?.split_once(',')?;
        return Some(Test::Starts(field.trim().to_owned(), unquote(value)));
    }
    if let Some((field, inner)) = text.split_once("/any(") {
        let (_, test) = inner.strip_suffix(')')?.split_once(':')?;
        let (_, value) = test.split_once(" eq ")?;
        return Some(Test::Any(field.trim().to_owned(), unquote(value)));
    }
    let (field, value) = text.trim_start_matches('(').trim_end_matches(')').split_once(" eq ")?;
    Some(Test::Is(field.trim().to_owned(), unquote(value)))
}

impl Filter {
    /// Reads a filter; none lets everything through.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Fault> {
        let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Ok(Self::default()) };
        let tests: Option<Vec<Test>> = conjuncts(text).iter().map(|t| one(t)).collect();
        tests.map(Self).ok_or_else(|| Fault::bad(format!("Invalid filter clause: '{text}'.")))
    }

    /// Whether an object, as it is shown, fits.
    pub(super) fn fits(&self, object: &Value) -> bool {
        let field = |name: &str| object.get(name).cloned().unwrap_or(Value::Null);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.0.iter().all(|test| match test {
            Test::Is(name, wanted) => text(&field(name)).eq_ignore_ascii_case(wanted),
            Test::Starts(name, wanted) => {
                text(&field(name)).to_lowercase().starts_with(&wanted.to_lowercase())
            }
            Test::Any(name, wanted) => field(name)
                .as_array()
                .is_some_and(|list| list.iter().any(|v| text(v).eq_ignore_ascii_case(wanted))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use serde_json::json;

    #[test]
    fn filters_that_tools_send() {
        let object = json!({"displayName": "it's and so", "appId": "a", "servicePrincipalNames": ["a", "api://a"], "accountEnabled": true});
        let table = [
            ("servicePrincipalNames/any(c:c eq 'API://A')", true),
            ("servicePrincipalNames/any(c:c eq 'b')", false),
            ("startswith(displayName,'It''s')", true),
            ("displayName eq 'it''s and so' and appId eq 'a'", true),
            ("displayName eq 'x' and appId eq 'a'", false),
            ("accountEnabled eq true", true),
        ];
        for (text, expected) in table {
            assert_eq!(Filter::parse(Some(text)).unwrap().fits(&object), expected, "{text}");
        }
        assert!(Filter::parse(Some("nonsense")).is_err());
    }
}
