//! URLs: absolute ones, and absolute paths.

use std::sync::Arc;

use url::Url;

use super::Style::{Global, Member};
use super::{Given, Row};
use crate::error::EvalError;
use crate::value::{Map, Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    Row("url", "string_to_url", Global, "string -> url", |_, args| match args {
        [Value::String(text)] => {
            parse(text.as_str()).map(|url| Value::Opaque(Arc::new(url))).ok_or_else(|| {
                let text = text.as_str();
                EvalError::failed(format!(
                    "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
                ))
            })
        }
        _ => Err(EvalError::no_overload()),
    }),
    Row("isURL", "is_url_string", Global, "string -> bool", |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(parse(text.as_str()).is_some())),
        _ => Err(EvalError::no_overload()),
    }),
    Row("getScheme", "url_get_scheme", Member, "url -> string", |_, args| {
        get(args, |url, path_only| if path_only { String::new() } else { url.scheme().to_owned() })
    }),
    Row("getHost", "url_get_host", Member, "url -> string", |_, args| get(args, host)),
    Row("getHostname", "url_get_hostname", Member, "url -> string", |_, args| {
        get(args, |url, path_only| if path_only { String::new() } else { bare(url) })
    }),
    Row("getPort", "url_get_port", Member, "url -> string", |_, args| {
        get(args, |url, path_only| if path_only { String::new() } else { port(url) })
    }),
    Row("getEscapedPath", "url_get_escaped_path", Member, "url -> string", |_, args| {
        get(args, |url, _| path(url))
    }),
    Row("getQuery", "url_get_query", Member, "url -> map(string, list(string))", |_, args| {
        let (url, _) = of(args)?;
        let mut entries: Vec<(Value<'_>, Vec<Value<'_>>)> = Vec::new();
        for (key, value) in url.query_pairs() {
            match entries.iter_mut().find(|(known, _)| known.as_str() == Some(&*key)) {
                Some((_, values)) => values.push(Value::text(&*value)),
                None => entries.push((Value::text(&*key), vec![Value::text(&*value)])),
            }
        }
        Ok(Value::Map(Map::made(
            entries.into_iter().map(|(key, values)| (key, Value::list(values))).collect(),
        )))
    }),
];

/// What stands in for scheme and host of a path.
const BASE: &str = "path://path";

fn parse(text: &str) -> Option<Opaque<'static>> {
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return None;
    }
    let url = if text.starts_with('/') && !text.starts_with("//") {
        Url::parse(&format!("{BASE}{text}")).ok()?
    } else {
        let scheme = text.split_once(':')?.0;
        if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
            return None;
        }
        Url::parse(text).ok()?
    };
    Some(Opaque::Url(Arc::new(url), text.to_owned()))
}

fn of<'v>(args: &'v [Value<'_>]) -> Result<(&'v Url, bool), EvalError> {
    match args {
        [Value::Opaque(opaque)] => match &**opaque {
            Opaque::Url(url, text) => Ok((url, text.starts_with('/'))),
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}

fn get<'a>(args: &[Value<'a>], part: fn(&Url, bool) -> String) -> Given<'a> {
    let (url, path_only) = of(args)?;
    Ok(Value::text(part(url, path_only)))
}

fn bare(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned()
}

fn host(url: &Url, path_only: bool) -> String {
    if path_only {
        return String::new();
    }
    let port = port(url);
    let host = url.host_str().unwrap_or_default();
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}

/// The port as it is written; the parser drops a scheme's usual one.
fn port(url: &Url) -> String {
    url.port().map(|port| port.to_string()).unwrap_or_default()
}

fn path(url: &Url) -> String {
    if url.cannot_be_a_base() { String::new() } else { url.path().to_owned() }
}

/// Whether a text is a URL or an absolute path.
pub(super) fn is_url(text: &str) -> bool {
    parse(text).is_some()
}
