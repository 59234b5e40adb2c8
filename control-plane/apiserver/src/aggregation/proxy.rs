//! Passing requests on to extension API servers: watches and upgrades stream through.

use kit::http::{Request, Response};

use super::Aggregator;
use super::remote::Remote;
use crate::attributes::UserInfo;
use crate::streaming::forward;

/// A plain text answer, as upstream's proxy gives when there is nobody to give a `Status`.
fn plain(code: http::StatusCode, text: &str) -> Response {
    let mut response = kit::http::bytes_response(code, "text/plain; charset=utf-8", format!("{text}\n"));
    let nosniff = http::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

impl Aggregator {
    /// Answers with what the extension answers.
    pub(crate) async fn pass_on(&self, remote: &Remote, user: &UserInfo, request: Request) -> Response {
        if !remote.available {
            return plain(http::StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (onward, client) = match forward::onward(request, &path) {
            Ok(onward) => onward,
            Err(error) => return error.response(),
        };
        match remote.send(&self.kubelets, &*self.registry, user, onward).await {
            Ok(answer) => forward::answer(answer, client),
            Err(why) => {
                let text = format!("error trying to reach service: {why}");
                plain(http::StatusCode::SERVICE_UNAVAILABLE, &text)
            }
        }
    }
}
