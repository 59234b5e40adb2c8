//! Cron jobs: a job at each time of a schedule.

mod schedule;

use std::sync::Arc;

use informers::objects::{controlled_by, is_deleting, reference, uid, until};
use informers::{Error, Informer, Key, Next, Queue, Recorder};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DeleteParams, PostParams};

use crate::context::Context;
use schedule::Schedule;

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are not counted one by one.
const MISSED_MAX: usize = 100;

struct Controller {
    client: kube::Client,
    crons: Informer<CronJob>,
    jobs: Informer<Job>,
    events: Recorder,
    clock: Arc<dyn kit::Clock>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let name = "cronjob-controller";
    let controller = Arc::new(Controller {
        client: context.client(name),
        crons: context.informer(),
        jobs: context.informer(),
        events: context.recorder(name),
        clock: context.clock(),
    });
    let queue = Queue::new();
    controller.crons.enqueue_to(&queue);
    controller.jobs.enqueue_owner_to("CronJob", &queue);
    let c = controller.clone();
    let ready = async move {
        c.crons.synced().await;
        c.jobs.synced().await;
    };
    context.loops.run(name, 3, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// How a job ended: well (`Some(true)`), badly, or not yet.
fn outcome(job: &Job) -> Option<(bool, Option<Timestamp>)> {
    let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions
        .into_iter()
        .filter(|c| c.status == "True")
        .find(|c| c.type_ == "Complete" || c.type_ == "Failed")
        .map(|c| (c.type_ == "Complete", c.last_transition_time.as_ref().map(|t| t.0)))
}

/// The latest time that is due and not yet served, and the next one to come.
fn due(
    schedule: &Schedule,
    zone: &TimeZone,
    last: Timestamp,
    now: Timestamp,
    deadline: Option<i64>,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let earliest = deadline.and_then(|s| now.checked_sub(SignedDuration::from_secs(s)).ok());
    let mut from = earliest.map_or(last, |e| e.max(last));
    let mut missed = None;
    let mut count = 0;
    while let Some(next) = schedule.next(from, zone) {
        if next > now {
            return (missed, Some(next));
        }
        missed = Some(next);
        from = next;
        count += 1;
        if count > MISSED_MAX {
            // Far behind: only the last hour's times are still of interest.
            from = from.max(now.saturating_sub(SignedDuration::from_secs(3600)).unwrap_or(now));
            count = 0;
        }
    }
    (missed, None)
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(cron) = self.crons.get(&key).filter(|c| !is_deleting(&c.metadata)) else { return Ok(None) };
        let Some(spec) = cron.spec.clone() else { return Ok(None) };
        let mut status = cron.status.clone().unwrap_or_default();
        let jobs = self.jobs.controlled_by(uid(&cron.metadata));
        let active: Vec<&Arc<Job>> = jobs.iter().filter(|j| outcome(j).is_none()).collect();
        for job in status.active.iter().flatten() {
            let is_over = !active.iter().any(|j| j.metadata.uid == job.uid);
            if is_over {
                let name = job.name.clone().unwrap_or_default();
                let ended = jobs.iter().find(|j| j.metadata.uid == job.uid).and_then(|j| outcome(j));
                let text = match ended {
                    Some((true, _)) => format!("Saw completed job: {name}, condition: Complete"),
                    Some((false, _)) => format!("Saw completed job: {name}, condition: Failed"),
                    None => format!("Active job went missing: {name}"),
                };
                let reason = if ended.is_some() { "SawCompletedJob" } else { "MissingJob" };
                self.events.normal(reference(cron.as_ref()), reason, text);
            }
        }
        let good =
            jobs.iter().filter_map(|j| outcome(j)).filter(|(well, _)| *well).filter_map(|(_, at)| at).max();
        status.last_successful_time = good.map(Time).or(status.last_successful_time);
        let references = |jobs: &[&Arc<Job>]| jobs.iter().map(|j| reference(j.as_ref())).collect::<Vec<_>>();
        status.active = Some(references(&active)).filter(|a| !a.is_empty());
        self.thin_out(&key, &spec, &jobs).await?;
        let next = self.run_due(&key, &cron, &spec, &mut status, &active).await;
        if cron.status.as_ref() != Some(&status) {
            let mut changed = cron.as_ref().clone();
            changed.status = Some(status);
            let api: Api<CronJob> = Api::namespaced(self.client.clone(), &key.namespace);
            self.crons.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        }
        next
    }

    async fn run_due(
        &self,
        key: &Key,
        cron: &CronJob,
        spec: &CronJobSpec,
        status: &mut CronJobStatus,
        active: &[&Arc<Job>],
    ) -> Result<Next, Error> {
        if spec.suspend.unwrap_or(false) {
            return Ok(None);
        }
        let zone = match spec.time_zone.as_deref() {
            Some(name) => TimeZone::get(name).ok(),
            None => Some(TimeZone::UTC),
        };
        let (Some(schedule), Some(zone)) = (Schedule::parse(&spec.schedule), zone) else {
            let text = format!("unparseable schedule: \"{}\"", spec.schedule);
            self.events.warning(reference(cron), "UnparseableSchedule", text);
            return Ok(None);
        };
        let now = self.clock.now();
        let created = cron.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
        let last = status.last_schedule_time.as_ref().map_or(created, |t| t.0);
        let (due, next) = due(&schedule, &zone, last, now, spec.starting_deadline_seconds);
        let wait = next.map(|at| until(at, now) + std::time::Duration::from_millis(100));
        let Some(at) = due else { return Ok(wait) };
        match spec.concurrency_policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                let text =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.events.normal(reference(cron), "JobAlreadyActive", text);
                return Ok(wait);
            }
            Some("Replace") => {
                let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
                for job in active {
                    self.jobs.delete(&api, job, DeleteParams::background()).await?;
                }
                status.active = None;
            }
            _ => {}
        }
        let job = self.make(key, cron, spec, at).await?;
        status.active.get_or_insert_default().push(reference(&job));
        status.last_schedule_time = Some(Time(at));
        Ok(wait)
    }

    async fn make(&self, key: &Key, cron: &CronJob, spec: &CronJobSpec, at: Timestamp) -> Result<Job, Error> {
        let meta = spec.job_template.metadata.clone().unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.insert(SCHEDULED_AT.into(), at.to_string());
        // The name says the time, so that one time never gets two jobs.
        let name = format!("{}-{}", key.name, at.as_second() / 60);
        let job = Job {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(key.namespace.clone()),
                labels: meta.labels,
                annotations: Some(annotations),
                owner_references: Some(vec![controlled_by(cron)]),
                ..Default::default()
            },
            spec: spec.job_template.spec.clone(),
            status: None,
        };
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        match self.jobs.create(&api, &job).await {
            Ok(made) => {
                self.events.normal(reference(cron), "SuccessfulCreate", format!("Created job {name}"));
                Ok(made)
            }
            Err(kube::Error::Api(s)) if s.reason == "AlreadyExists" => Ok(api.get(&name).await?),
            Err(error) => {
                self.events.warning(reference(cron), "FailedCreate", format!("Error creating job: {error}"));
                Err(error.into())
            }
        }
    }

    /// Removes the oldest finished jobs beyond the limits.
    async fn thin_out(&self, key: &Key, spec: &CronJobSpec, jobs: &[Arc<Job>]) -> Result<(), Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        for (well, limit) in [
            (true, spec.successful_jobs_history_limit.unwrap_or(3)),
            (false, spec.failed_jobs_history_limit.unwrap_or(1)),
        ] {
            let mut ended: Vec<_> =
                jobs.iter().filter(|j| outcome(j).is_some_and(|(w, _)| w == well)).collect();
            ended.sort_by_key(|j| j.metadata.creation_timestamp.as_ref().map(|t| t.0));
            let surplus = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in &ended[..surplus] {
                self.jobs.delete(&api, job, DeleteParams::background()).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_missed_time_counts() {
        let schedule = Schedule::parse("0 * * * *").unwrap();
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let (last, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"));
        let found = due(&schedule, &TimeZone::UTC, last, now, None);
        assert_eq!(found, (Some(at("2026-01-01T05:00:00Z")), Some(at("2026-01-01T06:00:00Z"))));
        let late = due(&schedule, &TimeZone::UTC, last, now, Some(60));
        assert_eq!(late.0, None, "too late to start");
        let far = due(
            &Schedule::parse("* * * * *").unwrap(),
            &TimeZone::UTC,
            at("2025-01-01T00:00:00Z"),
            now,
            None,
        );
        assert_eq!(far.0, Some(now));
    }
}
