//! How AKS sets up who may ask a cluster's API server, how much at once, and what is recorded of it.

use std::path::Path;
use std::sync::Arc;

use apiserver::Access;
use apiserver::audit::{Audit, AuditSink, Category, FileSettings, FileSink, Policy};
use apiserver::tokens::Lifetimes;
use container_service::{ControlPlaneError, ControlPlaneSpec};
use kit::Tasks;

use super::failed;

/// A log is put aside at this size, and so many are kept.
const LOG_BYTES_MAX: u64 = 100 * 1024 * 1024;
const LOGS_KEPT: usize = 5;

/// Tokens of service accounts live a day at most and are not extended in silence.
const LIFETIMES: Lifetimes = Lifetimes { longest_seconds: Some(86_400), extends: false };

/// Requests at once. Free: 50 that change and 100 that read, as AKS documents it; Standard: upstream's 200 and 400. What Premium has AKS
/// does not publish; here it is twice that.
fn seats(tier: &str) -> u32 {
    match tier {
        "Standard" => 600,
        "Premium" => 1200,
        _ => 150,
    }
}

/// The settings of a cluster's API server.
pub(super) fn settings(
    spec: &ControlPlaneSpec,
    dir: &Path,
    audited: bool,
    tasks: &Tasks,
) -> Result<Access, ControlPlaneError> {
    let audit = if audited { Some(audit(dir, tasks)?) } else { None };
    Ok(Access { token_lifetimes: LIFETIMES, audit, seats: seats(&spec.tier), ..Access::default() })
}

fn audit(dir: &Path, tasks: &Tasks) -> Result<Audit, ControlPlaneError> {
    let policy = Policy::aks().map_err(failed("read the audit policy"))?;
    let mut sinks: Vec<Arc<dyn AuditSink>> = Vec::new();
    for (name, category) in [("kube-audit.log", Category::All), ("kube-audit-admin.log", Category::Admin)] {
        let settings = FileSettings {
            path: dir.join(name),
            size_bytes_max: LOG_BYTES_MAX,
            kept_max: LOGS_KEPT,
            category,
        };
        let sink = FileSink::open(settings, Arc::new(kit::SystemClock), tasks);
        sinks.push(sink.map_err(failed("open the audit log"))?);
    }
    Ok(Audit { policy: Arc::new(policy), sinks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_has_its_seats() {
        let table = [("Free", 150), ("Standard", 600), ("Premium", 1200), ("", 150)];
        for (tier, wanted) in table {
            assert_eq!(seats(tier), wanted, "{tier}");
        }
    }
}
