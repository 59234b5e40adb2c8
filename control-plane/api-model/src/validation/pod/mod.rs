//! Rules of pods and of the templates that others make pods of.

mod affinity;
mod annotations;
mod container;
mod dns;
mod env;
mod mounts;
mod probe;
mod projected;
mod resize;
mod security;
mod spec;
mod spread;
pub mod status;
mod update;
pub mod volume_sources;
mod volumes;
mod windows;

use super::metadata;
use super::place::Place;
use super::report::Report;
use super::selectors;

pub(super) use probe::port;
pub(super) use resize::{ephemeral_containers, resize};
pub(super) use spec::{preemption_policy, toleration_list};
pub(super) use update::update;

/// What a pod specification belongs to.
#[derive(Clone, Copy)]
struct Owner<'a> {
    /// It is a pod, and no template.
    is_pod: bool,
    /// The pod's name; empty when it is not known yet.
    name: &'a str,
}

/// A new pod.
pub(super) fn pod(object: &Place, report: &mut Report) {
    metadata_and_spec(object, report);
    let spec = object.field("spec");
    if !spec.field("ephemeralContainers").is_empty() {
        report.forbidden(&spec.field("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.text("nodeName").is_empty() && !spec.field("schedulingGates").is_empty() {
        report
            .forbidden(&spec.field("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    annotations::agree_with_fields(&object.field("metadata").field("annotations"), &spec, report);
}

/// What holds for a pod at all times.
fn metadata_and_spec(object: &Place, report: &mut Report) {
    let (metadata, spec) = (object.field("metadata"), object.field("spec"));
    annotations::pod(&metadata.field("annotations"), &spec, report);
    spec::pod_spec(&spec, Owner { is_pod: true, name: metadata.text("name") }, report);
    if spec.text("serviceAccountName").is_empty() {
        for volume in spec.field("volumes").items() {
            for source in volume.field("projected").field("sources").items() {
                let token = source.field("serviceAccountToken");
                if token.is_set() {
                    report.forbidden(&token, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.field(list).items() {
            container::untrimmed_image(&container, report);
        }
    }
}

/// A controller's pod template.
pub(super) fn template(at: &Place, report: &mut Report) {
    let metadata = at.field("metadata");
    // Upstream's paths leave `metadata` out here.
    selectors::labels(&at.named_field(&metadata, "labels"), report);
    let notes = at.named_field(&metadata, "annotations");
    metadata::annotations(&notes, report);
    let spec = at.field("spec");
    annotations::pod(&notes, &spec, report);
    spec::pod_spec(&spec, Owner { is_pod: false, name: "" }, report);
    annotations::agree_with_fields(&notes, &spec, report);
    if !spec.field("ephemeralContainers").is_empty() {
        report.forbidden(
            &spec.field("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

/// A stateful set's template: its volumes come from claims that only its pods have, so its specification is judged with them.
pub(super) fn template_metadata(at: &Place, report: &mut Report) {
    let metadata = at.field("metadata");
    selectors::labels(&at.named_field(&metadata, "labels"), report);
    let notes = at.named_field(&metadata, "annotations");
    metadata::annotations(&notes, report);
    annotations::pod(&notes, &at.field("spec"), report);
}

/// All containers of a pod, with the names of the lists they stand in.
fn each_container<'o>(spec: &Place<'o, '_>, mut visit: impl FnMut(&Place<'o, '_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let list = spec.field(list);
        for container in list.items() {
            visit(&container);
        }
    }
}
