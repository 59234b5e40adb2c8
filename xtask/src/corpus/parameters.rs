//! Query parameters of the verbs with their prose, from a pinned client made of Kubernetes' own specification.
//!
//! Output, one line a parameter: `query <use> <name> <type> "<description>"`, where a use is a verb or, for what connects to a
//! node, the subresource. Path parameters have the uses `path` and, below `/proxy/`, `proxy-path`.

use anyhow::Context;
use serde_json::Value;
use std::fmt::Write;

/// Which method of the client speaks for which use.
const METHODS: [(&str, &str); 12] = [
    ("attach", "connect_get_namespaced_pod_attach"),
    ("create", "create_namespaced_pod"),
    ("delete", "delete_namespaced_pod"),
    ("deletecollection", "delete_collection_namespaced_pod"),
    ("exec", "connect_get_namespaced_pod_exec"),
    ("get", "read_namespaced_pod"),
    ("list", "list_namespaced_pod"),
    ("log", "read_namespaced_pod_log"),
    ("patch", "patch_namespaced_pod"),
    ("portforward", "connect_get_namespaced_pod_portforward"),
    ("proxy", "connect_get_namespaced_pod_proxy"),
    ("update", "replace_namespaced_pod"),
];

/// The lines, from the text of the client's class for the core group.
pub fn corpus(client: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    for (use_, method) in METHODS {
        for (kind, python_name, text) in documented(client, method).with_context(|| method.to_owned())? {
            let type_ = match kind {
                "str" => "string",
                "int" => "integer",
                "bool" => "boolean",
                _ => continue,
            };
            let use_ = match python_name {
                "body" => continue,
                // Once is enough: they are the same for all.
                "name" | "namespace" if use_ == "get" => "path",
                "name" | "namespace" => continue,
                _ => use_,
            };
            let text =
                text.trim_end_matches("(required)").trim_end().replace("name of the Pod", "name of the");
            writeln!(
                out,
                "query {use_} {} {type_} {}",
                json_name(python_name, &text),
                Value::from(text.as_str())
            )?;
        }
    }
    let below =
        documented(client, "connect_get_namespaced_pod_proxy_with_path").context("proxy with path")?;
    for (_, _, text) in below.iter().filter(|(_, name, _)| *name == "path") {
        writeln!(
            out,
            "query proxy-path path string {}",
            Value::from(text.trim_end_matches("(required)").trim_end())
        )?;
    }
    Ok(out)
}

/// The documented parameters of a method: type, name, text.
fn documented<'a>(client: &'a str, method: &str) -> Option<Vec<(&'a str, &'a str, String)>> {
    let (_, body) = client.split_once(&format!("def {method}_with_http_info("))?;
    let (_, body) = body.split_once("\"\"\"")?;
    let (text, _) = body.split_once("\"\"\"")?;
    let mut found = Vec::new();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix(":param ")) {
        let Some((head, about)) = line.split_once(": ") else { continue };
        let Some((kind, name)) = head.split_once(' ') else { continue };
        // What the client takes for itself begins with a line across.
        if !name.starts_with('_') || name == "_continue" {
            found.push((kind, name, about.replace("\\\"", "\"").replace("\\'", "'")));
        }
    }
    Some(found)
}

/// The name on the wire: camel case; where the prose begins with the name, as it is spelled there.
fn json_name(python_name: &str, text: &str) -> String {
    let bare = python_name.trim_start_matches('_').replace('_', "");
    match text.split_whitespace().next() {
        Some(first) if first.eq_ignore_ascii_case(&bare) && first.starts_with(char::is_lowercase) => {
            first.to_owned()
        }
        _ => {
            let mut parts = python_name.trim_start_matches('_').split('_');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |name, part| {
                let (head, tail) = part.split_at(part.len().min(1));
                name + &head.to_uppercase() + tail
            })
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn parameters_are_read_from_the_prose() {
        let client = "def a_with_http_info(self):\n \"\"\"a\n\n :param str _continue: Go \\\"on\\\". (required)\n \
            :param bool insecure_skip_tls: insecureSkipTLS says\n :param _request_timeout: x\n \"\"\"";
        let read = super::documented(client, "a").unwrap();
        assert_eq!(read[0], ("str", "_continue", "Go \"on\". (required)".to_owned()));
        assert_eq!(super::json_name("insecure_skip_tls", &read[1].2), "insecureSkipTLS");
        assert_eq!(super::json_name("since_seconds", "A time"), "sinceSeconds");
    }
}
