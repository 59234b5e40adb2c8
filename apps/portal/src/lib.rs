//! The portal: what is there, at a look, in a browser.
//!
//! Three static files below `/portal`. The page signs in at the token endpoint like any application and
//! then asks Resource Manager, so it shows exactly what its user may see. Does not: keep a session, or
//! change anything.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use kit::http::{BoxService, Request, Response, ServiceFn};

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/portal.js");
const STYLE: &str = include_str!("page/portal.css");

/// Only our own files run, and nobody frames the page: it holds a token.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Serves the portal's files.
pub fn service() -> BoxService {
    Arc::new(ServiceFn(|request: Request| async move { answer(request.method(), request.uri().path()) }))
}

fn answer(method: &Method, path: &str) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return kit::http::status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let (content_type, text) = match path {
        "/portal" | "/portal/" => ("text/html; charset=utf-8", PAGE),
        "/portal/portal.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/portal/portal.css" => ("text/css; charset=utf-8", STYLE),
        _ => return kit::http::status(StatusCode::NOT_FOUND),
    };
    let mut response = kit::http::bytes_response(StatusCode::OK, content_type, text);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_portals_files_are_served_and_nothing_foreign_runs_in_them() {
        let page = answer(&Method::GET, "/portal");
        assert_eq!(page.status(), StatusCode::OK);
        assert!(page.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        assert_eq!(answer(&Method::GET, "/portal/../ca.key").status(), StatusCode::NOT_FOUND);
        assert_eq!(answer(&Method::POST, "/portal").status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(!PAGE.contains("<script>") && !PAGE.contains("style="));
    }
}
