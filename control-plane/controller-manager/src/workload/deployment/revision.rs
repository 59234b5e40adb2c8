//! Revisions: which set is the newest, what number it has, what its annotations say.

use std::collections::BTreeMap;
use std::sync::Arc;

use informers::objects::{annotation, controlled_by};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::arith::{desired, max_surge};
use crate::workload::hash;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const HASH: &str = "pod-template-hash";
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// A set's revision, 0 if it has none.
pub(super) fn revision(meta: &ObjectMeta) -> i64 {
    annotation(meta, REVISION).and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn template(deployment: &Deployment) -> PodTemplateSpec {
    deployment.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default()
}

fn bare(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let mut meta = template.metadata.take().unwrap_or_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH);
    }
    meta.labels = meta.labels.filter(|l| !l.is_empty());
    meta.annotations = meta.annotations.filter(|a| !a.is_empty());
    meta.creation_timestamp = None;
    template.metadata = Some(meta);
    template
}

/// Whether a set is made of the deployment's present template.
pub(super) fn same_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let of_set = set.spec.as_ref().and_then(|s| s.template.clone()).unwrap_or_default();
    bare(template(deployment)) == bare(of_set)
}

/// The oldest set made of the present template, and the others.
pub(super) fn split(
    deployment: &Deployment,
    mut sets: Vec<Arc<ReplicaSet>>,
) -> (Option<Arc<ReplicaSet>>, Vec<Arc<ReplicaSet>>) {
    sets.sort_by_key(|s| (s.metadata.creation_timestamp.as_ref().map(|t| t.0), s.metadata.name.clone()));
    let position = sets.iter().position(|s| same_template(deployment, s));
    let newest = position.map(|at| sets.remove(at));
    (newest, sets)
}

/// The set for the deployment's present template.
pub(super) fn make(deployment: &Deployment, revision: i64, replicas: i32) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let mut template = spec.template;
    let collisions = deployment.status.as_ref().and_then(|s| s.collision_count);
    let hash = hash::of(&bare(template.clone()), collisions);
    let mut meta = template.metadata.take().unwrap_or_default();
    meta.labels.get_or_insert_default().insert(HASH.into(), hash.clone());
    let labels = meta.labels.clone();
    template.metadata = Some(meta);
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH.into(), hash.clone());
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{hash}")),
            namespace: deployment.metadata.namespace.clone(),
            labels,
            owner_references: Some(vec![controlled_by(deployment)]),
            ..Default::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    set.metadata.annotations = Some(annotations(deployment, &set, revision));
    set
}

/// What a set's annotations must be when it is the newest: the deployment's, its revision, the sizes.
pub(super) fn annotations(
    deployment: &Deployment,
    set: &ReplicaSet,
    number: i64,
) -> BTreeMap<String, String> {
    let mut all = set.metadata.annotations.clone().unwrap_or_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            all.insert(key.clone(), value.clone());
        }
    }
    let old = revision(&set.metadata);
    if old < number {
        if old > 0 {
            let history = all.entry(HISTORY.into()).or_default();
            *history = if history.is_empty() { old.to_string() } else { format!("{history},{old}") };
        }
        all.insert(REVISION.into(), number.to_string());
    }
    all.extend(size_annotations(deployment));
    all
}

/// The annotations that remember the sizes a set was told.
pub(super) fn size_annotations(deployment: &Deployment) -> [(String, String); 2] {
    let desired = desired(deployment);
    [(DESIRED.into(), desired.to_string()), (MAX.into(), (desired + max_surge(deployment)).to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u",
                         "annotations": {"kubernetes.io/change-cause": "why", REVISION: "1"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                     "template": {"metadata": {"labels": {"app": "web"}},
                                  "spec": {"containers": [{"name": "web", "image": image}]}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_set_is_found_again_by_its_template() {
        let one = deployment("a");
        let set = make(&one, 1, 3);
        assert!(set.metadata.name.as_deref().unwrap().starts_with("web-"));
        assert!(same_template(&one, &set));
        assert!(!same_template(&deployment("b"), &set));
        assert_ne!(make(&deployment("b"), 2, 0).metadata.name, set.metadata.name);
        let selector = set.spec.as_ref().unwrap().selector.match_labels.clone().unwrap();
        assert_eq!(selector.get(HASH), set.metadata.labels.as_ref().unwrap().get(HASH));
        let annotations = set.metadata.annotations.unwrap();
        assert_eq!(annotations["kubernetes.io/change-cause"], "why");
        assert_eq!((annotations[DESIRED].as_str(), annotations[MAX].as_str()), ("3", "4"));
    }

    #[test]
    fn going_back_keeps_the_history() {
        let mut set = make(&deployment("a"), 1, 0);
        set.metadata.annotations = Some(annotations(&deployment("a"), &set, 3));
        let all = annotations(&deployment("a"), &set, 5);
        assert_eq!((all[REVISION].as_str(), all[HISTORY].as_str()), ("5", "1,3"));
    }
}
