//! The loops that keep pods as somebody wants them.

pub(crate) mod claim;
pub(crate) mod cronjob;
pub(crate) mod daemonset;
pub(crate) mod deployment;
pub(crate) mod hash;
pub(crate) mod job;
pub(crate) mod pods;
pub(crate) mod replicaset;
pub(crate) mod revisions;
pub(crate) mod statefulset;

/// How the API omits numbers: zero is not written.
pub(crate) fn nonzero(value: i32) -> Option<i32> {
    (value != 0).then_some(value)
}

/// A count as the API has it.
pub(crate) fn count(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
