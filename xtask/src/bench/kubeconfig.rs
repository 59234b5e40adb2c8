//! Kubeconfigs of anybody: the current context's server, trust and credential.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use kit::tls::ClientIdentity;
use serde_yaml_ng::Value;

use super::load::Api;

/// An API server and a credential for it.
#[derive(Clone)]
pub struct Target {
    server: String,
    authority_pem: String,
    server_name: Option<String>,
    identity: Option<ClientIdentity>,
    token: Option<String>,
    http2: bool,
}

impl Target {
    /// The same server over HTTP/2; else HTTP/1.1 is spoken.
    pub fn over_http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Reads a file; files it names are relative to it.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        Self::parse_beside(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads a text that names no files.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_beside(text, Path::new("."))
    }

    fn parse_beside(text: &str, dir: &Path) -> Result<Self> {
        let config: Value = serde_yaml_ng::from_str(text).context("the kubeconfig is not YAML")?;
        let current = config["current-context"].as_str().context("the kubeconfig has no current context")?;
        let context = named(&config["contexts"], current, "context")?;
        let cluster = named(&config["clusters"], context["cluster"].as_str().unwrap_or_default(), "cluster")?;
        let user = named(&config["users"], context["user"].as_str().unwrap_or_default(), "user")?;
        let server = cluster["server"].as_str().context("the cluster has no server")?.trim_end_matches('/');
        if cluster["insecure-skip-tls-verify"].as_bool() == Some(true) {
            bail!("a server that is not verified is not measured; give certificate-authority-data");
        }
        let certificate = inline_or_file(user, "client-certificate", dir)?;
        let key = inline_or_file(user, "client-key", dir)?;
        Ok(Self {
            server: server.to_owned(),
            authority_pem: inline_or_file(cluster, "certificate-authority", dir)?.unwrap_or_default(),
            server_name: cluster["tls-server-name"].as_str().map(str::to_owned),
            identity: certificate.zip(key).map(|(chain_pem, key_pem)| ClientIdentity { chain_pem, key_pem }),
            token: user["token"].as_str().map(str::to_owned),
            http2: false,
        })
    }

    /// A client with connections of its own.
    pub fn connect(&self) -> Result<Api> {
        let connector = kit::client::connector(
            &self.authority_pem,
            self.identity.as_ref(),
            kit::names::Names::new(),
            self.server_name.as_deref(),
        )?;
        let connector = if self.http2 { connector } else { connector.only_http1() };
        Ok(Api::new(kit::client::Client::over(connector), &self.server, self.token.as_deref()))
    }
}

fn named<'a>(list: &'a Value, name: &str, what: &str) -> Result<&'a Value> {
    let mut entries = list.as_sequence().into_iter().flatten();
    let entry = entries.find(|entry| entry["name"].as_str() == Some(name));
    Ok(&entry.with_context(|| format!("the kubeconfig has no {what} `{name}`"))?[what])
}

fn inline_or_file(holder: &Value, name: &str, dir: &Path) -> Result<Option<String>> {
    if let Some(data) = holder[format!("{name}-data")].as_str() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim())?;
        return Ok(Some(String::from_utf8(bytes)?));
    }
    let Some(path) = holder[name].as_str() else { return Ok(None) };
    let path: PathBuf = dir.join(path);
    Ok(Some(std::fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?))
}

#[cfg(test)]
mod tests {
    use super::Target;

    const CONFIG: &str = "
current-context: two
contexts: [{name: one, context: {cluster: a, user: u}}, {name: two, context: {cluster: b, user: v}}]
clusters:
- {name: a, cluster: {server: 'https://a:1'}}
- {name: b, cluster: {server: 'https://b:2/', tls-server-name: b.example, certificate-authority-data: Q0E=}}
users:
- {name: u, user: {token: wrong}}
- {name: v, user: {token: right}}
";

    #[test]
    fn the_current_context_counts() {
        let target = Target::parse(CONFIG).unwrap();
        assert_eq!(target.server, "https://b:2");
        assert_eq!(target.authority_pem, "CA");
        assert_eq!(target.server_name.as_deref(), Some("b.example"));
        assert_eq!(target.token.as_deref(), Some("right"));
        assert!(target.identity.is_none());
    }

    #[test]
    fn a_missing_part_is_named() {
        let error = Target::parse(&CONFIG.replace("user: v", "user: w")).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no user `w`");
    }
}
