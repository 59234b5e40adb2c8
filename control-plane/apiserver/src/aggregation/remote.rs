//! An extension API server, as its `APIService` describes it.

use std::sync::Arc;

use base64::Engine as _;
use kit::http::{Request, Response};
use kit::tls::ClientIdentity;
use rustls::ClientConfig;
use serde_json::Value;

use crate::attributes::{Objects, UserInfo, items, text};
use crate::streaming::endpoint;
use crate::tunnel::Kubelets;

const DEFAULT_PORT: u16 = 443;

/// Where it is and whom it must show itself as.
pub(crate) struct Remote {
    pub service: Arc<Value>,
    pub namespace: String,
    pub name: String,
    pub port: u16,
    /// Its condition says that it answers.
    pub available: bool,
    tls: Result<Arc<ClientConfig>, String>,
}

fn is_available(service: &Value) -> bool {
    let conditions = items(service, "/status/conditions");
    conditions.iter().any(|one| text(one, "/type") == "Available" && text(one, "/status") == "True")
}

impl Remote {
    pub fn new(service: Arc<Value>, identity: &ClientIdentity) -> Self {
        let place = &service["spec"]["service"];
        Self {
            namespace: text(place, "/namespace").to_owned(),
            name: text(place, "/name").to_owned(),
            port: place["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_PORT),
            available: is_available(&service),
            tls: tls(&service, identity),
            service,
        }
    }

    /// The same with what its status says now.
    pub fn with_status(&self, service: Arc<Value>) -> Self {
        Self {
            available: is_available(&service),
            service,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            port: self.port,
            tls: self.tls.clone(),
        }
    }

    /// Sends a request, whose URI is a path, on behalf of a user. Nobody's credentials may be in it.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub async fn send(
        &self,
        kubelets: &Kubelets,
        objects: &dyn Objects,
        user: &UserInfo,
        mut request: Request,
    ) -> Result<Response, String> {
        speak_for(user, request.headers_mut());
        let place = endpoint(objects, &self.namespace, &self.name, &self.port.to_string())
            .map_err(|error| error.message)?;
        let config = self.tls.clone()?;
        let server = format!("{}.{}.svc", self.name, self.namespace);
        if let Ok(host) = http::HeaderValue::from_str(&server) {
            request.headers_mut().insert(http::header::HOST, host);
        }
        let to = (place.host.as_str(), place.port);
        let sent = kubelets.send_tls(&place.node, to, (config, &server), request).await;
        sent.map_err(|error| kit::Chain(&error).to_string())
    }
}

fn tls(service: &Value, identity: &ClientIdentity) -> Result<Arc<ClientConfig>, String> {
    if service["spec"]["insecureSkipTLSVerify"].as_bool() == Some(true) {
        let config = kit::anybody::client(Some(identity));
        return config.map(Arc::new).map_err(|error| kit::Chain(&error).to_string());
    }
    let unreadable = || "unable to load root certificates: unable to parse bytes as PEM block".to_owned();
    let bundle = base64::engine::general_purpose::STANDARD.decode(text(service, "/spec/caBundle"));
    let bundle = String::from_utf8(bundle.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
    let mut config = kit::tls::client(&bundle, Some(identity)).map_err(|_| unreadable())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Says who asks, as extension API servers expect it from a front proxy.
fn speak_for(user: &UserInfo, headers: &mut http::HeaderMap) {
    let mine: Vec<http::HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in mine {
        headers.remove(name);
    }
    let mut say = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), http::HeaderValue::from_str(value))
        {
            headers.append(name, value);
        }
    };
    say("x-remote-user", &user.name);
    for group in &user.groups {
        say("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
        for value in values {
            say(&format!("x-remote-extra-{}", key.to_lowercase()), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_said_and_nobody_else() {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-remote-user", http::HeaderValue::from_static("root"));
        headers.insert("x-remote-group", http::HeaderValue::from_static("system:masters"));
        let mut user = UserInfo::new("jane", &["a", "b"]);
        user.extra.insert("example.com/Key".to_owned(), vec!["v".to_owned()]);
        speak_for(&user, &mut headers);
        let all = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-group"), ["a", "b"]);
        assert_eq!(all("x-remote-extra-example%2ecom%2fkey"), ["v"]);
    }
}
