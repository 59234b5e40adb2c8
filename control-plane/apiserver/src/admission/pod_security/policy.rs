//! What a namespace's labels ask for.

use std::fmt;

use api_model::{Cause, FieldPath};
use serde_json::{Map, Value};

use super::PREFIX;

/// How much is forbidden, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// Of which Kubernetes version a standard is; the newest known when it is `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Version {
    Latest,
    /// `v1.<minor>`.
    Minor(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LevelVersion {
    pub level: Level,
    pub version: Version,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// The three modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

fn level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

fn version(text: &str) -> Option<Version> {
    if text == "latest" {
        return Some(Version::Latest);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    minor.parse().ok().filter(|_| plain).map(Version::Minor)
}

/// Reads the labels of one mode. What cannot be read is `otherwise` in level and the latest in version.
struct Reader<'a> {
    labels: Option<&'a Map<String, Value>>,
    causes: Vec<Cause>,
}

impl Reader<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels?.get(key)?.as_str()
    }

    fn invalid(&mut self, key: &str, value: &str, why: &str) {
        let path = FieldPath::new("metadata.labels").key(key);
        self.causes.push(Cause::invalid_str(&path, value, why));
    }

    fn mode(&mut self, mode: &str, otherwise: Level) -> (LevelVersion, bool, bool) {
        let mut read = LevelVersion { level: Level::Privileged, version: Version::Latest };
        let key = format!("{PREFIX}{mode}");
        let stated = self.label(&key).map(str::to_owned);
        if let Some(text) = &stated {
            read.level = level(text).unwrap_or_else(|| {
                self.invalid(&key, text, "must be one of privileged, baseline, restricted");
                otherwise
            });
        }
        let key = format!("{PREFIX}{mode}-version");
        let stated_version = self.label(&key).map(str::to_owned);
        if let Some(text) = &stated_version {
            read.version = version(text).unwrap_or_else(|| {
                self.invalid(&key, text, "must be \"latest\" or \"v1.x\"");
                Version::Latest
            });
        }
        (read, stated.is_some(), stated_version.is_some())
    }
}

impl Policy {
    /// The policy, and what is wrong with the labels. A level to enforce that cannot be read is the strictest; one to warn or audit
    /// by is none.
    pub fn of(labels: Option<&Map<String, Value>>) -> (Self, Vec<Cause>) {
        let mut reader = Reader { labels, causes: Vec::new() };
        let (enforce, enforces, _) = reader.mode("enforce", Level::Restricted);
        let (audit, _, _) = reader.mode("audit", Level::Privileged);
        let (mut warn, warns, has_version) = reader.mode("warn", Level::Privileged);
        // Who enforces without a word about warnings is warned by what is enforced.
        if enforces && !warns && enforce.level > warn.level {
            warn.level = enforce.level;
            if !has_version {
                warn.version = enforce.version;
            }
        }
        (Self { enforce, audit, warn }, reader.causes)
    }
}
