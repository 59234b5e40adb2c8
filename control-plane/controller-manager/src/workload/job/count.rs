//! Counting a job's pods: running, ended well, ended badly, each ended one once. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use informers::objects::{annotation, has_finalizer, is_active, is_deleting, is_terminal, uid};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::{FINALIZER, ended_at, outcome};

/// The annotation and label with a pod's completion index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// What a job's pods add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub active: i32,
    /// Pods on their way out that have not ended yet.
    pub leaving: i32,
    /// All that ended well, those not yet in the status' count included.
    pub succeeded: i32,
    pub failed: i32,
    pub last_failure: Option<Timestamp>,
    pub failures_in_a_row: i32,
    indexed: bool,
    done_indexes: BTreeSet<i32>,
    used_indexes: BTreeSet<i32>,
    uncounted: UncountedTerminatedPods,
    news: bool,
}

fn index(pod: &Pod) -> Option<i32> {
    annotation(&pod.metadata, INDEX)?.parse().ok()
}

impl Tally {
    pub fn of(spec: &JobSpec, status: &JobStatus, pods: &[Arc<Pod>]) -> Self {
        let mut tally = Self {
            indexed: spec.completion_mode.as_deref() == Some("Indexed"),
            done_indexes: parse(status.completed_indexes.as_deref().unwrap_or_default()),
            uncounted: status.uncounted_terminated_pods.clone().unwrap_or_default(),
            ..Self::default()
        };
        let (mut good, mut bad) = (
            tally.uncounted.succeeded.clone().unwrap_or_default(),
            tally.uncounted.failed.clone().unwrap_or_default(),
        );
        let mut ends: Vec<(Option<Timestamp>, bool)> = Vec::new();
        for pod in pods {
            if is_active(pod) {
                tally.active += 1;
                tally.used_indexes.extend(index(pod));
                continue;
            }
            if is_deleting(&pod.metadata) && !is_terminal(pod) {
                tally.leaving += 1;
                tally.used_indexes.extend(index(pod));
                continue;
            }
            let Some(well) = outcome(pod) else { continue };
            ends.push((ended_at(pod), well));
            let id = uid(&pod.metadata).to_owned();
            let known = good.contains(&id) || bad.contains(&id);
            if has_finalizer(&pod.metadata, FINALIZER) && !known {
                if well {
                    good.push(id);
                    tally.done_indexes.extend(index(pod));
                } else {
                    bad.push(id);
                }
                tally.news = true;
            }
        }
        ends.sort();
        tally.failures_in_a_row =
            super::super::count(ends.iter().rev().take_while(|(_, well)| !well).count());
        tally.last_failure = ends.last().filter(|(_, well)| !well).and_then(|(at, _)| *at);
        tally.succeeded = status.succeeded.unwrap_or(0) + super::super::count(good.len());
        tally.failed = status.failed.unwrap_or(0) + super::super::count(bad.len());
        tally.uncounted = UncountedTerminatedPods { succeeded: Some(good), failed: Some(bad) };
        tally
    }

    /// Completions so far.
    pub fn done(&self) -> i32 {
        if self.indexed { super::super::count(self.done_indexes.len()) } else { self.succeeded }
    }

    /// Whether pods have ended that the status does not know of.
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// Names the ended pods in the status, before they are released.
    pub fn announce(&self, status: &mut JobStatus) {
        status.uncounted_terminated_pods = Some(self.uncounted.clone());
    }

    /// The pods that are named in the status and may be released.
    pub fn announced(&self, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let named = |pod: &Pod| {
            let id = uid(&pod.metadata);
            self.uncounted.succeeded.iter().chain(&self.uncounted.failed).flatten().any(|u| u == id)
        };
        pods.iter().filter(|p| named(p)).cloned().collect()
    }

    /// Moves the named pods into the counts, after they are released.
    pub fn settle(&self, status: &mut JobStatus) {
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods::default());
        status.succeeded = super::super::nonzero(if self.indexed { self.done() } else { self.succeeded });
        status.failed = super::super::nonzero(self.failed);
        if self.indexed {
            status.completed_indexes = Some(format(&self.done_indexes)).filter(|t| !t.is_empty());
        }
    }

    /// Indexes that nobody has done or is doing.
    pub fn free_indexes(&self, spec: &JobSpec, most: usize) -> Vec<i32> {
        let all = 0..spec.completions.unwrap_or(0);
        all.filter(|i| !self.done_indexes.contains(i) && !self.used_indexes.contains(i)).take(most).collect()
    }
}

/// Reads `0,2-4`.
fn parse(text: &str) -> BTreeSet<i32> {
    let ranges = text.split(',').filter(|t| !t.is_empty());
    ranges
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse::<i32>().ok()?..=last.parse::<i32>().ok()?)
        })
        .flatten()
        .collect()
}

/// Writes `0,2-4`.
fn format(indexes: &BTreeSet<i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    let text = |(first, last): (i32, i32)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, phase: &str, tracked: bool) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": name, "uid": name, "finalizers": if tracked { vec![FINALIZER] } else { vec![] }},
                "status": {"phase": phase},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn an_ended_pod_is_counted_once() {
        let spec = JobSpec { completions: Some(3), ..Default::default() };
        let pods = [pod("a", "Succeeded", true), pod("b", "Running", true), pod("c", "Failed", true)];
        let mut status = JobStatus::default();
        let tally = Tally::of(&spec, &status, &pods);
        assert_eq!((tally.active, tally.succeeded, tally.failed, tally.has_news()), (1, 1, 1, true));
        tally.announce(&mut status);
        let again = Tally::of(&spec, &status, &pods);
        assert_eq!(
            (again.succeeded, again.failed, again.has_news()),
            (1, 1, false),
            "a crash between changes nothing"
        );
        again.settle(&mut status);
        let pods = [pod("a", "Succeeded", false), pod("b", "Running", true), pod("c", "Failed", false)];
        let after = Tally::of(&spec, &status, &pods);
        assert_eq!((after.succeeded, after.failed, after.has_news()), (1, 1, false));
    }

    #[test]
    fn indexes_are_written_as_ranges() {
        let indexes = parse("0,2-4,7");
        assert_eq!(indexes.iter().copied().collect::<Vec<_>>(), [0, 2, 3, 4, 7]);
        assert_eq!(format(&indexes), "0,2-4,7");
    }
}
