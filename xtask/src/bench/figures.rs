//! What was measured, for people and programs.

use std::fmt::Write;

use serde::Serialize;

/// Everything one run measured.
#[derive(Serialize)]
pub struct Report {
    date: String,
    cores: usize,
    kernel: String,
    figures: Vec<Figure>,
    loads: Vec<Load>,
}

/// One number against its target.
#[derive(Serialize)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// The value has to be below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// One operation under load.
#[derive(Serialize)]
pub struct Load {
    /// What was done.
    pub operation: String,
    /// How often it succeeded.
    pub done: usize,
    /// How often it did not.
    pub failed: usize,
    /// Successes in a second.
    pub per_second: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile of latency in milliseconds.
    pub p99_ms: f64,
    /// Bytes of answers in a second, in MB.
    pub megabytes_per_second: f64,
    /// Processor time of the server's processes for one success, in microseconds; needs `--pid`.
    pub server_cpu_micros: Option<f64>,
    /// Processor time of this program for one success, in microseconds.
    pub client_cpu_micros: f64,
    /// Memory of the server's processes afterwards, in MiB; needs `--pid`.
    pub server_rss_mib: Option<f64>,
    /// What the first failure said.
    pub first_error: Option<String>,
}

impl Report {
    /// An empty report with the machine's description.
    pub fn of_this_machine() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.trim().to_owned(),
            figures: Vec::new(),
            loads: Vec::new(),
        }
    }

    /// Adds a number; a line on standard error shows progress.
    pub fn figure(&mut self, what: impl Into<String>, value: f64, unit: &'static str, target: Option<f64>) {
        let what = what.into();
        eprintln!("bench: {what}: {value:.3} {unit}");
        self.figures.push(Figure { what, value, unit, target, met: target.map(|target| value < target) });
    }

    /// Adds an operation; a line on standard error shows progress.
    pub fn load(&mut self, load: Load) {
        eprintln!("bench: {}: {:.0}/s, {} failed", load.operation, load.per_second, load.failed);
        self.loads.push(load);
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = format!("{}, {} cores, Linux {}\n", self.date, self.cores, self.kernel);
        self.figures_table(&mut text);
        self.loads_table(&mut text);
        text
    }

    fn figures_table(&self, text: &mut String) {
        if self.figures.is_empty() {
            return;
        }
        let width = self.figures.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
        let _ = writeln!(text, "\n{:<width$}  {:>10}  {:<4}  {:>8}", "MEASURED", "VALUE", "UNIT", "TARGET");
        for figure in &self.figures {
            let target = match (figure.target, figure.met) {
                (Some(target), Some(true)) => format!("< {target}  met"),
                (Some(target), _) => format!("< {target}  MISSED"),
                _ => String::new(),
            };
            let _ = writeln!(
                text,
                "{:<width$}  {:>10.3}  {:<4}  {target}",
                figure.what, figure.value, figure.unit
            );
        }
    }

    fn loads_table(&self, text: &mut String) {
        if self.loads.is_empty() {
            return;
        }
        let width = self.loads.iter().map(|load| load.operation.len()).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "\n{:<width$}  {:>7}  {:>6}  {:>9}  {:>9}  {:>9}  {:>7}  {:>10}  {:>10}  {:>8}",
            "OPERATION",
            "DONE",
            "FAILED",
            "OPS/S",
            "P50 MS",
            "P99 MS",
            "MB/S",
            "SERVER us",
            "CLIENT us",
            "RSS MIB"
        );
        let maybe = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        for load in &self.loads {
            let _ = writeln!(
                text,
                "{:<width$}  {:>7}  {:>6}  {:>9.0}  {:>9.2}  {:>9.2}  {:>7.1}  {:>10}  {:>10.0}  {:>8}",
                load.operation,
                load.done,
                load.failed,
                load.per_second,
                load.p50_ms,
                load.p99_ms,
                load.megabytes_per_second,
                maybe(load.server_cpu_micros),
                load.client_cpu_micros,
                maybe(load.server_rss_mib),
            );
        }
        for load in &self.loads {
            if let Some(error) = &load.first_error {
                let _ = writeln!(text, "{}: {error}", load.operation);
            }
        }
    }
}
