//! `/debug/api_priority_and_fairness/*`: levels, queues and the requests that wait in them, as tables of text.

use std::sync::atomic::Ordering;

use super::Flow;

/// Pads columns as upstream's tables are: cells end with a comma, columns are as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], at: usize| {
        let comma = if at + 1 < row.len() { ", " } else { "" };
        format!("{}{comma}", row.get(at).map(String::as_str).unwrap_or_default())
    };
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        for at in 0..row.len() {
            let cell = cell(row, at);
            let width = widths.get(at).copied().unwrap_or(0);
            if at + 1 < row.len() {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&cell);
            }
        }
        text.push('\n');
    }
    text
}

fn row(cells: &[&dyn ToString]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}

impl Flow {
    /// The table of this name; none when there is no such table.
    pub fn dump(&self, name: &str) -> Option<String> {
        match name {
            "dump_priority_levels" => Some(self.dump_levels()),
            "dump_queues" => Some(self.dump_queues()),
            "dump_requests" => Some(self.dump_requests()),
            _ => None,
        }
    }

    fn dump_levels(&self) -> String {
        let mut rows = vec![row(&[
            &"PriorityLevelName",
            &"ActiveQueues",
            &"IsIdle",
            &"IsQuiescing",
            &"WaitingRequests",
            &"ExecutingRequests",
            &"DispatchedRequests",
            &"RejectedRequests",
            &"TimedoutRequests",
            &"CancelledRequests",
        ])];
        let config = self.config.load_full();
        for level in &config.levels {
            let queues = level.queues.lock();
            let (executing, waiting) = queues.counts();
            let active = queues.active();
            drop(queues);
            let (mut dispatched, mut rejected, mut timed_out, mut cancelled) = (0, 0, 0, 0);
            for schema in config.schemas.iter().filter(|schema| schema.level.name == level.name) {
                let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                dispatched += read(&schema.counters.dispatched);
                rejected += read(&schema.counters.queue_full) + read(&schema.counters.concurrency_limit);
                timed_out += read(&schema.counters.timed_out);
                cancelled += read(&schema.counters.cancelled);
            }
            let idle = executing == 0 && waiting == 0;
            rows.push(row(&[
                &level.name,
                &active,
                &idle,
                &false,
                &waiting,
                &executing,
                &dispatched,
                &rejected,
                &timed_out,
                &cancelled,
            ]));
        }
        table(&rows)
    }

    fn dump_queues(&self) -> String {
        let mut rows = vec![row(&[
            &"PriorityLevelName",
            &"Index",
            &"PendingRequests",
            &"ExecutingRequests",
            &"SeatsInUse",
            &"NextDispatchR",
            &"InitialSeatsSum",
            &"MaxSeatsSum",
            &"TotalWorkSum",
        ])];
        for level in &self.config.load_full().levels {
            let states = level.queues.lock().states();
            for (index, state) in states.iter().enumerate() {
                let seats = state.waiting_seats;
                let due = format!("{:.8}ss", state.due_s);
                let work = format!("{:.8}ss", f64::from(seats) * 0.003);
                rows.push(row(&[
                    &level.name,
                    &index,
                    &state.waiting,
                    &state.executing,
                    &state.seats_in_use,
                    &due,
                    &seats,
                    &seats,
                    &work,
                ]));
            }
        }
        table(&rows)
    }

    fn dump_requests(&self) -> String {
        let mut rows = vec![row(&[
            &"PriorityLevelName",
            &"FlowSchemaName",
            &"QueueIndex",
            &"RequestIndexInQueue",
            &"FlowDistingsher",
            &"ArriveTime",
            &"InitialSeats",
            &"FinalSeats",
            &"AdditionalLatency",
            &"StartTime",
        ])];
        for level in &self.config.load_full().levels {
            let queues = level.queues.lock();
            for (queue, position, seats, waiter) in queues.waiting() {
                let (schema, flow) = (&waiter.schema.name, &waiter.distinguisher);
                rows.push(row(&[
                    &level.name,
                    schema,
                    &queue,
                    &position,
                    flow,
                    &waiter.arrived,
                    &seats,
                    &0,
                    &"0s",
                    &"0001-01-01T00:00:00Z",
                ]));
            }
        }
        table(&rows)
    }
}
