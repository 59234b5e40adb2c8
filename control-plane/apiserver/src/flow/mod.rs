//! Priority and fairness: which requests run now, which wait, and which are told to come back.
//!
//! A request falls under the first [flow schema](Schema) that matches it, which names a [priority level](Level) and tells flows apart. Each
//! level has seats of its own, lends what it does not need and queues fairly between flows ([`queues`]). The objects are the cluster's
//! `FlowSchema`s and `PriorityLevelConfiguration`s; what is mandatory counts even when it is deleted.
//!
//! Guarantees: a level's requests never take another level's nominal seats away; a flood in one flow does not keep other flows from running;
//! nobody waits longer than [`WAIT_LIMIT`]. When nothing is queued a request pays for one classification and one short lock.
//! Does not: poll. Seats are divided anew when a request arrives and ten seconds have passed.

mod borrow;
mod demand;
mod dump;
pub mod keeper;
mod level;
mod metrics;
pub mod queues;
mod schema;
mod shard;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
pub mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

pub use level::{Level, Permit};
use level::{Settings, Wait, Waiter};
use queues::{Arrival, Reason};
use schema::{Counters, level_name};
pub use schema::{Digest, Schema};

use crate::attributes::{Objects, text};
use crate::bootstrap::flow::{GROUP, mandatory};

/// How long a request waits for a seat at most: a quarter of what it may take, as upstream.
pub const WAIT_LIMIT: Duration = Duration::from_secs(15);
/// How often seats are divided anew.
const ADJUST_NS: u64 = 10_000_000_000;
/// When to come back, in seconds.
pub const RETRY_AFTER_S: u32 = 1;
/// Seats of upstream's API server: 400 reading and 200 writing requests at once.
pub const SEATS: u32 = 600;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Tells when the objects have changed: the versions of schemas and levels.
pub type Versions = Box<dyn Fn() -> [u64; 2] + Send + Sync>;

struct Config {
    of: [u64; 2],
    /// By precedence, then name.
    schemas: Vec<Arc<Schema>>,
    /// By name.
    levels: Vec<Arc<Level>>,
}

/// Decides for one API server.
pub struct Flow {
    objects: Arc<dyn Objects>,
    versions: Versions,
    total: u32,
    begun: Instant,
    clock: Arc<dyn kit::Clock>,
    config: ArcSwap<Config>,
    /// One reconfiguration at a time.
    turn: Mutex<()>,
    adjusted_ns: AtomicU64,
}

/// Why a request does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no room.
    Full(Reason),
    /// It waited too long.
    TimedOut,
}

/// What became of a request.
pub struct Admission {
    /// The schema it falls under.
    pub schema: Arc<Schema>,
    /// Its seats, or why it has none.
    pub result: Result<Permit, Refused>,
}

impl Admission {
    /// Says in the response under what the request fell.
    pub fn mark(schema: &Schema, headers: &mut HeaderMap) {
        headers.insert(SCHEMA_UID, schema.uid.clone());
        headers.insert(LEVEL_UID, schema.level.uid.clone());
    }
}

impl Flow {
    /// Over the cluster's objects, with so many seats in all.
    pub fn new(
        objects: Arc<dyn Objects>,
        versions: Versions,
        total: u32,
        clock: Arc<dyn kit::Clock>,
    ) -> Self {
        let empty = Config { of: [u64::MAX; 2], schemas: Vec::new(), levels: Vec::new() };
        let flow = Self {
            objects,
            versions,
            total: total.max(1),
            begun: Instant::now(),
            clock,
            config: ArcSwap::from_pointee(empty),
            turn: Mutex::new(()),
            adjusted_ns: AtomicU64::new(0),
        };
        flow.reconfigure();
        flow
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits for a seat. `seats` is asked only when the level is limited.
    pub async fn admit(&self, request: &Digest<'_>, seats: impl FnOnce() -> u32) -> Option<Admission> {
        if (self.versions)() != self.config.load().of {
            self.reconfigure();
        }
        self.adjust_when_due();
        let schema = {
            let config = self.config.load();
            config.schemas.iter().find(|schema| schema.matches(request)).cloned()?
        };
        let level = schema.level.clone();
        let exempt = level.settings.lock().exempt;
        let (flow, seats) =
            if exempt { (0, 1) } else { (schema.flow(schema.distinguisher(request)), seats()) };
        let mut waiting: Option<oneshot::Receiver<queues::Place>> = None;
        let arrival = level.queues.lock().arrive(level.now_ns(), flow, seats, || {
            let (sender, receiver) = oneshot::channel();
            waiting = Some(receiver);
            Waiter {
                started: sender,
                schema: schema.clone(),
                distinguisher: schema.distinguisher(request).to_owned(),
                arrived: self.clock.now(),
            }
        });
        let counters = &schema.counters;
        let result = match (arrival, waiting) {
            (Arrival::Runs(place), _) => Ok(Permit::new(level, place)),
            (Arrival::Waits(ticket), Some(started)) => {
                wait(Wait { level, ticket, started, over: false }, counters).await
            }
            (Arrival::Refused(reason), _) => {
                let counter = match reason {
                    Reason::ConcurrencyLimit => &counters.concurrency_limit,
                    Reason::QueueFull => &counters.queue_full,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                Err(Refused::Full(reason))
            }
            // Who waits was given something to wait for.
            (Arrival::Waits(_), None) => Err(Refused::TimedOut),
        };
        if result.is_ok() {
            counters.dispatched.fetch_add(1, Ordering::Relaxed);
        }
        Some(Admission { schema, result })
    }

    /// Compiles the objects anew; levels that are still there go on with their queues.
    fn reconfigure(&self) {
        let _turn = self.turn.lock();
        let of = (self.versions)();
        let old = self.config.load_full();
        if old.of == of {
            return;
        }
        let (mut schemas, mut levels) = (
            self.objects.list(GROUP, "flowschemas", None),
            self.objects.list(GROUP, "prioritylevelconfigurations", None),
        );
        for seed in mandatory() {
            let list = if seed.plural == "flowschemas" { &mut schemas } else { &mut levels };
            if !list.iter().any(|one| text(one, "/metadata/name") == seed.name()) {
                list.push(Arc::new(seed.object));
            }
        }
        let levels: Vec<Arc<Level>> = levels.iter().map(|object| self.level(object, &old)).collect();
        let by_name: HashMap<&str, &Arc<Level>> =
            levels.iter().map(|level| (level.name.as_str(), level)).collect();
        let compiled = schemas.iter().filter_map(|object: &Arc<Value>| {
            // A schema without its level is asked by nobody.
            let level = by_name.get(level_name(object))?;
            let before = old.schemas.iter().find(|schema| schema.name == text(object, "/metadata/name"));
            let counters =
                before.map_or_else(|| Arc::new(Counters::default()), |schema| schema.counters.clone());
            Some(Arc::new(Schema::parse(object, (*level).clone(), counters)))
        });
        let mut compiled: Vec<Arc<Schema>> = compiled.collect();
        compiled.sort_by(|one, other| (one.precedence, &one.name).cmp(&(other.precedence, &other.name)));
        drop(by_name);
        self.config.store(Arc::new(Config { of, schemas: compiled, levels }));
        self.adjust();
    }

    fn level(&self, object: &Value, old: &Config) -> Arc<Level> {
        let settings = Settings::parse(object);
        let same = |level: &&Arc<Level>| {
            level.name == text(object, "/metadata/name")
                && level.uid.as_bytes() == text(object, "/metadata/uid").as_bytes()
        };
        match old.levels.iter().find(same) {
            Some(level) => {
                level.configure(settings);
                level.clone()
            }
            None => Level::new(object, settings, self.begun),
        }
    }

    fn adjust_when_due(&self) {
        let (now, last) = (self.now_ns(), self.adjusted_ns.load(Ordering::Relaxed));
        if now.saturating_sub(last) >= ADJUST_NS
            && self.adjusted_ns.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.adjust();
        }
    }

    /// Divides the seats by what levels wanted of late.
    fn adjust(&self) {
        let config = self.config.load_full();
        let limited: Vec<(&Arc<Level>, Settings)> = config
            .levels
            .iter()
            .map(|level| (level, *level.settings.lock()))
            .filter(|(_, settings)| !settings.exempt)
            .collect();
        let shares: Vec<u32> = limited.iter().map(|(_, settings)| settings.shares).collect();
        let nominal = borrow::nominal(self.total, &shares);
        let claims: Vec<borrow::Claim> = limited
            .iter()
            .zip(&nominal)
            .map(|((level, settings), nominal)| {
                level.nominal.store(u64::from(*nominal), Ordering::Relaxed);
                let (peak, wanted) = level.queues.lock().demand.take(level.now_ns());
                settings.claim(*nominal, self.total, peak, wanted)
            })
            .collect();
        let whole: f64 = nominal.iter().copied().map(f64::from).sum();
        for ((level, _), seats) in limited.iter().zip(borrow::divide(whole, &claims)) {
            level.set_limit(seats);
        }
    }
}

async fn wait(mut wait: Wait, counters: &Counters) -> Result<Permit, Refused> {
    let mut left = Left { counters, over: false };
    let ended = tokio::time::timeout(WAIT_LIMIT, &mut wait.started).await;
    left.over = true;
    match ended {
        Ok(Ok(place)) => {
            wait.over = true;
            Ok(Permit::new(wait.level.clone(), place))
        }
        _ => {
            counters.timed_out.fetch_add(1, Ordering::Relaxed);
            Err(Refused::TimedOut)
        }
    }
}

/// Counts who went away while waiting.
struct Left<'a> {
    counters: &'a Counters,
    over: bool,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.counters.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
