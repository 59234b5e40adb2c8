//! Addresses of services and their families.

use super::is_headless;
use crate::validation::ip::{is_dual_stack, parse_ip};
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;
use std::collections::BTreeSet;

/// `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`, which say one thing together.
pub(super) fn cluster(spec: &Place, report: &mut Report) {
    if spec.text("type") == "ExternalName" {
        return;
    }
    let (first, all, families) = (spec.text("clusterIP"), spec.field("clusterIPs"), spec.field("ipFamilies"));
    if first.is_empty() {
        if !all.is_empty() {
            report.invalid(&all, "must be empty when `clusterIP` is not specified");
        }
    } else if all.is_empty() {
        report.required(&all, "");
    } else if all.index(0).as_text() != first {
        report.invalid(&all, "first value must match `clusterIP`");
    }
    let mut seen = BTreeSet::new();
    for family in families.items() {
        report.optional_of(&family, &["IPv4", "IPv6"]);
        if !seen.insert(family.as_text()) {
            report.duplicate(&family);
        }
    }
    report
        .optional_of(&spec.field("ipFamilyPolicy"), &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let mut readable = true;
    for (index, ip) in all.items().enumerate() {
        if index == 0 && ip.as_text() == "None" {
            if all.len() > 1 {
                readable = false;
                report.invalid(&all, "'None' must be the first and only value");
            }
            continue;
        }
        readable &= report.ip(&ip);
    }
    if all.len() > 2 {
        report.invalid(&all, "may only hold up to 2 values");
    }
    if !readable {
        return;
    }
    let ips = || all.list().iter().filter_map(Value::as_str).filter_map(parse_ip);
    if all.len() > 1 && !is_dual_stack(ips()) {
        report.invalid(&all, "may specify no more than one IP for each IP family");
    }
    if is_headless(spec) {
        return;
    }
    for (index, (ip, family)) in all.items().zip(families.items()).enumerate() {
        let is_v6 = parse_ip(ip.as_text()).is_some_and(|ip| ip.is_ipv6());
        let wanted = family.as_text();
        if (wanted == "IPv4" && is_v6) || (wanted == "IPv6" && !is_v6) {
            let detail = format!("expected an {wanted} value as indicated by `ipFamilies[{index}]`");
            report.invalid(&ip, &detail);
        }
    }
}
