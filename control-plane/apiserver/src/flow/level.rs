//! A priority level at work: its queues behind a lock, and those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::HeaderValue;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

use super::borrow::Claim;
use super::queues::{Place, Queues, Queuing, Started, Ticket};
use super::schema::Schema;
use crate::attributes::text;

/// What a level's object says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Whether it is limited at all.
    pub exempt: bool,
    /// Its shares of the whole.
    pub shares: u32,
    /// What of its seats others may use, in percent.
    pub lendable_percent: u32,
    /// What it may borrow, in percent of its own seats; none: everything.
    pub borrowing_limit_percent: Option<u32>,
    /// How it queues; none: it refuses.
    pub queuing: Option<Queuing>,
}

impl Settings {
    /// Reads a stored level.
    pub fn parse(object: &Value) -> Self {
        let exempt = text(object, "/spec/type") == "Exempt";
        let part = if exempt { "/spec/exempt" } else { "/spec/limited" };
        let number = |field: &str| object.pointer(&format!("{part}{field}")).and_then(Value::as_u64);
        let small = |field: &str| number(field).and_then(|number| u32::try_from(number).ok());
        let size = |field: &str, default: usize| {
            number(&format!("/limitResponse/queuing/{field}"))
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(default)
        };
        let queues = text(object, "/spec/limited/limitResponse/type") == "Queue";
        Self {
            exempt,
            shares: small("/nominalConcurrencyShares").unwrap_or(if exempt { 0 } else { 30 }),
            lendable_percent: small("/lendablePercent").unwrap_or(0),
            borrowing_limit_percent: small("/borrowingLimitPercent"),
            queuing: (queues && !exempt).then(|| Queuing {
                queues: size("queues", 64).clamp(1, QUEUES_MAX),
                hand_size: size("handSize", 8).max(1),
                length_limit: size("queueLengthLimit", 50),
            }),
        }
    }

    /// What it may claim of its nominal seats.
    pub(super) fn claim(&self, nominal: u32, total: u32, peak: f64, wanted: f64) -> Claim {
        let nominal = f64::from(nominal);
        let lent = (nominal * f64::from(self.lendable_percent) / 100.0).round();
        let borrowed = self
            .borrowing_limit_percent
            .map_or(f64::from(total), |percent| (nominal * f64::from(percent) / 100.0).round());
        Claim { nominal, least: nominal - lent, most: nominal + borrowed, peak, wanted }
    }
}

/// Queues of a level at most, as upstream's validation says.
const QUEUES_MAX: usize = 10_000_000;

/// Who waits.
pub(super) struct Waiter {
    /// Ends the wait: the seats that were taken for it.
    pub started: oneshot::Sender<Place>,
    /// The schema it fell under.
    pub schema: Arc<Schema>,
    /// Its flow.
    pub distinguisher: String,
    /// Since when.
    pub arrived: Timestamp,
}

/// A level.
pub struct Level {
    /// Its name.
    pub name: String,
    /// Its uid, for the response.
    pub uid: HeaderValue,
    pub(super) settings: Mutex<Settings>,
    pub(super) queues: Mutex<Queues<Waiter>>,
    pub(super) nominal: AtomicU64,
    /// How long requests waited, in all, in microseconds.
    pub(super) waited_us: AtomicU64,
    /// From where its time is counted.
    begun: Instant,
}

impl Level {
    pub(super) fn new(object: &Value, settings: Settings, begun: Instant) -> Arc<Self> {
        let uid = HeaderValue::from_str(text(object, "/metadata/uid"));
        let limit = if settings.exempt { u32::MAX } else { 1 };
        Arc::new(Self {
            name: text(object, "/metadata/name").to_owned(),
            uid: uid.unwrap_or(HeaderValue::from_static("")),
            settings: Mutex::new(settings),
            queues: Mutex::new(Queues::new(settings.queuing, limit)),
            nominal: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            begun,
        })
    }

    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes over what its object says now.
    pub(super) fn configure(&self, settings: Settings) {
        *self.settings.lock() = settings;
        self.queues.lock().configure(settings.queuing);
        if settings.exempt {
            self.set_limit(u32::MAX);
        }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        let started = self.queues.lock().set_limit(self.now_ns(), limit);
        self.start(started);
    }

    /// Tells those who waited. Who has gone meanwhile gives its seats back.
    fn start(&self, started: Vec<Started<Waiter>>) {
        let mut queue = started;
        while let Some(one) = queue.pop() {
            self.waited_us.fetch_add(one.waited_ns / 1000, Ordering::Relaxed);
            if let Err(place) = one.waiter.started.send(one.place) {
                queue.extend(self.queues.lock().finish(self.now_ns(), place));
            }
        }
    }

    pub(super) fn finish(&self, place: Place) {
        let started = self.queues.lock().finish(self.now_ns(), place);
        self.start(started);
    }

    /// Takes out who waits no longer; whether it was still waiting.
    pub(super) fn cancel(&self, ticket: Ticket) -> bool {
        let cancelled = self.queues.lock().cancel(self.now_ns(), ticket);
        match cancelled {
            Some((_, started)) => {
                self.start(started);
                true
            }
            None => false,
        }
    }
}

/// The seats of a running request; given back when dropped.
pub struct Permit {
    level: Arc<Level>,
    place: Option<Place>,
}

impl Permit {
    pub(super) fn new(level: Arc<Level>, place: Place) -> Self {
        Self { level, place: Some(place) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.level.finish(place);
        }
    }
}

/// A place in a queue; left when dropped.
pub(super) struct Wait {
    pub level: Arc<Level>,
    pub ticket: Ticket,
    pub started: oneshot::Receiver<Place>,
    pub over: bool,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.over || self.level.cancel(self.ticket) {
            return;
        }
        // It was let in just now and will not use it.
        self.started.close();
        if let Ok(place) = self.started.try_recv() {
            self.level.finish(place);
        }
    }
}
