//! The pages on which people sign in. Plain HTML, no script but the one line that sends a form on.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use kit::http::Response;

use crate::entra::Entra;
use crate::errors::Refused;
use crate::live::Code;
use crate::service::Incoming;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><meta name=\"viewport\" content=\"width=device-width\">\
<style>body{{font:16px system-ui;display:grid;place-items:center;min-height:90vh;background:#f3f6fb}}form,main{{background:#fff;padding:2rem;border-radius:8px;box-shadow:0 2px 12px #0002;width:20rem}}\
input{{display:block;width:100%;box-sizing:border-box;margin:.4rem 0 1rem;padding:.5rem;font:inherit}}button{{padding:.5rem 1.2rem;font:inherit}}p.e{{color:#a00}}</style></head><body>{body}</body></html>"
    );
    let mut response = kit::http::bytes_response(status, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert("x-frame-options", http::HeaderValue::from_static("DENY"));
    headers.insert("referrer-policy", http::HeaderValue::from_static("no-referrer"));
    response
}

fn form(title: &str, error: Option<&str>, hidden: &BTreeMap<String, String>, code: bool) -> Response {
    let mut body = format!("<form method=\"post\"><h1>{title}</h1>");
    if let Some(error) = error {
        body.push_str(&format!("<p class=\"e\">{}</p>", escape(error)));
    }
    for (name, value) in hidden {
        body.push_str(&format!(
            "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
            escape(name),
            escape(value)
        ));
    }
    if code {
        body.push_str("<label>Code<input name=\"otc\" autocomplete=\"off\" required></label>");
    }
    body.push_str("<label>User name<input name=\"username\" autocomplete=\"username\" required></label><label>Password<input type=\"password\" name=\"password\" autocomplete=\"current-password\" required></label><button>Sign in</button></form>");
    page(StatusCode::OK, title, &body)
}

/// Where a code may be sent: the user's own machine, or an address the application registered.
pub(crate) fn loopback(uri: &str) -> bool {
    url::Url::parse(uri).is_ok_and(|u| {
        u.scheme() == "http" && matches!(u.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    })
}

impl Entra {
    /// `/devicelogin`: the code, then name and password.
    pub(crate) async fn device_page(&self, incoming: &Incoming) -> Response {
        if incoming.method != Method::POST {
            return form("Sign in to your device", None, &BTreeMap::new(), true);
        }
        let fields = incoming.form();
        let get = |name: &str| fields.get(name).map_or("", String::as_str);
        let wanted = get("otc").trim().to_ascii_uppercase();
        let now = self.now().as_second();
        let open = self
            .live
            .devices
            .lock()
            .values()
            .any(|d| d.user_code == wanted && d.expires > now && d.user.is_none());
        if !open {
            return form(
                "Sign in to your device",
                Some("That code did not work. Check the code and try again."),
                &BTreeMap::new(),
                true,
            );
        }
        match self.check_password(get("username"), get("password")).await {
            Err(refused) => form("Sign in to your device", Some(&refused.text), &BTreeMap::new(), true),
            Ok(user) => {
                for device in self.live.devices.lock().values_mut().filter(|d| d.user_code == wanted) {
                    device.user = Some(user.id.clone());
                }
                page(
                    StatusCode::OK,
                    "Signed in",
                    "<main><h1>Signed in</h1><p>You have signed in on your device. You may now close this window.</p></main>",
                )
            }
        }
    }

    /// The authorize endpoint: shows the form, then sends the code to the client by a form of its own.
    pub(crate) async fn authorize_page(&self, incoming: &Incoming) -> Response {
        let fields = if incoming.method == Method::POST { incoming.form() } else { incoming.query.clone() };
        let asked: BTreeMap<String, String> = fields
            .iter()
            .filter(|(n, _)| !["username", "password"].contains(&n.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        if let Err(refused) = self.check_authorize(&asked) {
            return page(
                StatusCode::BAD_REQUEST,
                "Sign in",
                &format!(
                    "<main><h1>Sorry</h1><p>AADSTS{}: {}</p></main>",
                    refused.number,
                    escape(&refused.text)
                ),
            );
        }
        if incoming.method != Method::POST {
            return form("Sign in", None, &asked, false);
        }
        let get = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let user = match self.check_password(&get("username"), &get("password")).await {
            Ok(user) => user,
            Err(refused) => return form("Sign in", Some(&refused.text), &asked, false),
        };
        let optional = |name: &str| fields.get(name).filter(|v| !v.is_empty()).cloned();
        let code = self.make_code(Code {
            client_id: get("client_id"),
            scope: get("scope"),
            redirect_uri: get("redirect_uri"),
            challenge: optional("code_challenge")
                .map(|c| (c, optional("code_challenge_method").unwrap_or_else(|| "plain".to_owned()))),
            nonce: optional("nonce"),
            user: user.id.clone(),
            expires: 0,
        });
        let answers = [
            ("code", code),
            ("state", get("state")),
            ("client_info", self.client_info(&user)),
            ("session_state", uuid::Uuid::new_v4().to_string()),
        ];
        if get("response_mode") == "form_post" {
            let mut body = format!(
                "<form method=\"post\" action=\"{}\"><h1>Signed in</h1>",
                escape(&get("redirect_uri"))
            );
            for (name, value) in &answers {
                body.push_str(&format!(
                    "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
                    escape(value)
                ));
            }
            body.push_str("<button>Continue</button></form><script>document.forms[0].submit()</script>");
            return page(StatusCode::OK, "Signed in", &body);
        }
        let Ok(mut target) = url::Url::parse(&get("redirect_uri")) else {
            return kit::http::status(StatusCode::BAD_REQUEST);
        };
        target.query_pairs_mut().extend_pairs(answers.iter().map(|(n, v)| (*n, v.as_str())));
        let mut response = kit::http::status(StatusCode::FOUND);
        if let Ok(value) = http::HeaderValue::from_str(target.as_str()) {
            response.headers_mut().insert(http::header::LOCATION, value);
        }
        response
    }

    fn check_authorize(&self, asked: &BTreeMap<String, String>) -> Result<(), Refused> {
        let need =
            |name: &str| asked.get(name).filter(|v| !v.is_empty()).ok_or_else(|| Refused::missing(name));
        let client_id = need("client_id")?;
        self.check_client(client_id)?;
        let redirect = need("redirect_uri")?;
        let registered = self.store.state.read().application_of(client_id).is_some_and(|a| {
            ["web", "spa", "publicClient"].iter().any(|kind| {
                let uris = a.extra.get(*kind).and_then(|k| k.get("redirectUris")).and_then(|u| u.as_array());
                uris.is_some_and(|list| list.iter().any(|u| u.as_str() == Some(redirect)))
            })
        });
        if !loopback(redirect) && !registered {
            return Err(Refused::new(
                "invalid_request",
                50_011,
                format!(
                    "The redirect URI '{redirect}' specified in the request does not match the redirect URIs configured for the application '{client_id}'."
                ),
            ));
        }
        if need("response_type")? != "code" {
            return Err(Refused::new(
                "unsupported_response_type",
                700_051,
                "The response_type is not enabled for the application.",
            ));
        }
        self.audience(asked.get("scope").map_or("", String::as_str)).map(|_| ())
    }
}
