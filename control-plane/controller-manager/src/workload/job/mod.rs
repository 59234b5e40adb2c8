//! Jobs: pods that must end well, as many times as wanted.
//!
//! Ended pods are counted exactly once: each carries a finalizer until the status has counted it.
//! Pod failure policies and success policies are not built: such jobs behave as if they had none.

mod count;

use std::sync::Arc;

use futures::future::join_all;
use informers::objects::{self, has_finalizer, is_deleting, phase, reference, since, uid, until};
use informers::{Error, Informer, Key, Next, Queue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};

use super::claim::Claim;
use super::pods::{Pods, of_template};
use crate::context::Context;
use count::{INDEX, Tally};

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const BACKOFF_FIRST: u64 = 10;
const BACKOFF_MAX: u64 = 600;

/// Whether a job ended well, why, and in words.
type Verdict = (bool, &'static str, String);

struct Controller {
    client: kube::Client,
    jobs: Informer<Job>,
    pods: Pods,
    clock: Arc<dyn kit::Clock>,
}

fn new(context: &Context, name: &'static str) -> Arc<Controller> {
    Arc::new(Controller {
        client: context.client(name),
        jobs: context.informer(),
        pods: Pods {
            client: context.client(name),
            cache: context.informer(),
            events: context.recorder("job-controller"),
        },
        clock: context.clock(),
    })
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = new(context, "job-controller");
    let queue = Queue::new();
    controller.jobs.enqueue_to(&queue);
    controller.pods.cache.enqueue_owner_to("Job", &queue);
    let c = controller.clone();
    let ready = async move {
        c.jobs.synced().await;
        c.pods.cache.synced().await;
    };
    context.loops.run("job-controller", 5, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// Starts the loop that removes finished jobs after their time to live.
pub(crate) fn start_ttl(context: &Context) {
    let controller = new(context, "ttl-after-finished-controller");
    let queue = Queue::new();
    controller.jobs.enqueue_to(&queue);
    let c = controller.clone();
    context.loops.run(
        "ttl-after-finished-controller",
        2,
        queue,
        async move { c.jobs.synced().await },
        move |key| {
            let controller = controller.clone();
            async move { controller.expire(key).await }
        },
    );
}

fn condition<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == "True")
}

fn is_finished(status: &JobStatus) -> bool {
    condition(status, "Complete").is_some() || condition(status, "Failed").is_some()
}

fn set(status: &mut JobStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let all = status.conditions.get_or_insert_default();
    if all.iter().any(|c| c.type_ == kind && c.status == value && c.reason.as_deref() == Some(reason)) {
        return;
    }
    all.retain(|c| c.type_ != kind);
    all.push(JobCondition {
        type_: kind.into(),
        status: value.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
}

/// How long after so many failures in a row the next pod is made.
fn backoff_seconds(failures: i32) -> u64 {
    match u32::try_from(failures) {
        Ok(0) | Err(_) => 0,
        Ok(n) => BACKOFF_FIRST.saturating_mul(1 << (n - 1).min(10)).min(BACKOFF_MAX),
    }
}

impl Controller {
    fn api(&self, key: &Key) -> Api<Job> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn pods_of(&self, job: &Job) -> Vec<Arc<Pod>> {
        self.pods.cache.controlled_by(uid(&job.metadata))
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(job) = self.jobs.get(&key) else { return Ok(None) };
        let Some(spec) = job.spec.clone() else { return Ok(None) };
        let mut status = job.status.clone().unwrap_or_default();
        if is_deleting(&job.metadata) || is_finished(&status) {
            self.release(&self.pods_of(&job)).await?;
            return Ok(None);
        }
        if let Some(selector) = &spec.selector {
            let claim =
                Claim { client: &self.client, owner: job.as_ref(), selector, objects: &self.pods.cache };
            claim.run(|pod| has_finalizer(&pod.metadata, FINALIZER)).await?;
        }
        let now = self.clock.now();
        let suspended = spec.suspend.unwrap_or(false);
        if status.start_time.is_none() && !suspended {
            status.start_time = Some(Time(now));
        }
        // First the count of what has ended, then the finalizers, so that no pod is counted twice or never.
        let pods = self.pods_of(&job);
        let tally = Tally::of(&spec, &status, &pods);
        if tally.has_news() {
            tally.announce(&mut status);
            self.write(&key, &job, &status).await?;
        }
        let announced = tally.announced(&pods);
        self.release(&announced).await?;
        tally.settle(&mut status);
        // Nobody will ever end a pod that was deleted before a kubelet knew of it.
        let lost = |p: &&Arc<Pod>| is_deleting(&p.metadata) && objects::node_name(p).is_empty();
        self.release(&pods.iter().filter(lost).cloned().collect::<Vec<_>>()).await?;
        let deadline = spec
            .active_deadline_seconds
            .zip(status.start_time.as_ref().map(|t| t.0))
            .and_then(|(s, at)| at.checked_add(SignedDuration::from_secs(s)).ok());
        let verdict = self.verdict(&spec, &tally, deadline, suspended, now);
        let mut next = deadline.filter(|at| *at > now).map(|at| until(at, now));
        let active: Vec<Arc<Pod>> = pods.iter().filter(|p| objects::is_active(p)).cloned().collect();
        match verdict {
            Some(verdict) => {
                self.end(&job, &active, verdict, &mut status, now).await?;
                next = None;
            }
            None if suspended => {
                self.pods.delete_many(job.as_ref(), &active).await?;
                set(&mut status, "Suspended", "True", "JobSuspended", "Job suspended", now);
                status.active = None;
                status.start_time = None;
            }
            None => {
                if condition(&status, "Suspended").is_some() {
                    set(&mut status, "Suspended", "False", "JobResumed", "Job resumed", now);
                }
                let wait = self.fill(&job, &spec, &tally, &pods, now).await?;
                next = [next, wait].into_iter().flatten().min();
                self.count(&job, &mut status);
            }
        }
        self.write(&key, &job, &status).await?;
        Ok(next)
    }

    /// Ends a job as it was judged.
    async fn end(
        &self,
        job: &Job,
        active: &[Arc<Pod>],
        (complete, reason, message): Verdict,
        status: &mut JobStatus,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.pods.delete_many(job, active).await?;
        self.release(&self.pods_of(job)).await?;
        let (early, kind) =
            if complete { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
        set(status, early, "True", reason, &message, now);
        set(status, kind, "True", reason, &message, now);
        status.active = None;
        status.ready = Some(0);
        status.terminating = Some(0);
        if complete {
            status.completion_time = Some(Time(now));
            self.pods.events.normal(reference(job), "Completed", "Job completed");
        } else {
            self.pods.events.warning(reference(job), reason, message);
        }
        Ok(())
    }

    /// How many of its pods do what, now.
    fn count(&self, job: &Job, status: &mut JobStatus) {
        let pods = self.pods_of(job);
        let active: Vec<_> = pods.iter().filter(|p| objects::is_active(p)).collect();
        status.active = super::nonzero(super::count(active.len()));
        status.ready = Some(super::count(active.iter().filter(|p| objects::is_ready(p)).count()));
        let leaving = pods.iter().filter(|p| is_deleting(&p.metadata) && !objects::is_terminal(p)).count();
        status.terminating = Some(super::count(leaving));
    }

    fn verdict(
        &self,
        spec: &JobSpec,
        tally: &Tally,
        deadline: Option<Timestamp>,
        suspended: bool,
        now: Timestamp,
    ) -> Option<Verdict> {
        if tally.failed > spec.backoff_limit.unwrap_or(6) {
            let text = "Job has reached the specified backoff limit";
            return Some((false, "BackoffLimitExceeded", text.into()));
        }
        if deadline.is_some_and(|at| at <= now) && !suspended {
            return Some((false, "DeadlineExceeded", "Job was active longer than specified deadline".into()));
        }
        let done = match spec.completions {
            Some(wanted) => tally.done() >= wanted,
            None => tally.succeeded > 0 && tally.active == 0,
        };
        done.then(|| (true, "CompletionsReached", "Reached expected number of succeeded pods".into()))
    }

    /// As many active pods as parallelism and missing completions allow; after failures only after a while.
    async fn fill(
        &self,
        job: &Job,
        spec: &JobSpec,
        tally: &Tally,
        pods: &[Arc<Pod>],
        now: Timestamp,
    ) -> Result<Next, Error> {
        let parallelism = spec.parallelism.unwrap_or(1);
        let wanted = match spec.completions {
            Some(completions) => parallelism.min(completions - tally.done()),
            None if tally.succeeded > 0 => tally.active,
            None => parallelism,
        };
        if tally.active > wanted {
            let surplus = usize::try_from(tally.active - wanted.max(0)).unwrap_or(0);
            let active: Vec<_> =
                pods.iter().filter(|p| objects::is_active(p)).take(surplus).cloned().collect();
            self.pods.delete_many(job, &active).await?;
            return Ok(None);
        }
        let missing = usize::try_from(wanted - tally.active - tally.leaving).unwrap_or(0);
        if missing == 0 {
            return Ok(None);
        }
        if let Some(last) = tally.last_failure {
            let wait = std::time::Duration::from_secs(backoff_seconds(tally.failures_in_a_row));
            let passed = since(last, now);
            if passed < wait {
                return Ok(Some(wait - passed));
            }
        }
        let is_indexed = spec.completion_mode.as_deref() == Some("Indexed");
        let made: Vec<Pod> = if is_indexed {
            tally.free_indexes(spec, missing).into_iter().map(|index| pod(job, spec, Some(index))).collect()
        } else {
            vec![pod(job, spec, None); missing]
        };
        let (_, error) = self.pods.create_many(job, &made).await;
        error.map_or(Ok(None), Err)
    }

    /// Takes the finalizer off pods that are counted.
    async fn release(&self, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let tracked = pods.iter().filter(|p| has_finalizer(&p.metadata, FINALIZER));
        let each = tracked.map(|pod| async move {
            let rest: Vec<&String> =
                pod.metadata.finalizers.iter().flatten().filter(|f| *f != FINALIZER).collect();
            let patch = serde_json::json!({"metadata": {"uid": pod.metadata.uid, "finalizers": rest}});
            let key = Key::of(pod.as_ref());
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
            match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(changed) if changed.metadata.deletion_timestamp.is_none() => {
                    self.pods.cache.observe(changed)
                }
                Ok(_) => {}
                Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409) => {}
                Err(error) => return Err(Error::from(error)),
            }
            Ok(())
        });
        join_all(each).await.into_iter().collect()
    }

    async fn write(&self, key: &Key, job: &Job, status: &JobStatus) -> Result<(), Error> {
        let now = self.jobs.get(key).map_or_else(|| job.clone(), |j| j.as_ref().clone());
        if now.status.as_ref() == Some(status) || now.metadata.uid != job.metadata.uid {
            return Ok(());
        }
        let mut changed = now;
        changed.status = Some(status.clone());
        self.jobs.observe(self.api(key).replace_status(&key.name, &PostParams::default(), &changed).await?);
        Ok(())
    }

    async fn expire(&self, key: Key) -> Result<Next, Error> {
        let Some(job) = self.jobs.get(&key).filter(|j| !is_deleting(&j.metadata)) else { return Ok(None) };
        let ttl = job.spec.as_ref().and_then(|s| s.ttl_seconds_after_finished);
        let status = job.status.clone().unwrap_or_default();
        let finished = condition(&status, "Complete").or_else(|| condition(&status, "Failed"));
        let at = finished.and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0);
        let Some((ttl, at)) = ttl.zip(at) else { return Ok(None) };
        let now = self.clock.now();
        let due = at.saturating_add(SignedDuration::from_secs(ttl.into())).unwrap_or(at);
        if due > now {
            return Ok(Some(until(due, now)));
        }
        self.jobs.delete(&self.api(&key), &job, DeleteParams::foreground()).await?;
        Ok(None)
    }
}

fn pod(job: &Job, spec: &JobSpec, index: Option<i32>) -> Pod {
    let mut pod = of_template(job, &spec.template);
    pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.into());
    let Some(index) = index else { return pod };
    let name = job.metadata.name.as_deref().unwrap_or_default();
    pod.metadata.generate_name = Some(format!("{name}-{index}-"));
    pod.metadata.annotations.get_or_insert_default().insert(INDEX.into(), index.to_string());
    pod.metadata.labels.get_or_insert_default().insert(INDEX.into(), index.to_string());
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(format!("{name}-{index}"));
    let variable = EnvVar {
        name: "JOB_COMPLETION_INDEX".into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..Default::default()
        }),
    };
    for container in pod_spec.init_containers.iter_mut().flatten().chain(&mut pod_spec.containers) {
        let env = container.env.get_or_insert_default();
        if !env.iter().any(|e| e.name == variable.name) {
            env.push(variable.clone());
        }
    }
    pod
}

/// When a pod ended, as far as its containers say.
fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let ends = containers.filter_map(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let fallback = || pod.metadata.deletion_timestamp.as_ref().or(pod.metadata.creation_timestamp.as_ref());
    ends.max_by_key(|t| t.0).or_else(fallback).map(|t| t.0)
}

/// Whether a pod has ended, and well.
fn outcome(pod: &Pod) -> Option<bool> {
    match phase(pod) {
        "Succeeded" => Some(true),
        "Failed" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_followed_by_longer_waits() {
        let waits: Vec<u64> = (0..9).map(backoff_seconds).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn an_indexed_pod_knows_its_index() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "sum"},
            "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}},
        }))
        .unwrap();
        let made = pod(&job, job.spec.as_ref().unwrap(), Some(3));
        assert_eq!(made.metadata.generate_name.as_deref(), Some("sum-3-"));
        assert_eq!(made.spec.unwrap().containers[0].env.as_ref().unwrap()[0].name, "JOB_COMPLETION_INDEX");
    }
}
