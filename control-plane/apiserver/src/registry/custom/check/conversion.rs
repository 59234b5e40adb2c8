//! How versions are converted.

use api_model::validation::names::{dns1035_label, dns1123_label};
use api_model::{Cause, FieldPath};
use serde_json::{Value, json};

use crate::registry::object::{at, items, text};

/// Versions of the question that webhooks are asked.
const KNOWN: [&str; 2] = ["v1", "v1beta1"];

pub(super) fn check(definition: &Value, causes: &mut Vec<Cause>) {
    let conversion = at(definition, &["spec", "conversion"]);
    if conversion.is_null() {
        return;
    }
    let path = FieldPath::new("spec.conversion");
    let client = at(conversion, &["webhook", "clientConfig"]);
    let versions = at(conversion, &["webhook", "conversionReviewVersions"]);
    match text(conversion, &["strategy"]) {
        "" => causes.push(Cause::required(&path.child("strategy"), "")),
        "None" => {
            let detail = "should not be set when strategy is not set to Webhook";
            if !client.is_null() {
                causes.push(Cause::forbidden(&path.child("webhookClientConfig"), detail));
            }
            if !items(conversion, &["webhook", "conversionReviewVersions"]).is_empty() {
                causes.push(Cause::forbidden(&path.child("conversionReviewVersions"), detail));
            }
        }
        "Webhook" => {
            self::client(client, &path.child("webhookClientConfig"), causes);
            reviews(versions, &path.child("conversionReviewVersions"), causes);
        }
        other => {
            causes.push(Cause::unsupported(&path.child("strategy"), &json!(other), &["None", "Webhook"]))
        }
    }
}

fn client(client: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if client.is_null() {
        return causes.push(Cause::required(path, "required when strategy is set to Webhook"));
    }
    let (url, service) = (at(client, &["url"]), at(client, &["service"]));
    match (url.as_str(), service.is_object()) {
        (Some(url), false) => self::url(url, &path.child("url"), causes),
        (None, true) => self::service(service, &path.child("service"), causes),
        _ => causes.push(Cause::required(path, "exactly one of url or service is required")),
    }
}

fn url(given: &str, path: &FieldPath, causes: &mut Vec<Cause>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut wrong = |detail: String| causes.push(Cause::invalid_str(path, given, &detail));
    let Ok(uri) = given.parse::<http::Uri>() else {
        return wrong(format!("url must be a valid URL{FORM}"));
    };
    if uri.scheme_str() != Some("https") {
        wrong(format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if uri.host().is_none_or(str::is_empty) {
        wrong(format!("host must be specified{FORM}"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        wrong("user information is not permitted in the URL".to_owned());
    }
    if given.contains('#') {
        wrong("fragments are not permitted in the URL".to_owned());
    }
    if uri.query().is_some() {
        wrong("query parameters are not permitted in the URL".to_owned());
    }
}

fn service(service: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    for key in ["name", "namespace"] {
        if text(service, &[key]).is_empty() {
            let detail = format!("service {key} is required");
            causes.push(Cause::required(&path.child(key), &detail));
        }
    }
    let port = at(service, &["port"]);
    if !port.is_null() && !port.as_i64().is_some_and(|port| (1..=65535).contains(&port)) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        causes.push(Cause::invalid(&path.child("port"), port, detail));
    }
    let Some(given) = at(service, &["path"]).as_str() else { return };
    let path = path.child("path");
    if given.is_empty() || !given.starts_with('/') {
        return causes.push(Cause::invalid_str(&path, given, "must start with a '/'"));
    }
    let steps = given.trim_start_matches('/').trim_end_matches('/').split('/');
    for (index, step) in steps.enumerate() {
        if step.is_empty() && given != "/" {
            let detail = format!("segment[{index}] may not be empty");
            causes.push(Cause::invalid_str(&path, given, &detail));
        } else if !step.is_empty() {
            for failure in dns1123_subdomain(step) {
                causes.push(Cause::invalid_str(&path, given, &format!("segment[{index}]: {failure}")));
            }
        }
    }
}

fn dns1123_subdomain(step: &str) -> Vec<String> {
    let wrong = api_model::validation::names::dns1123_subdomain(step);
    if wrong.is_empty() || dns1123_label(step).is_empty() { Vec::new() } else { wrong }
}

fn reviews(versions: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let list = versions.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return causes.push(Cause::required(path, ""));
    }
    for (index, version) in list.iter().enumerate() {
        let given = version.as_str().unwrap_or_default();
        if list[..index].contains(version) {
            causes.push(Cause::invalid_str(&path.index(index), given, "duplicate version"));
            continue;
        }
        for wrong in dns1035_label(given) {
            causes.push(Cause::invalid_str(&path.index(index), given, &wrong));
        }
    }
    if !list.iter().any(|version| version.as_str().is_some_and(|version| KNOWN.contains(&version))) {
        let detail = format!("must include at least one of {}", KNOWN.join(", "));
        causes.push(Cause::invalid(path, versions, &detail));
    }
}
