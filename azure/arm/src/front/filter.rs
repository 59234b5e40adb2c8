//! The part of OData's `$filter` that ARM's clients use: comparisons joined by `and`, and a few functions.

use crate::{ArmError, Resource};

/// One comparison, or a function call (`op` is the function's name then).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What is compared; a function's first argument.
    pub field: String,
    /// `eq`, `ne`, `ge`, `le`, `gt` or `lt`, or the function's name, in lower case.
    pub op: String,
    /// With what; a function's second argument.
    pub value: String,
}

impl Clause {
    /// Whether an `eq` or `ne` holds for this text, without case.
    pub fn is(&self, text: &str) -> bool {
        let same = self.value.eq_ignore_ascii_case(text);
        if self.op == "ne" { !same } else { same }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Text(String),
    Quoted(String),
    Sign(char),
}

fn words(text: &str) -> Result<Vec<Word>, ArmError> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' | '\n' => {
                chars.next();
            }
            '(' | ')' | ',' => {
                chars.next();
                found.push(Word::Sign(c));
            }
            '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            value.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => value.push(c),
                        None => return Err(invalid(text)),
                    }
                }
                found.push(Word::Quoted(value));
            }
            _ => {
                let mut value = String::new();
                while let Some(&c) = chars.peek() {
                    if " \t\n(),'".contains(c) {
                        break;
                    }
                    value.push(c);
                    chars.next();
                }
                found.push(Word::Text(value));
            }
        }
    }
    Ok(found)
}

fn invalid(text: &str) -> ArmError {
    ArmError::bad_request(
        "InvalidFilterInQueryString",
        format!("Invalid $filter '{text}' specified in the query string."),
    )
}

fn is_comparison(word: &str) -> bool {
    ["eq", "ne", "ge", "le", "gt", "lt"].iter().any(|op| op.eq_ignore_ascii_case(word))
}

/// Reads a filter; none is an empty list.
///
/// # Errors
/// `InvalidFilterInQueryString`.
pub fn parse(text: Option<&str>) -> Result<Vec<Clause>, ArmError> {
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Ok(Vec::new()) };
    let mut clauses = Vec::new();
    let mut rest = words(text)?.into_iter().filter(|w| !matches!(w, Word::Sign(','))).peekable();
    while let Some(word) = rest.next() {
        match word {
            Word::Text(t) if t.eq_ignore_ascii_case("and") => {}
            Word::Sign(_) => {}
            Word::Text(name) => match rest.next() {
                Some(Word::Sign('(')) if !is_comparison(&name) => {
                    let mut arguments = Vec::new();
                    for word in rest.by_ref() {
                        match word {
                            Word::Sign(')') => break,
                            Word::Text(t) | Word::Quoted(t) => arguments.push(t),
                            Word::Sign(_) => {}
                        }
                    }
                    let mut arguments = arguments.into_iter();
                    let (field, value) =
                        (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
                    clauses.push(Clause { field, op: name.to_ascii_lowercase(), value });
                }
                Some(Word::Text(op)) => match rest.next() {
                    Some(Word::Text(value) | Word::Quoted(value)) if is_comparison(&op) => {
                        clauses.push(Clause { field: name, op: op.to_ascii_lowercase(), value });
                    }
                    _ => return Err(invalid(text)),
                },
                _ => return Err(invalid(text)),
            },
            Word::Quoted(_) => return Err(invalid(text)),
        }
    }
    Ok(clauses)
}

/// `tagName eq 'a' and tagValue eq 'b'`.
pub fn tags_match(clauses: &[Clause], resource: &Resource) -> bool {
    let get =
        |name: &str| clauses.iter().find(|c| c.field.eq_ignore_ascii_case(name)).map(|c| c.value.as_str());
    let Some(name) = get("tagName") else { return true };
    resource
        .tags
        .iter()
        .flatten()
        .any(|(n, v)| n.eq_ignore_ascii_case(name) && get("tagValue").is_none_or(|w| w == v))
}

/// A time as filters write it; one without a zone is UTC.
pub fn time(text: &str) -> Option<jiff::Timestamp> {
    // A plus sign that nobody encoded arrives as a blank.
    let text = text.trim().replace(' ', "+");
    text.parse::<jiff::Timestamp>()
        .or_else(|_| format!("{text}Z").parse())
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .ok()
}

/// Compares an RFC 3339 time with a clause.
pub fn compare_time(clause: &Clause, at: &str) -> bool {
    let (Some(bound), Ok(at)) = (time(&clause.value), at.parse::<jiff::Timestamp>()) else { return false };
    match clause.op.as_str() {
        "ge" => at >= bound,
        "gt" => at > bound,
        "le" => at <= bound,
        "lt" => at < bound,
        "ne" => at != bound,
        _ => at == bound,
    }
}

#[cfg(test)]
mod tests {
    use super::{Clause, compare_time, parse};

    fn clause(field: &str, op: &str, value: &str) -> Clause {
        Clause { field: field.to_owned(), op: op.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn filters_that_clients_send() {
        let table = [
            ("resourceType eq 'A/b'", vec![clause("resourceType", "eq", "A/b")]),
            (
                "resourceGroup eq 'G' and name eq 'it''s'",
                vec![clause("resourceGroup", "eq", "G"), clause("name", "eq", "it's")],
            ),
            ("atScope()", vec![clause("", "atscope", "")]),
            ("atScope() and assignedTo('x')", vec![clause("", "atscope", ""), clause("x", "assignedto", "")]),
            (
                "eventTimestamp ge 2026-11-22T16:13:29.550661 and status eq 'Failed'",
                vec![
                    clause("eventTimestamp", "ge", "2026-11-22T16:13:29.550661"),
                    clause("status", "eq", "Failed"),
                ],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(Some(text)).unwrap(), expected, "{text}");
        }
        for wrong in ["name eq", "eq(name, 'x')", "name is 'x'", "'x'", "name eq 'x"] {
            assert!(parse(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_without_zone_are_utc() {
        let c = clause("eventTimestamp", "ge", "2026-11-22T16:13:29.550661");
        assert!(compare_time(&c, "2026-11-22T16:13:30Z"));
        assert!(!compare_time(&c, "2026-11-22T16:13:29Z"));
    }
}
