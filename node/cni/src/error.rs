//! Failures, and how the runtime is told of them.

use std::io;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// A variable of the environment is missing or wrong. Code 4.
    #[error("{variable} {problem}")]
    Environment {
        /// Which one.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Standard input could not be read. Code 5.
    #[error("failed to read the configuration")]
    Input {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The configuration is not JSON of the expected shape. Code 6.
    #[error("failed to decode the configuration")]
    Decode(#[source] serde_json::Error),
    /// The configuration says something impossible. Code 7.
    #[error("configuration is not valid: {0}")]
    Config(String),
    /// Its version is not one of ours. Code 1.
    #[error("version `{0}` is not supported")]
    Version(String),
    /// CHECK of a container that has no address. Code 3.
    #[error("container `{container}` has no address")]
    Unknown {
        /// The container.
        container: String,
    },
    /// Every address is taken. Code 100.
    #[error("no address is free in {0}")]
    Full(ipnet::Ipv4Net),
    /// CHECK found something else than what ADD made. Code 101.
    #[error("interface `{interface}` has lost address {address}")]
    Lost {
        /// The pod's interface.
        interface: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// The record of addresses could not be read or written. Code 102.
    #[error("failed to {deed}")]
    State {
        /// What was tried.
        deed: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A namespace could not be entered or changed. Code 103.
    #[error("failed to {deed}")]
    Link {
        /// What was tried.
        deed: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CniError {
    fn code(&self) -> u32 {
        match self {
            CniError::Version(_) => 1,
            CniError::Unknown { .. } => 3,
            CniError::Environment { .. } => 4,
            CniError::Input { .. } => 5,
            CniError::Decode(_) => 6,
            CniError::Config(_) => 7,
            CniError::Full(_) => 100,
            CniError::Lost { .. } => 101,
            CniError::State { .. } => 102,
            CniError::Link { .. } => 103,
        }
    }

    /// The error object of the specification.
    pub(crate) fn render(&self, config: &str) -> Value {
        let mut details = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            details.push(cause.to_string());
            next = cause.source();
        }
        let config: Option<Value> = serde_json::from_str(config).ok();
        let version = config.as_ref().and_then(|c| c["cniVersion"].as_str()).unwrap_or("1.0.0");
        json!({"cniVersion": version, "code": self.code(), "msg": self.to_string(), "details": details.join(": ")})
    }
}
