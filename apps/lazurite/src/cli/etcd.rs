//! Where clusters' objects are kept, if not in files of the service.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a request to etcd may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// An etcd cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct EtcdArguments {
    /// Keep the clusters' objects in this etcd: its endpoints, separated by commas.
    #[arg(long = "etcd", env = "LAZURITE_ETCD", value_delimiter = ',', value_name = "URL")]
    endpoints: Vec<String>,
    /// The authority of its certificates, a PEM file.
    #[arg(long = "etcd-ca", env = "LAZURITE_ETCD_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The service's own certificate for it, a PEM file.
    #[arg(long = "etcd-cert", env = "LAZURITE_ETCD_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file.
    #[arg(long = "etcd-key", env = "LAZURITE_ETCD_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl EtcdArguments {
    /// How to reach it; none when no endpoint was given.
    pub(crate) fn options(&self) -> Result<Option<etcd::Options>> {
        if self.endpoints.is_empty() {
            if self.ca.is_some() || self.cert.is_some() {
                bail!("certificates for etcd are given, but no endpoint; add --etcd");
            }
            return Ok(None);
        }
        let read = |path: &PathBuf| {
            kit::files::read_string(path).with_context(|| format!("failed to read `{}`", path.display()))
        };
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Some(kit::tls::ClientIdentity { chain_pem: read(cert)?, key_pem: read(key)? })
            }
            _ => None,
        };
        let tls = match &self.ca {
            Some(ca) => Some(etcd::Tls { roots_pem: read(ca)?, identity, server_name: None }),
            None => None,
        };
        let options = etcd::Options::new(self.endpoints.iter().cloned(), "");
        Ok(Some(etcd::Options { tls, request_limit: REQUEST_LIMIT, ..options }))
    }

    /// The same as arguments, for a service that is started in the background.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if !self.endpoints.is_empty() {
            arguments.extend(["--etcd".into(), self.endpoints.join(",").into()]);
        }
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        for (name, path) in [("--etcd-ca", &self.ca), ("--etcd-cert", &self.cert), ("--etcd-key", &self.key)]
        {
            if let Some(path) = path {
                arguments.extend([name.into(), absolute(path).into_os_string()]);
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        etcd: EtcdArguments,
    }

    #[test]
    fn arguments_are_passed_on_whole() {
        let given = [
            "p",
            "--etcd",
            "http://a:1,http://b:2",
            "--etcd-ca",
            "/ca",
            "--etcd-cert",
            "/c",
            "--etcd-key",
            "/k",
        ];
        let parsed = Program::parse_from(given).etcd;
        let passed: Vec<String> =
            parsed.arguments().iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
        assert_eq!(passed, given[1..]);
        assert!(parsed.options().is_err(), "the files are not there");
        let plain = Program::parse_from(["p", "--etcd", "http://a:1"]).etcd.options().unwrap().unwrap();
        assert_eq!(plain.endpoints, ["http://a:1"]);
        assert!(Program::parse_from(["p"]).etcd.options().unwrap().is_none());
        assert!(Program::parse_from(["p", "--etcd-ca", "/ca"]).etcd.options().is_err());
    }
}
