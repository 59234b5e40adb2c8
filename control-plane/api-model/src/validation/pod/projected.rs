//! Rules of volumes made of configuration, secrets, tokens and the pod's own fields.

use super::env::{field_ref, resource_ref};
use super::volume_sources::local_path;
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::selectors;
use crate::validation::signers;
use std::collections::BTreeSet;

/// Fields of a pod that a file may hold.
const FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Tokens live between ten minutes and 2^32 seconds.
const TOKEN_MIN_S: i64 = 600;
const TOKEN_MAX_S: i64 = 1 << 32;
/// Certificates live between an hour and 91 days, in seconds.
const CERTIFICATE_MIN_S: i64 = 3600;
const CERTIFICATE_MAX_S: i64 = 91 * 24 * 3600;

/// The mode of a file.
pub(super) fn mode(at: &Place, report: &mut Report) {
    if at.as_number().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        report.invalid(at, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// A key and the file it becomes.
pub(super) fn key_to_path(at: &Place, report: &mut Report) {
    report.present(&at.field("key"));
    let path = at.field("path");
    report.present(&path);
    local_path(&path, path.as_text(), report);
    mode(&at.field("mode"), report);
}

/// A volume of the pod's own fields.
pub(super) fn downward_volume(at: &Place, report: &mut Report) {
    mode(&at.field("defaultMode"), report);
    for file in at.field("items").items() {
        downward_file(&file, at, report);
    }
}

/// Upstream reports a file's faults for the volume.
fn downward_file<'o>(file: &Place<'o, '_>, at: &Place<'o, '_>, report: &mut Report) {
    let path = at.named_field(file, "path");
    report.present(&path);
    local_path(&path, path.as_text(), report);
    let (field, resource) = (at.named_field(file, "fieldRef"), at.named_field(file, "resourceFieldRef"));
    if field.is_set() {
        field_ref(&field, &FIELDS, report);
        if resource.is_set() {
            report.invalid_as(
                at,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            );
        }
    } else if resource.is_set() {
        resource_ref(&resource, true, report);
    } else {
        report.required(at, "one of fieldRef and resourceFieldRef is required");
    }
    mode(&at.named_field(file, "mode"), report);
}

/// Several sources in one directory.
pub(super) fn volume(at: &Place, report: &mut Report) {
    mode(&at.field("defaultMode"), report);
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for source in at.field("sources").items() {
        one(&source, at, &mut paths, report);
        if source.map().map_or(0, |map| map.values().filter(|v| !v.is_null()).count()) > 1 {
            report.forbidden(&source, "may not specify more than 1 volume type per source");
        }
    }
}

fn one<'o>(source: &Place<'o, '_>, at: &Place<'o, '_>, paths: &mut BTreeSet<&'o str>, report: &mut Report) {
    const CONFLICT: &str = "conflicting duplicate paths";
    for kind in ["secret", "configMap"] {
        let keys = source.field(kind);
        if !keys.is_set() {
            continue;
        }
        report.present(&keys.field("name"));
        for item in keys.field("items").items() {
            key_to_path(&item, report);
            let path = item.text("path");
            if !path.is_empty() && !paths.insert(path) {
                report.invalid_as(at, keys.text("name"), CONFLICT);
            }
        }
    }
    let downward = source.field("downwardAPI");
    for file in downward.field("items").items() {
        downward_file(&file, &downward, report);
        let path = file.text("path");
        if !path.is_empty() && !paths.insert(path) {
            report.invalid_as(at, path, CONFLICT);
        }
    }
    if source.has("serviceAccountToken") {
        token(&source.field("serviceAccountToken"), at, report);
    }
    let bundle = source.field("clusterTrustBundle");
    if bundle.is_set() {
        trust_bundle(&bundle, report);
        if !paths.insert(bundle.text("path")) {
            report.invalid_as(at, bundle.text("path"), CONFLICT);
        }
    }
    let certificate = source.field("podCertificate");
    if certificate.is_set() {
        pod_certificate(&certificate, report);
        for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
            let path = certificate.text(field);
            if !path.is_empty() && !paths.insert(path) {
                report.invalid_as(at, path, CONFLICT);
            }
        }
    }
}

fn token<'o>(at: &Place<'o, '_>, volume: &Place<'o, '_>, report: &mut Report) {
    let seconds = at.field("expirationSeconds");
    if at.number("expirationSeconds") < TOKEN_MIN_S {
        report.invalid_number(&seconds, "may not specify a duration less than 10 minutes");
    }
    if at.number("expirationSeconds") > TOKEN_MAX_S {
        report.invalid_number(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
    let path = volume.named_field(at, "path");
    report.present(&path);
    local_path(&path, path.as_text(), report);
}

fn trust_bundle(at: &Place, report: &mut Report) {
    let (name, signer, selector) = (at.field("name"), at.field("signerName"), at.field("labelSelector"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => report.invalid(at, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                report.required(&name, "must be a valid object name");
            }
            for problem in signers::trust_bundle_name(name.as_text()) {
                report.invalid(&name, &format!("not a valid clustertrustbundlename: {problem}"));
            }
            if selector.is_set() {
                report.invalid(&selector, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                report.required(&signer, "must be a valid signer name");
            }
            signers::signer_name(&signer, report);
            selectors::label_selector(&selector, report);
        }
        (false, false) => report.required(at, "either name or signerName must be specified"),
    }
    let path = at.field("path");
    report.present(&path);
    local_path(&path, path.as_text(), report);
}

fn pod_certificate(at: &Place, report: &mut Report) {
    signers::signer_name(&at.field("signerName"), report);
    let kinds = ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
    if !kinds.contains(&at.text("keyType")) {
        report.unsupported(&at.field("keyType"), &kinds);
    }
    report.in_range(&at.field("maxExpirationSeconds"), CERTIFICATE_MIN_S, CERTIFICATE_MAX_S);
    let mut any = false;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = at.field(field);
        if !path.is_empty() {
            any = true;
            local_path(&path, path.as_text(), report);
        }
    }
    if !any {
        report
            .required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
    for (key, value) in at.field("userAnnotations").entries() {
        report.problems_of(&value, key, names::qualified_name(key));
    }
}
