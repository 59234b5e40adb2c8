//! The queues in simulation: many clients, a virtual clock, chance from a seed.

use std::collections::{BTreeMap, BinaryHeap};

use super::queues::{Arrival, Place, Queues, Queuing, Started};

const MS: u64 = 1_000_000;

/// A client that keeps a number of requests under way, or sends one each so often.
#[derive(Clone, Copy)]
struct Client {
    flow: u64,
    /// Requests under way at once; a flood has many.
    parallel: u32,
    seats: u32,
    takes_ns: u64,
    /// How long it pauses after an answer.
    pause_ns: u64,
}

#[derive(Default, Debug, Clone)]
struct Seen {
    served: u64,
    refused: u64,
    waited_ns: u64,
    waited_max_ns: u64,
}

#[derive(PartialEq, Eq)]
enum What {
    Arrives,
    Ends(Place),
}

/// An event; the earliest comes first, equals in the order they were made.
#[derive(PartialEq, Eq)]
struct Event {
    at_ns: u64,
    number: u64,
    client: usize,
    what: What,
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at_ns, other.number).cmp(&(self.at_ns, self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct World {
    queues: Queues<usize>,
    clients: Vec<Client>,
    events: BinaryHeap<Event>,
    next: u64,
    seen: BTreeMap<usize, Seen>,
}

fn hash(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D
}

impl World {
    fn new(queuing: Option<Queuing>, limit: u32, clients: Vec<Client>) -> Self {
        let mut world = Self {
            queues: Queues::new(queuing, limit),
            events: BinaryHeap::new(),
            next: 0,
            seen: BTreeMap::new(),
            clients: Vec::new(),
        };
        for (client, shape) in clients.iter().enumerate() {
            (0..shape.parallel).for_each(|_| world.push(0, client, What::Arrives));
        }
        world.clients = clients;
        world
    }

    fn push(&mut self, at_ns: u64, client: usize, what: What) {
        self.events.push(Event { at_ns, number: self.next, client, what });
        self.next += 1;
    }

    fn run(&mut self, until_ns: u64) {
        while let Some(event) = self.events.pop() {
            if event.at_ns > until_ns {
                break;
            }
            let (now, client) = (event.at_ns, event.client);
            let shape = self.clients[client];
            match event.what {
                What::Arrives => match self.queues.arrive(now, hash(shape.flow), shape.seats, || client) {
                    Arrival::Runs(place) => self.started(now, client, place, 0),
                    Arrival::Waits(_) => {}
                    Arrival::Refused(_) => {
                        self.seen.entry(client).or_default().refused += 1;
                        self.push(now + 10 * MS, client, What::Arrives);
                    }
                },
                What::Ends(place) => {
                    let started: Vec<Started<usize>> = self.queues.finish(now, place);
                    for one in started {
                        self.started(now, one.waiter, one.place, one.waited_ns);
                    }
                    self.push(now + shape.pause_ns, client, What::Arrives);
                }
            }
        }
    }

    fn started(&mut self, now: u64, client: usize, place: Place, waited_ns: u64) {
        let seen = self.seen.entry(client).or_default();
        seen.served += 1;
        seen.waited_ns += waited_ns;
        seen.waited_max_ns = seen.waited_max_ns.max(waited_ns);
        self.push(now + self.clients[client].takes_ns, client, What::Ends(place));
    }

    fn seen(&self, client: usize) -> Seen {
        self.seen.get(&client).cloned().unwrap_or_default()
    }
}

const QUEUING: Queuing = Queuing { queues: 64, hand_size: 6, length_limit: 50 };

fn client(flow: u64, parallel: u32) -> Client {
    Client { flow, parallel, seats: 1, takes_ns: 5 * MS, pause_ns: 0 }
}

#[test]
fn a_mouse_beside_a_flood_hardly_waits() {
    let mouse = Client { pause_ns: 50 * MS, ..client(1, 1) };
    let mut world = World::new(Some(QUEUING), 10, vec![client(0, 280), mouse]);
    world.run(20_000 * MS);
    let (flood, mouse) = (world.seen(0), world.seen(1));
    assert!(flood.served > 30_000, "all seats are used: {flood:?}");
    // Alone it would be served every 55 ms: 363 times.
    assert!(mouse.served > 330, "{mouse:?}");
    assert_eq!(mouse.refused, 0);
    assert!(mouse.waited_max_ns <= 15 * MS, "about one request's time: {mouse:?}");
}

#[test]
fn equal_flows_get_equal_shares_whatever_they_send() {
    // Flow 2 sends four times as many requests at once, flow 3 requests that take twice as long.
    let long = Client { takes_ns: 10 * MS, ..client(3, 40) };
    let mut world = World::new(Some(QUEUING), 8, vec![client(1, 40), client(2, 160), long]);
    world.run(30_000 * MS);
    let work = |at: usize| world.seen(at).served * world.clients[at].takes_ns / MS;
    let all = [work(0), work(1), work(2)];
    let mean = all.iter().sum::<u64>() / 3;
    // Flow 2 spreads over more queues of its hand, as upstream's would; nobody is below two thirds of an even share.
    assert!(all.iter().all(|one| *one > mean * 2 / 3 || *one == *all.iter().max().unwrap()), "{all:?}");
    assert!(*all.iter().min().unwrap() > 30_000 * 8 / 12, "{all:?}");
}

#[test]
fn nobody_starves_not_even_who_needs_all_seats() {
    let wide = Client { seats: 10, pause_ns: 20 * MS, ..client(9, 1) };
    let mut clients: Vec<Client> = (0..8).map(|flow| client(flow, 30)).collect();
    clients.push(wide);
    let mut world = World::new(Some(QUEUING), 10, clients);
    world.run(20_000 * MS);
    let wide = world.seen(8);
    // It sits in one queue of some 46 that are in use: a fair share of that is a request each 235 ms, or 85 in all.
    assert!(wide.served > 85 && wide.waited_max_ns < 250 * MS, "{wide:?}");
    for flow in 0..8 {
        assert!(world.seen(flow).served > 2_000, "{flow}: {:?}", world.seen(flow));
    }
    // What needs more than there are runs alone instead of never.
    let mut queues: Queues<u32> = Queues::new(Some(QUEUING), 2);
    assert!(matches!(queues.arrive(0, 1, 50, || 1), Arrival::Runs(_)));
    assert!(matches!(queues.arrive(0, 2, 1, || 2), Arrival::Waits(_)));
}

#[test]
fn a_full_queue_refuses_and_a_level_without_queues_does_at_once() {
    let mut queues: Queues<u32> = Queues::new(Some(Queuing { queues: 1, hand_size: 1, length_limit: 2 }), 1);
    let Arrival::Runs(first) = queues.arrive(0, 0, 1, || 0) else { panic!("the first runs") };
    let Arrival::Waits(second) = queues.arrive(1, 0, 1, || 1) else { panic!("the second waits") };
    assert!(matches!(queues.arrive(2, 0, 1, || 2), Arrival::Waits(_)));
    assert!(matches!(queues.arrive(3, 0, 1, || 3), Arrival::Refused(super::queues::Reason::QueueFull)));
    let (gone, started) = queues.cancel(4, second).unwrap();
    assert_eq!((gone, started.len()), (1, 0));
    assert!(queues.cancel(4, second).is_none(), "once");
    let started = queues.finish(5, first);
    assert_eq!((started[0].waiter, started[0].waited_ns, queues.counts()), (2, 3, (1, 0)));
    let none: Vec<Started<u32>> = queues.finish(6, started[0].place);
    assert!(none.is_empty());
    assert_eq!((queues.seats_in_use(), queues.active()), (0, 0));

    let mut queues: Queues<u32> = Queues::new(None, 1);
    assert!(matches!(queues.arrive(0, 0, 1, || 0), Arrival::Runs(_)));
    assert!(matches!(
        queues.arrive(0, 0, 1, || 0),
        Arrival::Refused(super::queues::Reason::ConcurrencyLimit)
    ));
}

#[test]
fn more_seats_let_who_waits_run_and_fewer_queues_lose_nobody() {
    let mut queues: Queues<u32> = Queues::new(Some(QUEUING), 1);
    let Arrival::Runs(first) = queues.arrive(0, 0, 1, || 0) else { panic!("the first runs") };
    (1..5).for_each(|number| {
        assert!(matches!(queues.arrive(1, hash(u64::from(number)), 1, || number), Arrival::Waits(_)))
    });
    queues.configure(Some(Queuing { queues: 1, hand_size: 1, length_limit: 1 }));
    let started = queues.set_limit(2, 3);
    assert_eq!(started.len(), 2);
    let mut left: Vec<Place> = started.iter().map(|one| one.place).chain([first]).collect();
    let mut ended = 0;
    while let Some(place) = left.pop() {
        ended += 1;
        left.extend(queues.finish(3, place).iter().map(|one| one.place));
    }
    assert_eq!((ended, queues.counts(), queues.active()), (5, (0, 0), 0));
}
