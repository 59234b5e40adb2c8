//! `kill -9` in the middle of every long-running operation: the service is a process of its own, the moments come from a seed.
//!
//! Tracks run beside each other (a cluster, a scale set, deployments, a network, a vault, and more), so each cut meets an
//! operation of each kind somewhere between the request and its end. After the restart each of them has to end, as
//! Succeeded or as Failed with a cause; the same request again has to succeed; nothing may be left over; and no write that
//! was acknowledged may be missing.
//!
//! `LAZURITE_OPERATION_KILLS` is how many (10), `LAZURITE_KILL_SEED` where the moments start.

mod checks;
pub mod cloud;
mod tracks;
mod writers;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cloud::{Answer, Cloud, Session};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tracks::{Step, Track, Want};
use writers::Writers;

/// The longest wait before a cut. A cluster takes about this long in a debug build.
const CUT_MAX_MS: u64 = 3_000;
/// How often what is in another's way may be asked for again.
const REPEATS_MAX: usize = 100;
/// All is looked through after so many cuts.
const ROUNDS_BETWEEN_CHECKS: u64 = 5;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What was being done when the power failed.
struct Cut {
    step: Step,
    /// The answer, if there was one.
    answer: Option<Answer>,
}

/// What happened, for the report.
#[derive(Default)]
struct Tally {
    steps: usize,
    unanswered: usize,
    succeeded: usize,
    failed: std::collections::BTreeMap<String, usize>,
    slowest_start: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_any_operation_leaves_it_resumable_or_failed_with_its_cause() -> Result<()> {
    kit::tls::install_provider();
    let seed = number("LAZURITE_KILL_SEED", 20_261_129);
    let kills = number("LAZURITE_OPERATION_KILLS", 10);
    let mut dice = StdRng::seed_from_u64(seed);
    let Some(mut cloud) = Cloud::new()? else { return Ok(()) };
    cloud.spawn()?;
    let (session, _) = cloud.sign_in().await?;
    let mut tracks = tracks::all(&session.subscription, &session.tenant);
    let mut writers = Writers::start(&session).await?;
    let mut tally = Tally::default();
    for round in 0..kills {
        let told = round_of(
            &mut cloud,
            &mut dice,
            &mut tracks,
            &mut writers,
            &mut tally,
            round + 1 == kills || round % ROUNDS_BETWEEN_CHECKS == 4,
        )
        .await;
        told.with_context(|| {
            format!("seed {seed}, cut {round}; the service's log ends with\n{}", cloud.log())
        })?;
    }
    eprintln!(
        "{kills} kills hit {} operations: {} had no answer yet; {} ended well, {:?} failed and were mended by a repeat; {} acknowledged writes are there; slowest start {:?}",
        tally.steps,
        tally.unanswered,
        tally.succeeded,
        tally.failed,
        writers.acknowledged(),
        tally.slowest_start
    );
    cloud.finish()
}

async fn round_of(
    cloud: &mut Cloud,
    dice: &mut StdRng,
    tracks: &mut [Track],
    writers: &mut Writers,
    tally: &mut Tally,
    look_through: bool,
) -> Result<()> {
    let (session, took) = cloud.sign_in().await?;
    tally.slowest_start = tally.slowest_start.max(took);
    let cuts = run_until_cut(cloud, dice, &session, tracks, writers).await?;
    cloud.spawn()?;
    // Sometimes the power fails again at once, while what was interrupted is being taken up.
    if dice.random_range(0..4) == 0 {
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..1_500))).await;
        cloud.kill()?;
        cloud.spawn()?;
    }
    let (session, took) = cloud.sign_in().await?;
    tally.slowest_start = tally.slowest_start.max(took);
    writers.check(&session).await?;
    let mended = futures::future::join_all(tracks.iter().zip(&cuts).map(|(track, cut)| {
        let session = session.clone();
        async move {
            mend(&session, cut).await.with_context(|| format!("track {}: {}", track.name, cut.step.told()))
        }
    }));
    for (ended, cut) in mended.await.into_iter().zip(&cuts) {
        tally.steps += 1;
        tally.unanswered += usize::from(cut.answer.is_none());
        match ended? {
            None => tally.succeeded += 1,
            Some(code) => *tally.failed.entry(code).or_default() += 1,
        }
    }
    for track in tracks.iter_mut() {
        track.at += 1;
    }
    if look_through {
        checks::nothing_is_left_over(&session, &cloud.state()).await.context("after all was mended")?;
    }
    Ok(())
}

/// Runs all tracks until the power fails; says what each of them was doing.
async fn run_until_cut(
    cloud: &mut Cloud,
    dice: &mut StdRng,
    session: &Session,
    tracks: &mut [Track],
    writers: &mut Writers,
) -> Result<Vec<Cut>> {
    // Mostly soon after the request, when records are written; sometimes late.
    let limit = if dice.random_range(0..3) == 0 { 150 } else { CUT_MAX_MS };
    let wait = Duration::from_millis(dice.random_range(0..limit));
    let (stop, _) = tokio::sync::watch::channel(false);
    let running =
        tracks.iter_mut().map(|track| {
            let (session, stopped) = (session.clone(), stop.subscribe());
            async move {
                run_track(&session, track, &stopped).await.with_context(|| format!("track {}", track.name))
            }
        });
    let all =
        async { tokio::join!(futures::future::join_all(running), writers.run(session, stop.subscribe())) };
    let cut = async {
        tokio::time::sleep(wait).await;
        stop.send_replace(true);
        cloud.kill()
    };
    let ((cuts, ()), killed) = tokio::join!(all, cut);
    killed?;
    cuts.into_iter().collect()
}

/// Does one step after the other. An error of the connection is the cut; everything else has to go well.
async fn run_track(
    session: &Session,
    track: &mut Track,
    stopped: &tokio::sync::watch::Receiver<bool>,
) -> Result<Cut> {
    loop {
        let mut step = track.step().clone();
        if resolve(session, &mut step).await.is_err() {
            return Ok(Cut { step: track.step().clone(), answer: None });
        }
        let Ok(answer) = session.call(step.method.clone(), &step.path, &step.body).await else {
            return Ok(Cut { step, answer: None });
        };
        if !answer.status.is_success() {
            bail!("{}: {} {}", step.told(), answer.status, answer.body);
        }
        let ended = match answer.operation() {
            Some(operation) => session.end_of(&operation).await,
            None => Ok(None),
        };
        match ended {
            Ok(None) => {}
            Ok(Some(error)) => bail!("{} without a cut: {error}", step.told()),
            Err(_) if *stopped.borrow() => return Ok(Cut { step, answer: Some(answer) }),
            Err(error) => return Err(error),
        }
        if *stopped.borrow() {
            return Ok(Cut { step, answer: Some(answer) });
        }
        track.at += 1;
    }
}

/// Puts a name where the step has a place for one.
async fn resolve(session: &Session, step: &mut Step) -> Result<()> {
    let Some((set, _)) = step.path.split_once("/virtualMachines/{instance}") else { return Ok(()) };
    let listed = session.list(&format!("{set}/virtualMachines")).await?;
    let first = listed.first().and_then(|i| i["instanceId"].as_str()).context("the set has no instance")?;
    step.path = step.path.replace("{instance}", first);
    step.look = step.look.replace("{instance}", first);
    Ok(())
}

/// Whether a state is an end.
pub fn is_final(state: Option<&str>) -> bool {
    matches!(state, None | Some("Succeeded" | "Failed" | "Canceled"))
}

/// After a restart: the operation ends, the resource is in a final state, and the same request again succeeds. The code of
/// its error, if it failed.
async fn mend(session: &Session, cut: &Cut) -> Result<Option<String>> {
    let mut step = cut.step.clone();
    resolve(session, &mut step).await?;
    let mut failed = None;
    if let Some(operation) = cut.answer.as_ref().and_then(Answer::operation) {
        failed = session.end_of(&operation).await.context("an acknowledged operation")?;
        if let Some(error) = &failed {
            let told = |name: &str| error[name].as_str().is_some_and(|text| !text.is_empty());
            ensure!(told("code") && told("message"), "it failed without a cause: {error}");
        }
    }
    settled(session, step.looked_at()).await?;
    if cut.answer.is_some() && failed.is_none() {
        holds(session, &step).await.context("what was acknowledged and ended well")?;
    }
    repeat(session, &step).await?;
    holds(session, &step).await.context("after a repeat")?;
    Ok(failed.map(|error| error["code"].as_str().unwrap_or_default().to_owned()))
}

/// Waits until the resource is in a final state, or gone.
async fn settled(session: &Session, path: &str) -> Result<()> {
    for _ in 0..9_000 {
        let answer = session.get(path).await?;
        let state = answer.body["properties"]["provisioningState"].as_str();
        if answer.status.as_u16() == 404 || (answer.status.is_success() && is_final(state)) {
            return Ok(());
        }
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("{path} stays in {}", session.get(path).await?.body["properties"]["provisioningState"])
}

/// Sends the request again until it succeeds; what another operation is in the way of waits for that.
async fn repeat(session: &Session, step: &Step) -> Result<()> {
    for _ in 0..REPEATS_MAX {
        let answer = session.call(step.method.clone(), &step.path, &step.body).await?;
        if answer.status.is_success() {
            let error = match answer.operation() {
                Some(operation) => session.end_of(&operation).await?,
                None => None,
            };
            return match error {
                None => Ok(()),
                Some(error) => bail!("the repeat failed: {error}"),
            };
        }
        // There is nothing to do any more.
        if answer.status.is_client_error() && holds(session, step).await.is_ok() {
            return Ok(());
        }
        ensure!(answer.status.as_u16() == 409, "the repeat is refused: {} {}", answer.status, answer.body);
        ensure!(!answer.code().is_empty(), "409 without a code: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = session.call(step.method.clone(), &step.path, &step.body).await?;
    bail!("the repeat is refused for ever: {} {}", last.status, last.body)
}

/// What the step is for is so.
async fn holds(session: &Session, step: &Step) -> Result<()> {
    let answer = session.get(step.looked_at()).await?;
    let there = answer.status.is_success();
    match &step.want {
        Want::Gone => {
            ensure!(answer.status.as_u16() == 404, "still there: {} {}", answer.status, answer.body)
        }
        Want::There => ensure!(there, "missing: {} {}", answer.status, answer.body),
        Want::Holds(place, value) => {
            let found = answer.body.pointer(place).unwrap_or(&Value::Null);
            ensure!(
                there && found == value,
                "{place} is {found} and not {value}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    Ok(())
}
