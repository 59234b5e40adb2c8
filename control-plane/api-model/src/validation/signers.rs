//! Rules of certificate signing requests and of the names of signers.

use super::names;
use super::place::Place;
use super::report::Report;
use base64::Engine;
use serde_json::Value;
use std::collections::BTreeSet;

/// The domain of a signer's name and all of it, in bytes.
const DOMAIN_MAX: usize = 253;
const SIGNER_MAX: usize = 253 + 1 + 253 + 63 + 1;
/// Certificates live at least ten minutes.
const EXPIRATION_MIN_S: i64 = 600;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// `domain.example/signer`.
pub(super) fn signer_name(at: &Place, report: &mut Report) {
    let text = at.as_text();
    if text.is_empty() {
        report.required(at, "");
    }
    let parts: Vec<&str> = text.split('/').collect();
    let [domain, path] = parts[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return report.invalid_text(at, detail);
    };
    if domain.len() > DOMAIN_MAX {
        report.too_long(at, DOMAIN_MAX);
    }
    labels(at, domain, names::dns1123_label, report);
    if !domain.contains('.') {
        report.invalid_as(at, domain, "should be a domain with at least two segments separated by dots");
    }
    labels(at, path, names::dns1123_subdomain, report);
    if text.len() > SIGNER_MAX {
        report.too_long(at, SIGNER_MAX);
    }
}

/// The first label that is wrong is enough.
fn labels(at: &Place, text: &str, rule: fn(&str) -> Vec<String>, report: &mut Report) {
    for label in text.split('.') {
        let problems = rule(label);
        for problem in &problems {
            let detail = format!("validating label {}: {problem}", crate::cause::quoted(label));
            report.invalid_as(at, text, &detail);
        }
        if !problems.is_empty() {
            break;
        }
    }
}

/// The name of a bundle of trusted certificates: of a signer (`domain:signer:name`) or of nobody.
pub(super) fn trust_bundle_name(name: &str) -> Vec<String> {
    match name.rsplit_once(':') {
        Some((_, own)) => names::dns1123_subdomain(own),
        None => names::dns1123_subdomain(name),
    }
}

/// A request for a certificate.
pub(super) fn request(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let request = spec.field("request");
    if let Some(problem) = request_problem(request.as_text()) {
        let shown = if request.is_set() { request.value().clone() } else { "".into() };
        report.invalid_as(&request, shown, problem);
    }
    let usages = spec.field("usages");
    if usages.is_empty() {
        report.required(&usages, "");
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        report.optional_of(&usage, &USAGES);
        if !seen.insert(usage.as_text()) {
            report.duplicate(&usage);
        }
    }
    let signer = spec.field("signerName");
    if signer.as_text() == "kubernetes.io/legacy-unknown" {
        report.invalid(&signer, "the legacy signerName is not allowed via this API version");
    } else {
        signer_name(&signer, report);
    }
    let seconds = spec.field("expirationSeconds");
    if seconds.as_number().is_some_and(|seconds| seconds < EXPIRATION_MIN_S) {
        report.invalid(&seconds, "may not specify a duration less than 600 seconds (10 minutes)");
    }
    conditions(object, report);
}

/// A request is one PEM block.
fn request_problem(text: &str) -> Option<&'static str> {
    const WRONG: &str = "PEM block type must be CERTIFICATE REQUEST";
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    let pem = String::from_utf8_lossy(&bytes);
    let begins = pem.contains("-----BEGIN CERTIFICATE REQUEST-----")
        || pem.contains("-----BEGIN NEW CERTIFICATE REQUEST-----");
    (!begins).then_some(WRONG)
}

fn conditions(object: &Place, report: &mut Report) {
    let status = object.field("status");
    let at = status.field("conditions");
    let (mut seen, mut approved, mut denied) = (BTreeSet::new(), false, false);
    for condition in at.items() {
        let (kind, state) = (condition.field("type"), condition.field("status"));
        report.present(&kind);
        match (kind.as_text(), state.as_text()) {
            (_, "") => report.required(&state, ""),
            ("Approved" | "Denied" | "Failed", text) if text != "True" => {
                report.unsupported(&state, &["True"])
            }
            (_, "True" | "False" | "Unknown") => {}
            _ => report.unsupported(&state, &["True", "False", "Unknown"]),
        }
        approved |= kind.as_text() == "Approved";
        denied |= kind.as_text() == "Denied";
        if matches!(kind.as_text(), "Approved" | "Denied") && approved && denied {
            report.invalid(&kind, "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind.as_text()) {
            report.duplicate(&kind);
        }
    }
}

/// A changed request: decisions stay, and so does a certificate.
pub(super) fn status(new: &Place, old: &Place, report: &mut Report) {
    conditions(new, report);
    let (status, had) = (new.field("status"), old.field("status"));
    let at = status.field("conditions");
    let of = |status: &Place, kind: &str| -> Vec<Value> {
        let list = status.field("conditions");
        list.list()
            .iter()
            .filter(|one| one.get("type").and_then(Value::as_str) == Some(kind))
            .cloned()
            .collect()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        let (now, before) = (of(&status, kind), of(&had, kind));
        let shown = crate::cause::quoted(kind);
        if now.len() < before.len() {
            report.forbidden(&at, &format!("updates may not remove a condition of type {shown}"));
        } else if now.len() == before.len() && before.iter().any(|had| !now.contains(had)) {
            report.forbidden(&at, &format!("updates may not modify a condition of type {shown}"));
        }
    }
    let certificate = status.field("certificate");
    if !had.field("certificate").is_empty() && certificate.value() != had.field("certificate").value() {
        report.forbidden(&certificate, "updates may not set certificate content");
    }
}
