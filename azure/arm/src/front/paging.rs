//! Long lists in pages: `$top`, `$skipToken`, `nextLink`.
//!
//! A token names the last row of its page, so that rows that come and go between two pages are neither missed nor shown
//! twice. Callers inside the process get whole lists.

use serde_json::{Value, json};

use super::route::Asked;
use super::{Answer, Front};
use crate::ArmError;

/// Rows of a page when the client names no number, and the most it may ask for.
const PAGE_ROWS: usize = 1_000;

fn key(row: &Value) -> String {
    row.get("id").and_then(Value::as_str).unwrap_or("").to_ascii_lowercase()
}

fn encode(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(token: &str) -> Option<String> {
    if token.is_empty() || !token.len().is_multiple_of(2) || !token.is_ascii() {
        return None;
    }
    let bytes = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// Where the page behind `last` begins.
fn begin(rows: &[Value], last: &str) -> usize {
    match rows.iter().position(|row| key(row) == last) {
        Some(at) => at + 1,
        None => rows.iter().position(|row| key(row).as_str() > last).unwrap_or(rows.len()),
    }
}

impl Front {
    /// The page of `rows` that was asked for.
    pub(crate) fn paged(&self, asked: &Asked<'_>, mut rows: Vec<Value>) -> Result<Answer, ArmError> {
        let top = match asked.ctx.query("$top") {
            None if asked.incoming.in_process.is_some() => usize::MAX,
            None => PAGE_ROWS,
            Some(text) => match text.parse::<usize>() {
                Ok(top) if top > 0 => top.min(PAGE_ROWS),
                _ => {
                    return Err(ArmError::bad_request(
                        "InvalidTopParameter",
                        format!("The value '{text}' of the query parameter '$top' is not a positive number."),
                    ));
                }
            },
        };
        if let Some(token) = asked.ctx.query("$skiptoken").filter(|t| !t.is_empty()) {
            let last = decode(token).ok_or_else(|| {
                ArmError::bad_request(
                    "InvalidSkipToken",
                    format!("The value '{token}' of the query parameter '$skipToken' is not valid."),
                )
            })?;
            rows.drain(..begin(&rows, &last));
        }
        if rows.len() <= top {
            return Ok(Answer::list(rows));
        }
        rows.truncate(top);
        let next = rows.last().map(|row| self.next_link(asked, &encode(&key(row))));
        Ok(Answer::ok(json!({"value": rows, "nextLink": next})))
    }

    /// The same request for the page behind `token`.
    fn next_link(&self, asked: &Asked<'_>, token: &str) -> String {
        let path = asked.incoming.uri.split('?').next().unwrap_or("");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in asked.ctx.query.iter().filter(|(name, _)| *name != "$skiptoken") {
            query.append_pair(name, value);
        }
        query.append_pair("$skiptoken", token);
        format!("{}{path}?{}", asked.incoming.base_url, query.finish())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{begin, decode, encode};

    #[test]
    fn tokens_name_the_last_row() {
        assert_eq!(decode(&encode("/subscriptions/é")).as_deref(), Some("/subscriptions/é"));
        for wrong in ["", "0", "zz", "é0", "ff"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        let rows = [json!({"id": "/a"}), json!({"id": "/C"}), json!({"id": "/e"})];
        assert_eq!(begin(&rows, "/c"), 2);
        assert_eq!(begin(&rows, "/b"), 1, "the last row of the page before has gone");
        assert_eq!(begin(&rows, "/z"), 3);
    }
}
