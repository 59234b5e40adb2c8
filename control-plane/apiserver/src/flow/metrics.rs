//! What `/metrics` says about priority and fairness, under upstream's names.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Flow;

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// One value of a level.
struct Gauge {
    name: &'static str,
    help: &'static str,
    value: fn(&super::Level) -> u64,
}

const GAUGES: [Gauge; 6] = [
    Gauge {
        name: "apiserver_flowcontrol_current_inqueue_requests",
        help: "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
        value: |level| u64::from(level.queues.lock().counts().1),
    },
    Gauge {
        name: "apiserver_flowcontrol_current_executing_requests",
        help: "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
        value: |level| u64::from(level.queues.lock().counts().0),
    },
    Gauge {
        name: "apiserver_flowcontrol_current_executing_seats",
        help: "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
        value: |level| u64::from(level.queues.lock().seats_in_use()),
    },
    Gauge {
        name: "apiserver_flowcontrol_nominal_limit_seats",
        help: "Nominal number of execution seats configured for each priority level",
        value: |level| read(&level.nominal),
    },
    Gauge {
        name: "apiserver_flowcontrol_current_limit_seats",
        help: "current derived number of execution seats available to each priority level",
        value: |level| match level.queues.lock().limit() {
            u32::MAX => 0,
            seats => u64::from(seats),
        },
    },
    Gauge {
        name: "apiserver_flowcontrol_lower_limit_seats",
        help: "Configured lower bound on number of execution seats available to each priority level",
        value: |level| {
            let settings = *level.settings.lock();
            let nominal = read(&level.nominal);
            nominal - (nominal * u64::from(settings.lendable_percent.min(100)) + 50) / 100
        },
    },
];

impl Flow {
    /// Appends all of it, in the Prometheus text format.
    pub fn metrics(&self, out: &mut String) {
        let config = self.config.load_full();
        for gauge in &GAUGES {
            let _ = writeln!(out, "# HELP {} [BETA] {}\n# TYPE {0} gauge", gauge.name, gauge.help);
            for level in &config.levels {
                let _ = writeln!(
                    out,
                    "{}{{priority_level=\"{}\"}} {}",
                    gauge.name,
                    level.name,
                    (gauge.value)(level)
                );
            }
        }
        let dispatched = "apiserver_flowcontrol_dispatched_requests_total";
        let help = "Number of requests executed by API Priority and Fairness subsystem";
        let _ = writeln!(out, "# HELP {dispatched} [BETA] {help}\n# TYPE {dispatched} counter");
        for schema in &config.schemas {
            let labels = format!("flow_schema=\"{}\",priority_level=\"{}\"", schema.name, schema.level.name);
            let _ = writeln!(out, "{dispatched}{{{labels}}} {}", read(&schema.counters.dispatched));
        }
        let rejected = "apiserver_flowcontrol_rejected_requests_total";
        let help = "Number of requests rejected by API Priority and Fairness subsystem";
        let _ = writeln!(out, "# HELP {rejected} [BETA] {help}\n# TYPE {rejected} counter");
        for schema in &config.schemas {
            let counters = &schema.counters;
            let reasons = [
                ("concurrency-limit", &counters.concurrency_limit),
                ("queue-full", &counters.queue_full),
                ("time-out", &counters.timed_out),
                ("cancelled", &counters.cancelled),
            ];
            for (reason, counter) in reasons.into_iter().filter(|(_, counter)| read(counter) > 0) {
                let labels = format!(
                    "flow_schema=\"{}\",priority_level=\"{}\",reason=\"{reason}\"",
                    schema.name, schema.level.name
                );
                let _ = writeln!(out, "{rejected}{{{labels}}} {}", read(counter));
            }
        }
        let waited = "apiserver_flowcontrol_request_wait_duration_seconds_sum";
        let help = "Length of time requests spent waiting in their queues";
        let _ = writeln!(out, "# HELP {waited} [BETA] {help}\n# TYPE {waited} counter");
        for level in &config.levels {
            let seconds = read(&level.waited_us) as f64 / 1e6;
            let _ = writeln!(out, "{waited}{{priority_level=\"{}\"}} {seconds}", level.name);
        }
    }
}
