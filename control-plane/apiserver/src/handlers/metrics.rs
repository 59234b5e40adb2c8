//! Counts of requests and how long they took, and all of `/metrics`, under upstream's names.
//!
//! A series is looked up once per request and then only added to. Series exist for resources that are served; requests about anything else
//! are counted together, so that nobody can fill the memory with invented names.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::path::RequestInfo;
use super::{Api, special};
use crate::registry::Registry;

/// Upper bounds of the duration histogram, in seconds; upstream's.
const BOUNDS_S: [f64; 22] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0,
];

/// One kind of request.
pub struct Series {
    /// Labels as they are printed.
    labels: String,
    codes: Mutex<Vec<(u16, u64)>>,
    /// Per bound, and above the last.
    buckets: [AtomicU64; BOUNDS_S.len() + 1],
    sum_us: AtomicU64,
    running: AtomicI64,
    /// Whether it lasts as long as the client likes.
    is_long: bool,
    is_mutating: bool,
}

impl Series {
    fn new(info: &RequestInfo, known: bool) -> Self {
        let is_long = info.verb == "watch" || special::is_stream(info);
        let scope = match (info.is_resource, info.namespace.as_str(), info.name.as_str()) {
            (false, ..) => "",
            (true, _, name) if !name.is_empty() || info.verb == "create" => "resource",
            (true, "", _) => "cluster",
            _ => "namespace",
        };
        let RequestInfo { group, version, resource, subresource, .. } = info;
        let verb = verb(info);
        let labels = if known {
            format!(
                "component=\"apiserver\",dry_run=\"\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
            )
        } else {
            format!(
                "component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"\",scope=\"\",subresource=\"\",verb=\"{verb}\",version=\"\""
            )
        };
        Self {
            labels,
            codes: Mutex::default(),
            buckets: Default::default(),
            sum_us: AtomicU64::new(0),
            running: AtomicI64::new(0),
            is_long,
            is_mutating: !matches!(info.verb, "get" | "list" | "watch" | "head"),
        }
    }

    fn record(&self, code: u16, took: Duration) {
        {
            let mut codes = self.codes.lock();
            match codes.iter_mut().find(|(known, _)| *known == code) {
                Some((_, count)) => *count += 1,
                None => codes.push((code, 1)),
            }
        }
        if self.is_long {
            return;
        }
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS_S.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The verb as metrics print it.
fn verb(info: &RequestInfo) -> &'static str {
    if special::is_stream(info) && info.subresource != "log" {
        return "CONNECT";
    }
    match info.verb {
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "list" => "LIST",
        "watch" => "WATCH",
        "get" | "head" => "GET",
        _ => "other",
    }
}

/// A request under way.
pub struct Running {
    series: Arc<Series>,
}

impl Running {
    /// It was answered.
    pub fn answered(&self, code: u16, took: Duration) {
        self.series.record(code, took);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.series.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All series.
#[derive(Default)]
pub struct Metrics {
    series: RwLock<HashMap<u64, Arc<Series>>>,
}

impl Metrics {
    /// A request begins.
    pub fn begin(&self, info: &RequestInfo, registry: &Registry) -> Running {
        let key = |known: bool| {
            let mut hasher = DefaultHasher::new();
            (known, info.verb, info.is_resource).hash(&mut hasher);
            if known && info.is_resource {
                let place = (info.namespace.is_empty(), info.name.is_empty());
                (&info.group, &info.version, &info.resource, &info.subresource, place).hash(&mut hasher);
            }
            hasher.finish()
        };
        if let Some(series) = self.series.read().get(&key(true)).cloned() {
            return Self::running(series);
        }
        let served = registry.kinds.get(&info.group, &info.version, &info.resource);
        let known = !info.is_resource
            || served.is_some_and(|served| {
                info.subresource.is_empty()
                    || served.has_subresource(&info.subresource)
                    || special::is_stream(info)
            });
        let series = self
            .series
            .write()
            .entry(key(known))
            .or_insert_with(|| Arc::new(Series::new(info, known && info.is_resource)))
            .clone();
        Self::running(series)
    }

    fn running(series: Arc<Series>) -> Running {
        series.running.fetch_add(1, Ordering::Relaxed);
        Running { series }
    }

    fn write(&self, out: &mut String) {
        let mut all: Vec<Arc<Series>> = self.series.read().values().cloned().collect();
        all.sort_by(|one, other| one.labels.cmp(&other.labels));
        out.push_str("# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.\n# TYPE apiserver_request_total counter\n");
        for series in &all {
            for (code, count) in series.codes.lock().iter() {
                let _ = writeln!(out, "apiserver_request_total{{code=\"{code}\",{}}} {count}", series.labels);
            }
        }
        out.push_str("# HELP apiserver_request_duration_seconds [STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.\n# TYPE apiserver_request_duration_seconds histogram\n");
        for series in all.iter().filter(|series| !series.is_long) {
            write_histogram(out, series);
        }
        out.push_str("# HELP apiserver_current_inflight_requests [STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.\n# TYPE apiserver_current_inflight_requests gauge\n");
        for (kind, mutating) in [("mutating", true), ("readOnly", false)] {
            let of_kind = all.iter().filter(|series| !series.is_long && series.is_mutating == mutating);
            let running: i64 = of_kind.map(|series| series.running.load(Ordering::Relaxed)).sum();
            let _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {running}");
        }
    }
}

fn write_histogram(out: &mut String, series: &Series) {
    let name = "apiserver_request_duration_seconds";
    let mut sum = 0;
    for (bucket, bound) in series.buckets.iter().zip(BOUNDS_S) {
        sum += bucket.load(Ordering::Relaxed);
        let _ = writeln!(out, "{name}_bucket{{{},le=\"{bound}\"}} {sum}", series.labels);
    }
    sum += series.buckets.last().map_or(0, |bucket| bucket.load(Ordering::Relaxed));
    let seconds = series.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
    let _ = writeln!(out, "{name}_bucket{{{},le=\"+Inf\"}} {sum}", series.labels);
    let _ =
        writeln!(out, "{name}_sum{{{}}} {seconds}\n{name}_count{{{}}} {sum}", series.labels, series.labels);
}

/// All of `/metrics`.
pub(super) fn all(api: &Api) -> String {
    let mut out = String::new();
    api.metrics.write(&mut out);
    let mut watchers = String::new();
    let mut registered = String::new();
    out.push_str("# HELP apiserver_resource_objects [ALPHA] Number of stored objects at the time of last check split by kind.\n# TYPE apiserver_resource_objects gauge\n");
    let mut kinds = api.registry.kinds.all();
    kinds.sort_by(|one, other| one.storage.cmp(&other.storage));
    kinds.dedup_by(|one, other| one.storage == other.storage);
    let mut stored = String::new();
    for served in kinds {
        let (group, plural) = (&served.resource.group, &served.resource.plural);
        let cache = api.registry.hub.cache(&served.storage);
        let _ = writeln!(
            out,
            "apiserver_resource_objects{{group=\"{group}\",resource=\"{plural}\"}} {}",
            cache.len()
        );
        let _ = writeln!(
            stored,
            "apiserver_storage_objects{{resource=\"{}\"}} {}",
            served.resource.group_resource(),
            cache.len()
        );
        let followers = cache.subscribers();
        if followers > 0 {
            let (kind, version) = (&served.resource.kind, &served.resource.version);
            let _ = writeln!(
                registered,
                "apiserver_registered_watchers{{group=\"{group}\",kind=\"{kind}\",version=\"{version}\"}} {followers}"
            );
            let _ = writeln!(
                watchers,
                "apiserver_longrunning_requests{{component=\"apiserver\",group=\"{group}\",resource=\"{plural}\",verb=\"WATCH\",version=\"{version}\"}} {followers}"
            );
        }
    }
    let _ = write!(
        out,
        "# HELP apiserver_storage_objects [STABLE] Number of stored objects at the time of last check split by kind.\n# TYPE apiserver_storage_objects gauge\n{stored}"
    );
    let _ = write!(
        out,
        "# HELP apiserver_registered_watchers [ALPHA] Number of currently registered watchers for a given resources\n# TYPE apiserver_registered_watchers gauge\n{registered}"
    );
    let _ = write!(
        out,
        "# HELP apiserver_longrunning_requests [STABLE] Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.\n# TYPE apiserver_longrunning_requests gauge\n{watchers}"
    );
    let _ = write!(
        out,
        "# HELP etcd_revision Revision of the store that the caches have reached.\n# TYPE etcd_revision gauge\netcd_revision {}\n",
        api.registry.hub.progress()
    );
    if let Some(auditor) = &api.auditor {
        let _ = write!(
            out,
            "# HELP apiserver_audit_error_total [ALPHA] Counter of audit events that failed to be audited properly.\n# TYPE apiserver_audit_error_total counter\napiserver_audit_error_total {}\n",
            auditor.lost()
        );
    }
    api.flow.metrics(&mut out);
    out
}
