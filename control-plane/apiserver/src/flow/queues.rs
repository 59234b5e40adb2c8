//! Fair queues of one priority level: a pure machine without clock or I/O. Time is given, in nanoseconds from any fixed moment.
//!
//! A request takes seats for as long as it runs. When all seats are taken it waits in one of the queues its flow is dealt, the least
//! loaded. Seats that become free go to the queue that is furthest behind its fair share in *virtual* time, which passes as fast as seats
//! are served per active queue (fair queueing as in packet networks, with requests for packets). A queue that was idle starts at now: being
//! quiet earns no credit.
//!
//! Guarantees: requests of a queue start in the order they came; the queue whose turn it is is never passed over, so a request that needs
//! many seats is not starved by small ones. Does not: know who waits; the caller gives each request a `W` and gets it back.

use std::collections::VecDeque;

use super::demand::Demand;
use super::shard::{HAND_MAX, deal};

/// What a request is charged when it starts, per seat; corrected by what it took when it ends.
const GUESS_NS: f64 = 3e6;

/// How a level queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queuing {
    /// Queues.
    pub queues: usize,
    /// Queues that a flow is dealt.
    pub hand_size: usize,
    /// Requests that may wait in a queue.
    pub length_limit: usize,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No seat is free and the level does not queue.
    ConcurrencyLimit,
    /// Its queue is full.
    QueueFull,
}

impl Reason {
    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::QueueFull => "queue-full",
        }
    }
}

/// A running request's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The queue it is charged to; none in a level without queues.
    queue: Option<usize>,
    seats: u32,
    started_ns: u64,
}

/// What becomes of a request that arrives.
#[derive(Debug)]
pub enum Arrival {
    /// It runs.
    Runs(Place),
    /// It waits; the ticket takes it out again.
    Waits(Ticket),
    /// It is refused.
    Refused(Reason),
}

/// Names a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    queue: usize,
    number: u64,
}

/// A request that was waiting and may run now.
#[derive(Debug)]
pub struct Started<W> {
    /// What the caller gave.
    pub waiter: W,
    /// Its seats.
    pub place: Place,
    /// How long it waited.
    pub waited_ns: u64,
}

struct Waiting<W> {
    number: u64,
    seats: u32,
    arrived_ns: u64,
    waiter: W,
}

struct Queue<W> {
    waiting: VecDeque<Waiting<W>>,
    waiting_seats: u32,
    executing: u32,
    seats_in_use: u32,
    /// When, in virtual time, its next request is due.
    due: f64,
}

impl<W> Queue<W> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), waiting_seats: 0, executing: 0, seats_in_use: 0, due: 0.0 }
    }

    fn is_active(&self) -> bool {
        self.executing > 0 || !self.waiting.is_empty()
    }
}

/// A queue as it is shown.
#[derive(Debug, Clone, Copy)]
pub struct QueueState {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that run.
    pub executing: u32,
    /// Seats they take.
    pub seats_in_use: u32,
    /// Seats that the waiting ones want.
    pub waiting_seats: u32,
    /// When its next request is due, in virtual seconds.
    pub due_s: f64,
}

/// The queues of one level.
pub struct Queues<W> {
    queuing: Option<Queuing>,
    /// Seats that may be taken.
    limit: u32,
    /// When the level queues fewer than before, the last ones only drain.
    queues: Vec<Queue<W>>,
    seats_in_use: u32,
    executing: u32,
    waiting: u32,
    waiting_seats: u32,
    active: u32,
    virtual_ns: f64,
    last_ns: u64,
    next_number: u64,
    /// Where the search for the next queue begins, so that equals take turns.
    turn: usize,
    /// What was wanted of late.
    pub demand: Demand,
}

impl<W> Queues<W> {
    /// Nobody is there yet.
    pub fn new(queuing: Option<Queuing>, limit: u32) -> Self {
        let mut queues = Self {
            queuing: None,
            limit,
            queues: Vec::new(),
            seats_in_use: 0,
            executing: 0,
            waiting: 0,
            waiting_seats: 0,
            active: 0,
            virtual_ns: 0.0,
            last_ns: 0,
            next_number: 0,
            turn: 0,
            demand: Demand::default(),
        };
        queues.configure(queuing);
        queues
    }

    /// Changes how the level queues; who waits keeps waiting.
    pub fn configure(&mut self, queuing: Option<Queuing>) {
        self.queuing = queuing;
        let wanted = queuing.map_or(0, |queuing| queuing.queues);
        while self.queues.len() < wanted {
            self.queues.push(Queue::new());
        }
    }

    /// Changes how many seats there are; gives who may run now.
    pub fn set_limit(&mut self, now_ns: u64, limit: u32) -> Vec<Started<W>> {
        self.advance(now_ns);
        self.limit = limit;
        self.dispatch(now_ns)
    }

    /// Seats there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Requests that run and requests that wait.
    pub fn counts(&self) -> (u32, u32) {
        (self.executing, self.waiting)
    }

    /// Seats that are taken.
    pub fn seats_in_use(&self) -> u32 {
        self.seats_in_use
    }

    /// Queues with requests.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// All queues that are dealt, as they are.
    pub fn states(&self) -> Vec<QueueState> {
        let states = self.queues.iter().map(|queue| QueueState {
            waiting: queue.waiting.len(),
            executing: queue.executing,
            seats_in_use: queue.seats_in_use,
            waiting_seats: queue.waiting_seats,
            due_s: queue.due / 1e9,
        });
        states.collect()
    }

    /// Who waits: the queue, the position in it, the seats wanted, and what the caller gave.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, usize, u32, &W)> {
        self.queues.iter().enumerate().flat_map(|(at, queue)| {
            queue
                .waiting
                .iter()
                .enumerate()
                .map(move |(position, one)| (at, position, one.seats, &one.waiter))
        })
    }

    fn advance(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.last_ns);
        self.last_ns = self.last_ns.max(now_ns);
        if self.active > 0 {
            // What is served, not what could be: seats that stay free for a large request must not make the others seem behind.
            self.virtual_ns += passed as f64 * f64::from(self.seats_in_use) / f64::from(self.active);
        }
    }

    fn note_demand(&mut self, now_ns: u64) {
        self.demand.set(now_ns, self.seats_in_use.saturating_add(self.waiting_seats));
    }

    /// Whether so many seats are free. What needs more than there are runs alone.
    fn fits(&self, seats: u32) -> bool {
        if seats > self.limit { self.seats_in_use == 0 } else { self.seats_in_use + seats <= self.limit }
    }

    /// A request of a flow (by its hash) that needs so many seats. `waiter` is asked for only when it must wait.
    pub fn arrive(&mut self, now_ns: u64, flow: u64, seats: u32, waiter: impl FnOnce() -> W) -> Arrival {
        self.advance(now_ns);
        let seats = seats.max(1);
        let Some(queuing) = self.queuing else {
            if !self.fits(seats) {
                return Arrival::Refused(Reason::ConcurrencyLimit);
            }
            let place = self.take(None, seats, now_ns);
            self.note_demand(now_ns);
            return Arrival::Runs(place);
        };
        let at = self.choose(flow, queuing);
        if self.queues.get(at).is_none() {
            return Arrival::Refused(Reason::ConcurrencyLimit);
        }
        self.activate(at);
        if self.waiting == 0 && self.fits(seats) {
            let place = self.take(Some(at), seats, now_ns);
            self.note_demand(now_ns);
            return Arrival::Runs(place);
        }
        let Some(queue) = self.queues.get_mut(at) else { return Arrival::Refused(Reason::ConcurrencyLimit) };
        if queue.waiting.len() >= queuing.length_limit {
            return Arrival::Refused(Reason::QueueFull);
        }
        let was_active = queue.is_active();
        let number = self.next_number;
        queue.waiting.push_back(Waiting { number, seats, arrived_ns: now_ns, waiter: waiter() });
        queue.waiting_seats += seats;
        self.next_number += 1;
        self.active += u32::from(!was_active);
        self.waiting += 1;
        self.waiting_seats += seats;
        self.note_demand(now_ns);
        Arrival::Waits(Ticket { queue: at, number })
    }

    /// The least loaded queue of the flow's hand.
    fn choose(&self, flow: u64, queuing: Queuing) -> usize {
        let mut hand = [0; HAND_MAX];
        let size = deal(flow, queuing.queues.min(self.queues.len()), queuing.hand_size, &mut hand);
        let load = |at: usize| {
            self.queues.get(at).map_or(u32::MAX, |queue| queue.waiting_seats + queue.seats_in_use)
        };
        hand.iter().take(size).copied().min_by_key(|at| load(*at)).unwrap_or(0)
    }

    /// A queue that was idle has no claim on time that passed.
    fn activate(&mut self, at: usize) {
        let now = self.virtual_ns;
        if let Some(queue) = self.queues.get_mut(at).filter(|queue| !queue.is_active()) {
            queue.due = now;
        }
    }

    fn take(&mut self, queue: Option<usize>, seats: u32, now_ns: u64) -> Place {
        self.seats_in_use += seats;
        self.executing += 1;
        if let Some(queue) = queue.and_then(|at| self.queues.get_mut(at)) {
            let was_active = queue.is_active();
            queue.executing += 1;
            queue.seats_in_use += seats;
            queue.due += GUESS_NS * f64::from(seats);
            self.active += u32::from(!was_active);
        }
        Place { queue, seats, started_ns: now_ns }
    }

    /// A request has ended; gives who may run now.
    pub fn finish(&mut self, now_ns: u64, place: Place) -> Vec<Started<W>> {
        self.advance(now_ns);
        self.seats_in_use = self.seats_in_use.saturating_sub(place.seats);
        self.executing = self.executing.saturating_sub(1);
        if let Some(queue) = place.queue.and_then(|at| self.queues.get_mut(at)) {
            let took = now_ns.saturating_sub(place.started_ns) as f64;
            queue.due += (took - GUESS_NS) * f64::from(place.seats);
            queue.executing = queue.executing.saturating_sub(1);
            queue.seats_in_use = queue.seats_in_use.saturating_sub(place.seats);
            self.active = self.active.saturating_sub(u32::from(!queue.is_active()));
        }
        let started = self.dispatch(now_ns);
        self.note_demand(now_ns);
        started
    }

    /// Takes a waiting request out; none when it is not waiting (any more). Who waited behind it may run now.
    pub fn cancel(&mut self, now_ns: u64, ticket: Ticket) -> Option<(W, Vec<Started<W>>)> {
        self.advance(now_ns);
        let queue = self.queues.get_mut(ticket.queue)?;
        let position = queue.waiting.iter().position(|one| one.number == ticket.number)?;
        let gone = queue.waiting.remove(position)?;
        queue.waiting_seats = queue.waiting_seats.saturating_sub(gone.seats);
        self.active = self.active.saturating_sub(u32::from(!queue.is_active()));
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_seats = self.waiting_seats.saturating_sub(gone.seats);
        let started = self.dispatch(now_ns);
        self.note_demand(now_ns);
        Some((gone.waiter, started))
    }

    /// Lets run who may: the queue that is most overdue first, and nobody before it.
    fn dispatch(&mut self, now_ns: u64) -> Vec<Started<W>> {
        let mut started = Vec::new();
        while self.waiting > 0 {
            let Some(at) = self.most_overdue() else { break };
            let Some(seats) =
                self.queues.get(at).and_then(|queue| queue.waiting.front()).map(|one| one.seats)
            else {
                break;
            };
            if !self.fits(seats) {
                break;
            }
            let Some(queue) = self.queues.get_mut(at) else { break };
            let Some(next) = queue.waiting.pop_front() else { break };
            queue.waiting_seats = queue.waiting_seats.saturating_sub(seats);
            // It stays active: what was waiting is running now.
            self.active = self.active.saturating_sub(u32::from(!queue.is_active()));
            self.waiting = self.waiting.saturating_sub(1);
            self.waiting_seats = self.waiting_seats.saturating_sub(seats);
            let place = self.take(Some(at), seats, now_ns);
            self.turn = at + 1;
            let waited_ns = now_ns.saturating_sub(next.arrived_ns);
            started.push(Started { waiter: next.waiter, place, waited_ns });
        }
        started
    }

    fn most_overdue(&self) -> Option<usize> {
        let count = self.queues.len();
        let mut found: Option<(usize, f64)> = None;
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(queue) = self.queues.get(at).filter(|queue| !queue.waiting.is_empty()) else { continue };
            if found.is_none_or(|(_, due)| queue.due < due) {
                found = Some((at, queue.due));
            }
        }
        found.map(|(at, _)| at)
    }
}
