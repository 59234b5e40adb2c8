//! Probes: a task per probe of a running container, and the verdicts they have reached.

mod check;
mod grpc;
mod http;
mod runner;

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Container;

pub use http::get as http_get;
pub use runner::Prober;

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// Kill when it fails.
    Liveness,
    /// Take no traffic while it fails.
    Readiness,
    /// The others wait for it; kill when it fails.
    Startup,
}

impl Which {
    /// As events write it.
    pub fn name(self) -> &'static str {
        match self {
            Which::Liveness => "Liveness",
            Which::Readiness => "Readiness",
            Which::Startup => "Startup",
        }
    }
}

/// What probes found, by container id. A probe that has not reached its threshold has no verdict.
#[derive(Debug, Clone, Default)]
pub struct Verdicts(HashMap<(String, Which), bool>);

impl Verdicts {
    fn of(&self, id: &str, which: Which) -> Option<bool> {
        self.0.get(&(id.to_owned(), which)).copied()
    }

    /// Notes a verdict; answers whether it is news.
    pub fn set(&mut self, id: &str, which: Which, good: bool) -> bool {
        self.0.insert((id.to_owned(), which), good) != Some(good)
    }

    /// Forgets all containers but these.
    pub fn keep(&mut self, alive: impl Fn(&str) -> bool) {
        self.0.retain(|(id, _), _| alive(id));
    }

    /// Whether a running container has started.
    pub fn started(&self, id: &str, container: &Container) -> bool {
        container.startup_probe.is_none() || self.of(id, Which::Startup) == Some(true)
    }

    /// Whether a running container may take traffic.
    pub fn ready(&self, id: &str, container: &Container) -> bool {
        self.started(id, container)
            && (container.readiness_probe.is_none() || self.of(id, Which::Readiness) == Some(true))
    }

    /// Whether the container must be killed for its liveness.
    pub fn liveness_failed(&self, id: &str) -> bool {
        self.of(id, Which::Liveness) == Some(false)
    }

    /// Whether the container must be killed because it does not come up.
    pub fn startup_failed(&self, id: &str) -> bool {
        self.of(id, Which::Startup) == Some(false)
    }
}
