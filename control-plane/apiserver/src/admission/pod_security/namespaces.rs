//! Namespaces whose labels change: are they readable, and what of the pods that are there?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::policy::{Level, LevelVersion, Policy};
use super::{PodSecurity, checks};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, text};

/// Pods looked at when a namespace's level rises, as upstream.
const PODS_MAX: usize = 3000;
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(1);

pub(super) fn check(
    plugin: &PodSecurity,
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
) -> Result<(), ApiError> {
    let Some(namespace) = request.object.as_deref().filter(|_| request.subresource.is_empty()) else {
        return Ok(());
    };
    let name = text(namespace, "/metadata/name");
    let (policy, causes) = Policy::of(crate::admission::labels(namespace));
    let invalid = || ApiError::invalid("", "Namespace", name, &causes);
    let (Operation::Update, Some(old)) = (request.operation, request.old) else {
        return if causes.is_empty() { Ok(()) } else { Err(invalid()) };
    };
    let (old_policy, old_causes) = Policy::of(crate::admission::labels(old));
    if !causes.is_empty() && causes != old_causes {
        return Err(invalid());
    }
    let (new, old) = (policy.enforce, old_policy.enforce);
    let relaxed = new.version == old.version && new.level <= old.level;
    if new == old || new.level == Level::Privileged || relaxed || plugin.exempts(request) {
        return Ok(());
    }
    for warning in existing(plugin, name, new, objects) {
        request.notes.warn(warning);
    }
    Ok(())
}

/// What would be refused of the pods that are there, one line for each kind of violation.
fn existing(plugin: &PodSecurity, namespace: &str, by: LevelVersion, objects: &dyn Objects) -> Vec<String> {
    let pods = objects.list("", "pods", Some(namespace));
    let deadline = Instant::now() + LIMIT;
    let mut checked = 0;
    // Why, with the first pod's name and how many there are.
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in pods.iter().take(PODS_MAX) {
        checked += 1;
        let verdict = if plugin.exempts_class(pod) { None } else { Some(checks::evaluate(by, pod)) };
        if let Some(verdict) = verdict.filter(|verdict| !verdict.allowed()) {
            let name = text(pod, "/metadata/name");
            let (first, count) = found.entry(verdict.reason()).or_insert_with(|| (name.to_owned(), 0));
            *count += 1;
            if name < first.as_str() {
                *first = name.to_owned();
            }
        }
        if Instant::now() > deadline {
            break;
        }
    }
    let mut warnings = Vec::new();
    if checked < pods.len() {
        let all = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {all} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{by}\""
        ));
    }
    let mut lines: Vec<String> = found
        .into_iter()
        .map(|(why, (name, count))| match count {
            1 => format!("{name}: {why}"),
            2 => format!("{name} (and 1 other pod): {why}"),
            more => format!("{name} (and {} other pods): {why}", more - 1),
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}
