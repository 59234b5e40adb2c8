//! Small writes without an end: what was acknowledged before a cut is there after it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::cloud::Session;

/// One place that is written again and again.
struct Place {
    path: String,
    /// In the vault, and not a resource.
    secret: bool,
    /// The last number that was acknowledged, and the last that was sent.
    acknowledged: u64,
    sent: u64,
    /// What each ETag stood for.
    etags: BTreeMap<String, u64>,
}

/// Resources and secrets that are written until the power fails.
pub struct Writers(Vec<Place>);

impl Writers {
    /// Makes the group, the vault and the first of each.
    pub async fn start(session: &Session) -> Result<Self> {
        let group = format!("/subscriptions/{}/resourceGroups/rg-written", session.subscription);
        let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/killedvault");
        made(session, &group, &json!({ "location": "eastus" })).await?;
        made(
            session,
            &vault,
            &json!({ "location": "eastus", "properties": { "tenantId": session.tenant,
            "sku": { "family": "A", "name": "standard" }, "enableRbacAuthorization": true } }),
        )
        .await?;
        session.become_secrets_officer(&vault).await?;
        let place =
            |path: String, secret| Place { path, secret, acknowledged: 0, sent: 0, etags: BTreeMap::new() };
        let rules = |name: &str| format!("{group}/providers/Microsoft.Network/networkSecurityGroups/{name}");
        Ok(Self(vec![
            place(rules("one"), false),
            place(rules("two"), false),
            place("/secrets/one".to_owned(), true),
        ]))
    }

    pub fn acknowledged(&self) -> u64 {
        self.0.iter().map(|place| place.acknowledged).sum()
    }

    /// Writes until the service is gone.
    pub async fn run(&mut self, session: &Session, stopped: watch::Receiver<bool>) {
        let all = self.0.iter_mut().map(|place| place.run(session, stopped.clone()));
        futures::future::join_all(all).await;
    }

    /// Nothing that was acknowledged is missing, and nothing is there that nobody wrote.
    pub async fn check(&mut self, session: &Session) -> Result<()> {
        for place in &mut self.0 {
            let (found, etag) = place.read(session).await?;
            ensure!(
                (place.acknowledged..=place.sent).contains(&found),
                "{}: {found} is there; {} was acknowledged, {} sent",
                place.path,
                place.acknowledged,
                place.sent
            );
            place.note(etag, found)?;
        }
        Ok(())
    }
}

async fn made(session: &Session, path: &str, body: &Value) -> Result<()> {
    let answer = session.call(Method::PUT, path, body).await?;
    if !answer.status.is_success() {
        bail!("{path}: {} {}", answer.status, answer.body);
    }
    Ok(())
}

impl Place {
    async fn run(&mut self, session: &Session, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            self.sent += 1;
            let number = self.sent.to_string();
            let answer = if self.secret {
                session.vault(Method::PUT, &self.path, &json!({ "value": number })).await
            } else {
                let body = json!({ "location": "eastus", "tags": { "number": number }, "properties": {} });
                session.call(Method::PUT, &self.path, &body).await
            };
            match answer {
                Ok(answer) if answer.status.is_success() => self.acknowledged = self.sent,
                // A refusal shows when it is looked for; a cut is no acknowledgement.
                _ => return,
            }
        }
    }

    async fn read(&self, session: &Session) -> Result<(u64, Option<String>)> {
        let answer = if self.secret {
            session.vault(Method::GET, &self.path, &Value::Null).await?
        } else {
            session.get(&self.path).await?
        };
        if answer.status.as_u16() == 404 {
            return Ok((0, None));
        }
        ensure!(answer.status.is_success(), "{}: {} {}", self.path, answer.status, answer.body);
        let text = if self.secret { &answer.body["value"] } else { &answer.body["tags"]["number"] };
        let number = text.as_str().and_then(|text| text.parse().ok()).context("no number is there")?;
        Ok((number, answer.body["etag"].as_str().map(str::to_owned)))
    }

    /// One ETag never stands for two contents.
    fn note(&mut self, etag: Option<String>, number: u64) -> Result<()> {
        let Some(etag) = etag else { return Ok(()) };
        let known = *self.etags.entry(etag.clone()).or_insert(number);
        ensure!(known == number, "{}: the ETag {etag} stood for {known} and stands for {number}", self.path);
        Ok(())
    }
}
