//! The service by itself: how fast it starts, how fast and how large control planes are.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use http::Method;

use super::azure::Cloud;
use super::figures::Report;
use super::lab::{Fabric, Lab};
use super::{process, process::settled_rss_mib};

/// How many clusters are made at a time when only their number matters.
const MAKERS: usize = 4;
const STARTS: usize = 5;
/// Creates for themselves alone, whose times count.
const TIMED: usize = 10;

/// Times to the first answer, with an empty state and with one that is there.
pub async fn starts(binary: &Path, report: &mut Report) -> Result<()> {
    let mut first = Vec::new();
    let mut again = Vec::new();
    for _ in 0..STARTS {
        let mut lab = Lab::new(binary, Fabric::Simulated)?;
        first.push(lab.start().await?);
        lab.kill()?;
        again.push(lab.start().await?);
        lab.finish()?;
    }
    report.figure("first start to first answer", median(&mut first), "s", Some(0.3));
    report.figure("next start to first answer", median(&mut again), "s", Some(0.3));
    Ok(())
}

/// Control planes by the number: creation, memory, restart.
pub async fn planes(binary: &Path, steps: &[usize], restart_with: usize, report: &mut Report) -> Result<()> {
    let mut lab = Lab::new(binary, Fabric::Simulated)?;
    lab.start().await?;
    let cloud = Cloud::sign_in(&lab).await?;
    let empty = settled_rss_mib(lab.pid()?).await?;
    report.figure("memory of the service without clusters", empty, "MiB", None);
    let (mut plane, mut cluster) = (Vec::new(), Vec::new());
    let mut there = 0;
    let mut restarted = false;
    let mut steps = steps.to_vec();
    steps.sort_unstable();
    for step in steps {
        while there < step && plane.len() < TIMED {
            let created = cloud.create(&name(there), 1).await?;
            plane.push(created.plane);
            cluster.push(created.cluster);
            there += 1;
        }
        if there < step {
            let begun = Instant::now();
            make_many(&cloud, there, step).await?;
            let each = begun.elapsed().as_secs_f64() / count(step - there);
            report.figure(format!("clusters {there} to {step}, {MAKERS} at a time: each"), each, "s", None);
            there = step;
        }
        let (pid, planes) = (lab.pid()?, count(step));
        let rss = settled_rss_mib(pid).await?;
        report.figure(format!("memory with {step} control planes"), rss, "MiB", None);
        let target = (step >= 100).then_some(15.0);
        report.figure(
            format!("memory of each of {step}, with one simulated node"),
            (rss - empty) / planes,
            "MiB",
            target,
        );
        report.figure(
            format!("processor of {step} idle control planes"),
            idle_percent(pid).await?,
            "%",
            None,
        );
        if step >= restart_with && !restarted {
            restarted = true;
            restart(&mut lab, &cloud, there, report).await?;
        }
    }
    report.figure("control plane: PUT to /readyz", median(&mut plane), "s", Some(0.3));
    report.figure("cluster with one simulated node: PUT to Succeeded", median(&mut cluster), "s", None);
    lab.finish()
}

async fn restart(lab: &mut Lab, cloud: &Cloud, clusters: usize, report: &mut Report) -> Result<()> {
    lab.kill()?;
    let begun = Instant::now();
    let answered = lab.start().await?;
    for index in 0..clusters {
        let api = cloud.api(&name(index), begun).await?;
        while api.send(Method::GET, "/readyz", None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let all = begun.elapsed();
    report.figure(
        format!("restart with {clusters} clusters: first answer"),
        answered.as_secs_f64(),
        "s",
        None,
    );
    report.figure(format!("restart with {clusters} clusters: all ready"), all.as_secs_f64(), "s", Some(2.0));
    let rss = settled_rss_mib(lab.pid()?).await?;
    report.figure(format!("memory after the restart with {clusters}"), rss, "MiB", None);
    Ok(())
}

async fn make_many(cloud: &Cloud, from: usize, to: usize) -> Result<()> {
    let making =
        futures::stream::iter(from..to).map(|index| async move { cloud.create(&name(index), 1).await });
    making.buffer_unordered(MAKERS).try_for_each(|_| async { Ok(()) }).await
}

/// Processor use of a process over some seconds, in percent of one core.
async fn idle_percent(pid: i32) -> Result<f64> {
    let (before, begun) = (process::cpu(&[pid])?, Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let spent = process::cpu(&[pid])?.saturating_sub(before);
    Ok(100.0 * spent.as_secs_f64() / begun.elapsed().as_secs_f64())
}

fn name(index: usize) -> String {
    format!("bench-{index:03}")
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn count(number: usize) -> f64 {
    number.max(1) as f64
}

/// The median in seconds.
pub fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}
