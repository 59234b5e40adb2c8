//! What may change in a service: a second address may come and go, the first stays.

use super::{is_headless, needs_health_check};
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::same::same;

/// A changed service.
pub(in crate::validation) fn changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    let named = at.text("type") == "ExternalName" || had.text("type") == "ExternalName";
    let (headless, was_headless) = (is_headless(&at), is_headless(&had));
    if !named && !(headless && was_headless) {
        addresses(&at, &had, report);
    }
    if !named && !headless && !was_headless {
        families(&at, &had, report);
    }
    let class = at.field("loadBalancerClass");
    let balanced = at.text("type") == "LoadBalancer" && had.text("type") == "LoadBalancer";
    if balanced && !same(class.value(), had.field("loadBalancerClass").value()) {
        report.invalid(&class, "may not change once set");
    }
    let health = at.field("healthCheckNodePort");
    let both = needs_health_check(&at) && needs_health_check(&had);
    if both && at.number("healthCheckNodePort") != had.number("healthCheckNodePort") {
        report.forbidden(&health, "field is immutable");
    }
}

fn addresses(at: &Place, had: &Place, report: &mut Report) {
    let (now, before) = (at.field("clusterIPs"), had.field("clusterIPs"));
    let refuse = |index: usize, detail: &str, report: &mut Report| {
        report.invalid_collection(&now.index(index).with(now.value()), detail);
    };
    let first_changed = !now.is_empty() && !before.is_empty() && now.list().first() != before.list().first();
    if now.len() == before.len() {
        for index in (0..now.len()).filter(|index| now.list().get(*index) != before.list().get(*index)) {
            refuse(index, "may not change once set", report);
        }
        return;
    }
    if now.len() < before.len() && now.is_empty() {
        refuse(0, "primary clusterIP can not be unset", report);
    }
    if first_changed {
        refuse(0, "may not change once set", report);
    }
    let policy = at.field("ipFamilyPolicy");
    if now.len() < before.len() && now.len() == 1 && policy.as_text() != "SingleStack" {
        report.invalid(&policy, "must be set to 'SingleStack' when releasing the secondary clusterIP");
    }
}

fn families(at: &Place, had: &Place, report: &mut Report) {
    let (now, before) = (at.field("ipFamilies"), had.field("ipFamilies"));
    let first = now.index(0);
    if now.len() == before.len() {
        if now.value() != before.value() && !now.is_empty() {
            report.invalid_collection(&first.with(now.value()), "may not change once set");
        }
        return;
    }
    let addresses = at.field("clusterIPs");
    if now.len() < before.len() && addresses.is_empty() {
        report.invalid_collection(&first.with(now.value()), "primary ipFamily can not be unset");
    }
    if !now.is_empty() && !before.is_empty() && now.list().first() != before.list().first() {
        report.invalid_collection(&first.with(addresses.value()), "may not change once set");
    }
    let policy = at.field("ipFamilyPolicy");
    if now.len() < before.len() && now.len() == 1 && policy.as_text() != "SingleStack" {
        report.invalid(&policy, "must be set to 'SingleStack' when releasing the secondary ipFamily");
    }
}
