//! ETags: a client that has what it asks for is told so.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::http::Response;
use sha2::{Digest, Sha512};

/// The hash upstream makes its tags of, in its form.
pub(super) fn hash(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The response with its tag, or 304 when the client has it.
pub(super) fn tagged(hash: &str, request: &HeaderMap, make: impl FnOnce() -> Response) -> Response {
    let tag = format!("\"{hash}\"");
    let mut response =
        if is_known(&tag, request) { kit::http::status(StatusCode::NOT_MODIFIED) } else { make() };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, value);
    }
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    }
    response
}

fn is_known(tag: &str, request: &HeaderMap) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = values.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    known.any(|one| one == tag || one == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tag_is_found_in_a_list() {
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"a\", W/\"b\""));
        let status = |hash: &str| tagged(hash, &request, || kit::http::status(StatusCode::OK)).status();
        assert_eq!((status("b"), status("c")), (StatusCode::NOT_MODIFIED, StatusCode::OK));
    }
}
