//! What a request is about, from its method and URL alone.

use http::Method;
use percent_encoding::percent_decode_str;

/// A request in the API's own terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about a resource; else only `path` and `verb` count.
    pub is_resource: bool,
    /// The URL's path.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other URLs the
    /// method in lower case.
    pub verb: &'static str,
    /// The API group; empty for the core one.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace; empty when there is none. Of a namespace itself, its own name.
    pub namespace: String,
    /// The resource's plural name.
    pub resource: String,
    /// The object's name; empty for collections.
    pub name: String,
    /// The subresource; empty when there is none.
    pub subresource: String,
    /// What follows the subresource, decoded, without a leading slash (proxies use it).
    pub rest: String,
    /// Through one of the old `/watch/` paths.
    pub followed: bool,
}

/// The path of a URL, decoded; none when it is not well encoded.
pub fn decoded(path: &str) -> Option<String> {
    let escapes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'%');
    for (at, _) in escapes {
        let digits = path.as_bytes().get(at + 1..at + 3)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    Some(percent_decode_str(path).decode_utf8_lossy().into_owned())
}

fn plain_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "HEAD" => "head",
        "OPTIONS" => "options",
        _ => "get",
    }
}

/// Reads a request from its decoded path. `watch` tells whether the query asks to watch.
pub fn parse(method: &Method, path: &str, watch: bool) -> RequestInfo {
    let mut info = RequestInfo { path: path.to_owned(), verb: plain_verb(method), ..Default::default() };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut rest = match parts.as_slice() {
        // A part that is empty is a name that nothing has.
        ["api" | "apis", rest @ ..] if rest.iter().take(3).any(|part| part.is_empty()) => return info,
        ["api", version, rest @ ..] if !rest.is_empty() => {
            info.version = (*version).to_owned();
            rest
        }
        ["apis", group, version, rest @ ..] if !rest.is_empty() => {
            info.group = (*group).to_owned();
            info.version = (*version).to_owned();
            rest
        }
        _ => return info,
    };
    info.is_resource = true;
    let mut followed = false;
    if let ["watch", inner @ ..] = rest
        && !inner.is_empty()
    {
        followed = true;
        rest = inner;
    }
    match rest {
        // A namespace itself, or its own subresources; all else under it is a namespaced resource.
        ["namespaces", name, "status" | "finalize"] | ["namespaces", name] => {
            info.namespace = (*name).to_owned();
        }
        ["namespaces", namespace, inner @ ..] => {
            info.namespace = (*namespace).to_owned();
            rest = inner;
        }
        _ => {}
    }
    let part = |at: usize| rest.get(at).map(|part| (*part).to_owned()).unwrap_or_default();
    (info.resource, info.name, info.subresource) = (part(0), part(1), part(2));
    if rest.len() > 3 {
        info.rest = rest[3..].join("/");
        if path.ends_with('/') {
            info.rest.push('/');
        }
    }
    info.followed = followed;
    info.verb = resource_verb(method, info.name.is_empty(), watch, followed);
    info
}

fn resource_verb(method: &Method, collection: bool, watch: bool, followed: bool) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if collection => "deletecollection",
        "DELETE" => "delete",
        "GET" | "HEAD" if followed || (watch && collection) => "watch",
        "GET" | "HEAD" if collection => "list",
        "GET" | "HEAD" => "get",
        _ => "",
    }
}

/// Why a part of a path cannot be a name, in upstream's words; none when it can.
pub fn not_a_name(part: &str) -> Option<&'static str> {
    match part {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        part if part.contains('/') => Some("may not contain '/'"),
        part if part.contains('%') => Some("may not contain '%'"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> RequestInfo {
        parse(&Method::GET, path, false)
    }

    #[test]
    fn namespaced_and_plain_paths_are_told_apart() {
        let pod = get("/api/v1/namespaces/default/pods/web/log");
        assert_eq!(
            (&*pod.namespace, &*pod.resource, &*pod.name, &*pod.subresource, pod.verb),
            ("default", "pods", "web", "log", "get")
        );
        let namespace = get("/api/v1/namespaces/default");
        assert_eq!(
            (&*namespace.namespace, &*namespace.resource, &*namespace.name),
            ("default", "namespaces", "default")
        );
        let finalize = parse(&Method::PUT, "/api/v1/namespaces/x/finalize", false);
        assert_eq!(
            (&*finalize.resource, &*finalize.subresource, finalize.verb),
            ("namespaces", "finalize", "update")
        );
        let list = get("/apis/apps/v1/deployments");
        assert_eq!(
            (&*list.group, &*list.resource, list.verb, list.is_resource),
            ("apps", "deployments", "list", true)
        );
        assert!(!get("/apis/apps/v1").is_resource);
        assert_eq!(get("/api/v1/watch/namespaces/a/pods").verb, "watch");
        let proxy = get("/api/v1/nodes/n1/proxy/stats/summary");
        assert_eq!((&*proxy.subresource, &*proxy.rest), ("proxy", "stats/summary"));
        assert_eq!(parse(&Method::DELETE, "/api/v1/namespaces/a/pods", false).verb, "deletecollection");
        assert_eq!(
            parse(&Method::GET, "/api/v1/namespaces/a/pods/x", true).verb,
            "get",
            "one object is not watched so"
        );
        assert_eq!(get("/api/v1/watch/namespaces/a/pods/x").verb, "watch");
        assert_eq!(get("/api/v1/pods/").resource, "pods");
        assert!(!get("/api//v1/pods").is_resource);
        assert_eq!(decoded("/api/v1/namespaces/a%2Fpods").as_deref(), Some("/api/v1/namespaces/a/pods"));
        assert_eq!(decoded("/api/v1/%zz"), None);
    }
}
