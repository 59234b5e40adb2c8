//! Bad requests of every kind to every plane of a running service: always the client's fault, said as the plane says it, and
//! never a word of what the caller may not see.
//!
//! Resource Manager with each type that is registered, sign-in, Graph, a vault, a registry, the service's own pages. Callers:
//! nobody, one without a role, tokens of another audience, of another cloud, changed, cut short, signed by nobody; the owner
//! with bodies that are wrong. Canaries lie in tags, secrets, a vault, a registry and a second cloud beside this one.
//!
//! `LAZURITE_BAD_CLOUD_REQUESTS` is how many (3,000), `LAZURITE_BAD_CLOUD_SEED` where the generator starts.

mod dice;
mod planes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use dice::Dice;
use http::Method;
use planes::{Asked, Ground, Plane};
use serde_json::{Value, json};

use crate::kill::cloud::{Cloud, Session};

/// In everything that the caller may not see.
const CANARY: &str = "c4n4ry-of-another";
/// What whoever has signed in may read of the directory.
const DIRECTORY_CANARY: &str = "d1r3ctory-of-another";
const WORKERS: u64 = 8;
/// How often one is sent before no answer is a fault.
const TRIES_MAX: u32 = 3;
/// How many wrong answers a worker tells.
const WRONG_MAX: usize = 5;
/// What the service may have more at the end than after the first quarter.
const MEMORY_MORE_MAX_MIB: u64 = 96;
const DESCRIPTORS_MORE_MAX: usize = 64;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Who asks, and what may be said to them.
struct Caller {
    told: &'static str,
    /// For each plane; empty: without a token.
    tokens: BTreeMap<Plane, String>,
    /// Whether a token is one that the plane takes.
    known: bool,
    /// Whether canaries may be shown.
    owner: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_to_every_plane_are_the_clients_fault_and_learn_nothing() -> Result<()> {
    kit::tls::install_provider();
    let count = number("LAZURITE_BAD_CLOUD_REQUESTS", 3_000);
    let seed = number("LAZURITE_BAD_CLOUD_SEED", 20_261_129);
    let (Some(mut cloud), Some(mut other)) = (Cloud::new()?, Cloud::new()?) else { return Ok(()) };
    cloud.spawn()?;
    other.spawn()?;
    let (session, _) = cloud.sign_in().await?;
    let (foreign, _) = other.sign_in().await?;
    hide(&session).await?;
    hide(&foreign).await?;
    let ground = Arc::new(Ground {
        subscription: session.subscription.clone(),
        other_subscription: foreign.subscription.clone(),
        tenant: session.tenant.clone(),
        other_tenant: foreign.tenant.clone(),
        types: types(&session).await?,
    });
    let callers = Arc::new(callers(&session, &foreign).await?);
    let begun = Instant::now();
    let (seen, room) = drive(&cloud, &session, ground, callers, count, seed).await?;
    let [before, settled, after] = room;
    eprintln!("{count} requests in {:.0} s: {seen:?}", begun.elapsed().as_secs_f64());
    eprintln!("MiB and descriptors before, after a quarter, at the end: {before:?}, {settled:?}, {after:?}");
    ensure!(after.0 <= settled.0 + MEMORY_MORE_MAX_MIB, "memory grew from {} to {} MiB", settled.0, after.0);
    let descriptors = (settled.1, after.1);
    ensure!(after.1 <= settled.1 + DESCRIPTORS_MORE_MAX, "descriptors grew: {descriptors:?}");
    let there = session.get(&secret_group(&session)).await?;
    ensure!(
        there.status.is_success() && there.body.to_string().contains(CANARY),
        "and what is secret is still there"
    );
    ensure!(!cloud.whole_log()?.contains("panicked"), "the service panicked:\n{}", cloud.log());
    other.finish()?;
    cloud.finish()
}

/// What was answered how often.
type Seen = BTreeMap<(Plane, u16), u64>;
/// Memory in MiB and descriptors of the service.
type Room = (u64, usize);

/// Sends all of them; an error tells the answers that were wrong. The room the service takes before, after a quarter, at the end.
async fn drive(
    cloud: &Cloud,
    session: &Session,
    ground: Arc<Ground>,
    callers: Arc<Vec<Caller>>,
    count: u64,
    seed: u64,
) -> Result<(Seen, [Room; 3])> {
    let room = || anyhow::Ok((cloud.memory_mib()?, cloud.descriptors()?));
    let before = room()?;
    let done = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (session, ground, callers) = (session.clone(), ground.clone(), callers.clone());
            tokio::spawn(work(session, ground, callers, done.clone(), count, seed.wrapping_add(worker)))
        })
        .collect();
    let mut settled = before;
    while !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        if done.load(Ordering::Relaxed) < count / 4 {
            settled = room()?;
        }
    }
    let (mut seen, mut wrong) = (Seen::new(), Vec::new());
    for worker in workers {
        let (of_one, wrong_of_one) = worker.await?;
        for (key, number) in of_one {
            *seen.entry(key).or_default() += number;
        }
        wrong.extend(wrong_of_one);
    }
    ensure!(wrong.is_empty(), "seed {seed}:\n{}\nthe log ends with\n{}", wrong.join("\n"), cloud.log());
    Ok((seen, [before, settled, room()?]))
}

async fn work(
    session: Session,
    ground: Arc<Ground>,
    callers: Arc<Vec<Caller>>,
    done: Arc<AtomicU64>,
    count: u64,
    seed: u64,
) -> (Seen, Vec<String>) {
    let mut dice = Dice::new(seed);
    let (mut seen, mut wrong) = (Seen::new(), Vec::new());
    while done.fetch_add(1, Ordering::Relaxed) < count {
        match one(&session, &mut dice, &ground, &callers).await {
            Ok(status) => *seen.entry(status).or_default() += 1,
            Err(error) if wrong.len() < WRONG_MAX => wrong.push(format!("{error:#}")),
            Err(_) => {}
        }
    }
    (seen, wrong)
}

/// Sends one and judges the answer.
async fn one(
    session: &Session,
    dice: &mut Dice,
    ground: &Ground,
    callers: &[Caller],
) -> Result<(Plane, u16)> {
    let caller = &callers[dice.below(callers.len())];
    let asked = planes::asked(dice, ground, caller.owner);
    let told = format!(
        "{} as {}: {} {}{}",
        String::from_utf8_lossy(&asked.body[..asked.body.len().min(600)]),
        caller.told,
        asked.method,
        asked.host,
        asked.path
    );
    let Some(answer) = sent(session, dice, &asked, caller).await.with_context(|| told.clone())? else {
        return Ok((asked.plane, 0));
    };
    let status = answer.0.as_u16();
    let text = String::from_utf8_lossy(&answer.1);
    let value: Value = serde_json::from_slice(&answer.1).unwrap_or(Value::Null);
    // An answer to HEAD has no body to say it in.
    let said = asked.method == "HEAD" || text.contains("NotImplemented") || text.contains("UNSUPPORTED");
    let unbuilt = status == 501 && said;
    if status >= 500 && !unbuilt {
        bail!("{status} {text}: {told}");
    }
    if status >= 400 && asked.method != "HEAD" && !planes::is_said(asked.plane, &value, &text) {
        bail!("the refusal is not said as {:?} says it: {status} {text}: {told}", asked.plane);
    }
    if !caller.owner && text.contains(CANARY) {
        bail!("a canary is told: {status} {text}: {told}");
    }
    // Whoever has signed in may read the names in the directory, and nobody else.
    let reader = asked.plane == Plane::Graph && caller.known;
    if !caller.owner && !reader && text.contains(DIRECTORY_CANARY) {
        bail!("a name of the directory is told: {status} {text}: {told}");
    }
    let writes = matches!(asked.method, "PUT" | "PATCH" | "DELETE");
    if (200..300).contains(&status)
        && !caller.owner
        && (writes || !caller.known && asked.method != "OPTIONS")
        && matches!(asked.plane, Plane::Arm | Plane::Graph | Plane::Vault | Plane::Registry)
        && !is_open(&asked.path)
    {
        bail!("{status} for who may not: {text}: {told}");
    }
    // What is too large is refused before anybody looks at who sent it.
    let open = status == 413 || asked.method == "OPTIONS" || is_open(&asked.path);
    if asked.plane == Plane::Arm && !caller.known && status != 401 && !open {
        bail!("{status} and not 401 for a token that is none: {text}: {told}");
    }
    Ok((asked.plane, status))
}

/// What everybody may read before signing in: where to sign in.
fn is_open(path: &str) -> bool {
    path.to_ascii_lowercase().starts_with("/metadata/")
}

/// The status and the body; none for what HTTP cannot carry.
///
/// A server of HTTP/2 ends a connection on which it had to give up too many streams (here those whose bodies were still
/// on their way when they were refused), and with it what else was under way there. Clients then ask again.
async fn sent(
    session: &Session,
    dice: &mut Dice,
    asked: &Asked,
    caller: &Caller,
) -> Result<Option<(http::StatusCode, Vec<u8>)>> {
    let before = dice.clone();
    let mut tries = 1;
    loop {
        let Some(request) = request(session, dice, asked, caller) else { return Ok(None) };
        match session.raw(request).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if tries == TRIES_MAX => return Err(error),
            Err(_) => tries += 1,
        }
        *dice = before.clone();
    }
}

fn request(session: &Session, dice: &mut Dice, asked: &Asked, caller: &Caller) -> Option<kit::http::Request> {
    let mut request = http::Request::builder().method(asked.method).uri(session.url(asked.host, &asked.path));
    if !asked.content_type.is_empty() {
        request = request.header("content-type", asked.content_type);
    }
    let token = caller.tokens.get(&asked.plane).map(String::as_str).unwrap_or_default();
    if !token.is_empty() {
        let scheme =
            if dice.once_in(30) { dice.pick(&["bearer", "Basic", "Bearer ", "PoP"]) } else { "Bearer" };
        request = request.header("authorization", format!("{scheme} {token}"));
    }
    for (name, values) in [
        ("if-match", &["*", "\"x\"", "W/\"", ""][..]),
        ("if-none-match", &["*", "\"x\"", "\u{7f}"]),
        ("x-ms-correlation-request-id", &["x", "not a guid", "%00"]),
        ("x-ms-client-request-id", &["", "x"]),
        ("accept", &["application/xml", "*/*;q=x", "application/json;odata.metadata=none"]),
        ("prefer", &["return=minimal", "x"]),
        ("consistencylevel", &["eventual", "x"]),
        ("x-http-method-override", &["DELETE", "x"]),
        ("range", &["bytes=9-1", "bytes=0-99999999999"]),
        ("content-range", &["0-x", "9-1"]),
        ("x-ms-authorization-auxiliary", &["Bearer x", ""]),
    ] {
        if dice.once_in(12)
            && let Ok(value) = http::HeaderValue::from_str(dice.pick(values))
        {
            request = request.header(name, value);
        }
    }
    request.body(kit::http::full(asked.body.clone())).ok()
}

fn secret_group(session: &Session) -> String {
    format!("/subscriptions/{}/resourceGroups/rg-secret", session.subscription)
}

/// Lays canaries where only the owner may look.
async fn hide(session: &Session) -> Result<()> {
    let group = secret_group(session);
    let id = |kind: &str, name: &str| format!("{group}/providers/{kind}/{name}");
    let tags = json!({ "a": CANARY });
    let template = json!({ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
        "resources": [], "outputs": { "secret": { "type": "string", "value": CANARY } } });
    for (path, body) in [
        (group.clone(), json!({ "location": "eastus", "tags": tags })),
        (
            id("Microsoft.Network/networkSecurityGroups", "secret"),
            json!({ "location": "eastus", "tags": tags, "properties": {} }),
        ),
        (
            id("Microsoft.Network/virtualNetworks", "secret"),
            json!({ "location": "eastus", "tags": tags,
            "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } } }),
        ),
        (
            id("Microsoft.ManagedIdentity/userAssignedIdentities", "secret"),
            json!({ "location": "eastus", "tags": tags }),
        ),
        (
            id("Microsoft.ContainerRegistry/registries", "killedregistry"),
            json!({ "location": "eastus", "tags": tags, "sku": { "name": "Basic" } }),
        ),
        (
            id("Microsoft.KeyVault/vaults", "killedvault"),
            json!({ "location": "eastus", "tags": tags, "properties": { "tenantId": session.tenant,
            "sku": { "family": "A", "name": "standard" }, "enableRbacAuthorization": true } }),
        ),
        (
            id("Microsoft.Resources/deployments", "secret"),
            json!({ "properties": { "mode": "Incremental", "template": template } }),
        ),
    ] {
        let answer = session.call(Method::PUT, &path, &body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
    }
    session.become_secrets_officer(&id("Microsoft.KeyVault/vaults", "killedvault")).await?;
    let secret = session
        .vault(Method::PUT, "/secrets/secret", &json!({ "value": CANARY, "tags": { "a": CANARY } }))
        .await?;
    ensure!(secret.status.is_success(), "the secret: {} {}", secret.status, secret.body);
    let user = json!({ "displayName": DIRECTORY_CANARY, "mailNickname": "secret", "securityEnabled": true, "mailEnabled": false });
    let made = session.graph_call(Method::POST, "/v1.0/groups", &user).await?;
    ensure!(made.status.is_success(), "the group: {} {}", made.status, made.body);
    Ok(())
}

/// Every registered type, with the newest of its API versions.
async fn types(session: &Session) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for provider in session.list(&format!("/subscriptions/{}/providers", session.subscription)).await? {
        let namespace = provider["namespace"].as_str().unwrap_or_default();
        for kind in provider["resourceTypes"].as_array().into_iter().flatten() {
            let (name, version) = (&kind["resourceType"], &kind["apiVersions"][0]);
            if let (Some(name), Some(version)) = (name.as_str(), version.as_str()) {
                found.push((format!("{namespace}/{name}"), version.to_owned()));
            }
        }
    }
    ensure!(found.len() > 30, "only {} types are registered", found.len());
    Ok(found)
}

async fn callers(session: &Session, foreign: &Session) -> Result<Vec<Caller>> {
    let nobody = session.somebody().await?;
    let planes = [Plane::Arm, Plane::Tokens, Plane::Graph, Plane::Vault, Plane::Registry, Plane::Own];
    let all = |token: &dyn Fn(Plane) -> String| {
        planes.iter().map(|plane| (*plane, token(*plane))).collect::<BTreeMap<_, _>>()
    };
    let forged = |token: &str| {
        let mut parts = token.split('.');
        let (_, claims) = (parts.next(), parts.next().unwrap_or_default());
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
    };
    let symmetric = |token: &str| {
        let mut parts = token.split('.');
        let (_, claims) = (parts.next(), parts.next().unwrap_or_default());
        format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{claims}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    };
    let changed = |token: &str| {
        let at = token.len() / 2;
        let other = if token.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    };
    let caller = |told, tokens, known, owner| Caller { told, tokens, known, owner };
    Ok(vec![
        caller("the owner", all(&|plane| session.token_of(plane)), true, true),
        caller("one without a role", all(&|plane| nobody.token_of(plane)), true, false),
        caller("one without a role", all(&|plane| nobody.token_of(plane)), true, false),
        caller("nobody", all(&|_| String::new()), false, false),
        caller("another cloud's owner", all(&|plane| foreign.token_of(plane)), false, false),
        caller(
            "the owner with a token for something else",
            all(&|plane| session.token_of(if plane == Plane::Graph { Plane::Vault } else { Plane::Graph })),
            false,
            false,
        ),
        caller(
            "the owner's token signed by nobody",
            all(&|plane| forged(&session.token_of(plane))),
            false,
            false,
        ),
        caller(
            "the owner's token signed with a secret",
            all(&|plane| symmetric(&session.token_of(plane))),
            false,
            false,
        ),
        caller(
            "the owner's token, cut short",
            all(&|plane| session.token_of(plane)[..100].to_owned()),
            false,
            false,
        ),
        caller("the owner's token, changed", all(&|plane| changed(&session.token_of(plane))), false, false),
        caller("no token at all", all(&|_| "x.y.z".to_owned()), false, false),
    ])
}

impl Session {
    fn token_of(&self, plane: Plane) -> String {
        match plane {
            Plane::Graph => self.graph_token.clone(),
            Plane::Vault => self.vault_token.clone(),
            _ => self.token.clone(),
        }
    }
}
