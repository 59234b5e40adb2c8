//! Registry users from `imagePullSecrets`.

use std::sync::Arc;

use base64::Engine;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use crate::runtime::AuthConfig;

/// The users in the secrets whose registry is the image's, the most specific first.
pub fn matching(image: &str, secrets: &[Arc<Secret>]) -> Vec<AuthConfig> {
    let mut found: Vec<(usize, AuthConfig)> = Vec::new();
    for (registry, auth) in secrets.iter().flat_map(|secret| entries(secret)) {
        let place = place(&registry);
        if is_below(&full_name(image), &place) {
            found.push((place.len(), auth));
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, auth)| auth).collect()
}

/// `nginx` is `docker.io/library/nginx`.
fn full_name(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains('.') || host.contains(':') || host == "localhost" => {
            image.to_owned()
        }
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

fn place(registry: &str) -> String {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    if bare == "index.docker.io" { "docker.io".to_owned() } else { bare.to_owned() }
}

fn is_below(image: &str, place: &str) -> bool {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let Some((image_host, image_path)) = image.split_once('/') else { return false };
    let hosts_match = match host.strip_prefix("*.") {
        Some(suffix) => image_host.split_once('.').is_some_and(|(_, rest)| rest == suffix),
        None => host == image_host,
    };
    hosts_match && image_path.starts_with(path)
}

fn entries(secret: &Secret) -> Vec<(String, AuthConfig)> {
    let data = secret.data.as_ref();
    let bytes = |key: &str| data.and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let parsed: Option<Value> = match (bytes(".dockerconfigjson"), bytes(".dockercfg")) {
        (Some(new), _) => {
            serde_json::from_slice::<Value>(new).ok().and_then(|mut file| Some(file.get_mut("auths")?.take()))
        }
        (None, Some(old)) => serde_json::from_slice(old).ok(),
        (None, None) => None,
    };
    let Some(Value::Object(auths)) = parsed else { return Vec::new() };
    auths.into_iter().filter_map(|(registry, entry)| Some((registry, user(&entry)?))).collect()
}

fn user(entry: &Value) -> Option<AuthConfig> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    if username.is_empty() {
        let decoded = base64::engine::general_purpose::STANDARD.decode(text("auth").trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (name, secret) = decoded.split_once(':')?;
        (username, password) = (name.to_owned(), secret.to_owned());
    }
    Some(AuthConfig { username, password, identity_token: text("identitytoken"), ..AuthConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_secret_of_the_images_registry_is_used() {
        let file = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": base64::engine::general_purpose::STANDARD.encode("hub:one")},
            "shop.azurecr.io": {"username": "shop", "password": "two"},
            "shop.azurecr.io/team": {"username": "team", "password": "three"},
            "*.example.com": {"username": "any", "password": "four"},
        }});
        let mut secret = Secret::default();
        let bytes = k8s_openapi::ByteString(file.to_string().into_bytes());
        secret.data = Some([(".dockerconfigjson".to_owned(), bytes)].into());
        let secrets = [Arc::new(secret)];
        let users = |image: &str| {
            let list: Vec<_> = matching(image, &secrets).into_iter().map(|auth| auth.username).collect();
            list.join(" ")
        };
        assert_eq!(users("nginx"), "hub");
        assert_eq!(users("shop.azurecr.io/team/app:1"), "team shop");
        assert_eq!(users("shop.azurecr.io/other"), "shop");
        assert_eq!(users("a.example.com/x"), "any");
        assert_eq!(users("b.a.example.com/x"), "");
        assert_eq!(users("quay.io/x/y"), "");
    }
}
