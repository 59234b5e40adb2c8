//! One of several works: a leader, elected through a Lease, as upstream's components do it.
//!
//! A candidate takes the Lease when nobody holds it, or when it has not seen it renewed for as long as it is valid; times of other hosts
//! are shown and never compared. Who cannot renew his within [`Timing::renew_limit`], which is shorter, stops working first. So at most
//! one works, as long as clocks run at the same speed and work stops when it is told to.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kit::Tasks;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

/// Durations of an election; the defaults are upstream's for its components.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long a Lease is valid without being renewed.
    pub valid: Duration,
    /// How long the leader tries to renew it before he stops.
    pub renew_limit: Duration,
    /// Between two tries.
    pub retry: Duration,
    /// How long work may take to stop.
    pub drain_limit: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            valid: Duration::from_secs(15),
            renew_limit: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            drain_limit: Duration::from_secs(5),
        }
    }
}

/// One candidate for one Lease.
#[derive(Clone)]
pub struct Election {
    /// Who may read and write the Lease.
    pub client: Client,
    /// The Lease's namespace; `kube-system` for the components of a control plane.
    pub namespace: String,
    /// Its name, as `kube-scheduler`.
    pub name: String,
    /// The candidate's name; no two may have the same.
    pub identity: String,
    /// The durations.
    pub timing: Timing,
    /// The time that the Lease shows.
    pub clock: Arc<dyn kit::Clock>,
}

/// What a candidate last saw of the Lease, and when it saw it change.
struct Observed {
    lease: Lease,
    at: Instant,
}

/// Whose the Lease is after a try.
#[derive(PartialEq)]
enum Held {
    Mine,
    Theirs,
    /// Somebody wrote it in between: look again.
    Raced,
}

/// Takes part until `tasks` are told to stop: `work` is started in a group of its own each time the election is won, and the group is
/// stopped when the Lease is lost, or given back at the end.
pub fn lead<F>(election: Election, tasks: &Tasks, work: F)
where
    F: Fn(&Tasks) + Send + Sync + 'static,
{
    let group = tasks.clone();
    tasks.spawn_careful("leader election", async move {
        let mut observed = None;
        loop {
            tokio::select! {
                () = group.stopped() => return,
                () = election.win(&mut observed) => {}
            }
            tracing::info!(lease = election.name, identity = election.identity, "became leader");
            let working = group.child();
            work(&working);
            tokio::select! {
                () = group.stopped() => {}
                () = election.keep(&mut observed) => {
                    tracing::warn!(lease = election.name, identity = election.identity, "is not leader any more");
                }
            }
            if !working.drain(election.timing.drain_limit).await {
                tracing::warn!(lease = election.name, "a former leader's work did not end in time");
            }
            if group.is_stopped() {
                election.release(&mut observed).await;
                return;
            }
        }
    });
}

impl Election {
    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Returns when this candidate holds the Lease.
    async fn win(&self, observed: &mut Option<Observed>) {
        loop {
            match self.acquire(observed).await {
                Ok(Held::Mine) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(lease = self.name, error = %kit::Chain(&error), "failed to get the lease")
                }
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Returns when this candidate could not renew the Lease for too long, or another has it.
    async fn keep(&self, observed: &mut Option<Observed>) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let until = renewed + self.timing.renew_limit;
            match tokio::time::timeout_at(until, self.acquire(observed)).await {
                Ok(Ok(Held::Mine)) => renewed = Instant::now(),
                Ok(Ok(Held::Raced)) => {}
                Ok(Ok(Held::Theirs)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.name, error = %kit::Chain(&error), "failed to renew the lease");
                }
            }
            if renewed.elapsed() >= self.timing.renew_limit {
                return;
            }
        }
    }

    /// Takes the Lease or renews it.
    async fn acquire(&self, observed: &mut Option<Observed>) -> Result<Held, kube::Error> {
        let Some(current) = self.api().get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.held(&LeaseSpec::default())),
            };
            return self.store(self.api().create(&PostParams::default(), &lease).await, observed);
        };
        let spec = current.spec.clone().unwrap_or_default();
        let seen_unchanged = observed
            .as_ref()
            .filter(|seen| seen.lease.metadata.resource_version == current.metadata.resource_version);
        let age = match seen_unchanged {
            Some(seen) => seen.at.elapsed(),
            None => {
                *observed = Some(Observed { lease: current.clone(), at: Instant::now() });
                Duration::ZERO
            }
        };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let valid = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0));
        if !holder.is_empty() && holder != self.identity && age < valid {
            return Ok(Held::Theirs);
        }
        let lease = Lease { spec: Some(self.held(&spec)), ..current };
        self.store(self.api().replace(&self.name, &PostParams::default(), &lease).await, observed)
    }

    /// Who writes second looks again.
    fn store(
        &self,
        written: Result<Lease, kube::Error>,
        observed: &mut Option<Observed>,
    ) -> Result<Held, kube::Error> {
        match written {
            Ok(lease) => {
                *observed = Some(Observed { lease, at: Instant::now() });
                Ok(Held::Mine)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Held::Raced),
            Err(error) => Err(error),
        }
    }

    /// The Lease in this candidate's hand.
    fn held(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(self.clock.now());
        let mine = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or(0);
        let had_holder = before.holder_identity.is_some();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(
                i32::try_from(self.timing.valid.as_secs().max(1)).unwrap_or(i32::MAX),
            ),
            acquire_time: if mine { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if mine || !had_holder { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }

    /// Lets go, so that nobody waits until it is not valid any more.
    async fn release(&self, observed: &mut Option<Observed>) {
        let Some(Observed { lease, .. }) = observed.take() else { return };
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        let now = MicroTime(self.clock.now());
        let free = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..spec
        };
        let lease = Lease { spec: Some(free), ..lease };
        let parameters = PostParams::default();
        let api = self.api();
        let released = api.replace(&self.name, &parameters, &lease);
        match tokio::time::timeout(self.timing.retry, released).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(lease = self.name, error = %kit::Chain(&error), "the lease was not released")
            }
            Err(_) => tracing::debug!(lease = self.name, "the lease was not released in time"),
        }
    }
}
