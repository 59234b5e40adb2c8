//! Load on an API server, anybody's: the operations clients of Kubernetes do most.
//!
//! All objects live in one namespace of their own, which is deleted at the end. Pods ask for a scheduler that
//! does not exist, so nothing runs them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};

use super::figures::Report;
use super::kubeconfig::Target;
use super::load::{Api, drive};
use super::watch;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Lists of everything are large; more of them at once would measure the client's memory.
const LISTERS: usize = 4;
const ACCOUNT_LIMIT: Duration = Duration::from_secs(3);

/// Which server, and how much.
#[derive(clap::Args)]
pub struct Args {
    /// How to reach and sign in to the API server; its current context counts.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// A process of the server (with its database's, if that is another): processor time and memory are shown.
    #[arg(long)]
    pid: Vec<i32>,
    /// Speak HTTP/2 instead of HTTP/1.1, which the reference figures were measured with.
    #[arg(long)]
    http2: bool,
    #[command(flatten)]
    size: Size,
}

/// How much load.
#[derive(clap::Args, Clone)]
pub struct Size {
    /// How many `ConfigMaps` of 1 kB there are when lists are measured: each number in turn, rising.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    objects: Vec<usize>,
    /// How many gets, patches and pods.
    #[arg(long, default_value_t = 4_000)]
    operations: usize,
    /// How many clients at once, each with a connection of its own.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// How many watchers, each with a connection of its own: each number in turn.
    #[arg(long, value_delimiter = ',', default_value = "200")]
    watchers: Vec<usize>,
    /// How many changes each watcher sees.
    #[arg(long, default_value_t = 300)]
    watched_writes: usize,
    /// The longest a phase may take, in seconds.
    #[arg(long, default_value_t = 60)]
    limit: u64,
}

impl Size {
    /// How many objects there are in the end.
    fn most(&self) -> usize {
        self.objects.iter().copied().max().unwrap_or(0)
    }
}

impl Args {
    /// Loads the server that the kubeconfig names.
    pub async fn run(&self, report: &mut Report) -> Result<()> {
        let target = Target::read(&self.kubeconfig)?.over_http2(self.http2);
        run(&target, &self.pid, &self.size, report).await
    }
}

/// Everything the phases share.
struct Bench<'a> {
    target: &'a Target,
    clients: Vec<Api>,
    pids: &'a [i32],
    size: &'a Size,
    limit: Duration,
    namespace: String,
}

/// Loads a server; what was made is deleted, also after a failure.
pub async fn run(target: &Target, pids: &[i32], size: &Size, report: &mut Report) -> Result<()> {
    if size.clients == 0 || size.most() == 0 {
        bail!("without clients and objects there is nothing to measure");
    }
    let clients = (0..size.clients).map(|_| target.connect()).collect::<Result<Vec<_>>>()?;
    let namespace = format!("lazurite-bench-{}", std::process::id());
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    clients[0].send(Method::POST, "/api/v1/namespaces", Some((JSON, body.to_string()))).await?;
    let limit = Duration::from_secs(size.limit);
    let bench = Bench { target, clients, pids, size, limit, namespace };
    let outcome = bench.phases(report).await;
    let cleaned = bench.clean().await;
    outcome.and(cleaned)
}

impl Bench<'_> {
    async fn phases(&self, report: &mut Report) -> Result<()> {
        let mut there = 0;
        for objects in &self.size.objects {
            self.create(report, there, *objects).await?;
            there = there.max(*objects);
            self.lists(report, there).await?;
        }
        self.get(report).await?;
        self.patch(report).await?;
        self.watch(report).await?;
        self.pods(report).await
    }

    fn config_maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    async fn create(&self, report: &mut Report, from: usize, to: usize) -> Result<()> {
        let path = self.config_maps();
        let name = format!("create ConfigMaps {from}..{to}");
        let load = drive(&name, to - from, &self.clients, self.pids, self.limit, move |index, api| {
            let path = path.clone();
            async move { api.send(Method::POST, &path, Some((JSON, config_map(from + index).to_string()))).await }
        });
        report.load(load.await?);
        Ok(())
    }

    async fn lists(&self, report: &mut Report, objects: usize) -> Result<()> {
        let clients = &self.clients[..self.clients.len().min(LISTERS)];
        // Enough to see a rate, few enough for the largest.
        let few = (120_000 / objects.max(1)).clamp(4, 40);
        for (what, query, accept, count) in [
            ("all", "", JSON, few),
            ("all from the cache", "?resourceVersion=0", JSON, few),
            ("all as protobuf", "", PROTOBUF, few),
            ("all as a table", "", TABLE, few),
            ("a page of 500", "?limit=500", JSON, 40),
            ("a hundred by label", "?labelSelector=bench-hundred%3D3", JSON, 400),
        ] {
            let path = format!("{}{query}", self.config_maps());
            let name = format!("list {what} of {objects}");
            let load = drive(&name, count, clients, self.pids, self.limit, move |_, api| {
                let path = path.clone();
                async move { api.accepting(accept).send(Method::GET, &path, None).await }
            });
            report.load(load.await?);
        }
        Ok(())
    }

    async fn get(&self, report: &mut Report) -> Result<()> {
        let (path, objects) = (self.config_maps(), self.size.most());
        let load =
            drive("get", self.size.operations, &self.clients, self.pids, self.limit, move |index, api| {
                let path = format!("{path}/{}", name_of(spread(index, objects)));
                async move { api.send(Method::GET, &path, None).await }
            });
        report.load(load.await?);
        Ok(())
    }

    async fn patch(&self, report: &mut Report) -> Result<()> {
        let objects = self.size.most();
        let path = self.config_maps();
        let merge = drive(
            "merge patch",
            self.size.operations,
            &self.clients,
            self.pids,
            self.limit,
            move |index, api| {
                let path = format!("{path}/{}", name_of(spread(index, objects)));
                let body = json!({"data": {"patched": index.to_string()}}).to_string();
                async move { api.send(Method::PATCH, &path, Some((MERGE, body))).await }
            },
        );
        report.load(merge.await?);
        let path = self.config_maps();
        let apply = drive(
            "server-side apply",
            self.size.operations,
            &self.clients,
            self.pids,
            self.limit,
            move |index, api| {
                let name = name_of(spread(index, objects));
                let path = format!("{path}/{name}?fieldManager=lazurite-bench&force=true");
                let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                              "data": {"applied": index.to_string()}})
                .to_string();
                async move { api.send(Method::PATCH, &path, Some((APPLY, body))).await }
            },
        );
        report.load(apply.await?);
        Ok(())
    }

    async fn watch(&self, report: &mut Report) -> Result<()> {
        for watchers in &self.size.watchers {
            let plan = watch::Plan {
                target: self.target,
                path: self.config_maps(),
                names: (0..self.size.most().min(10)).map(name_of).collect(),
                watchers: *watchers,
                writes: self.size.watched_writes,
                limit: self.limit,
            };
            report.load(plan.run(&self.clients, self.pids).await?);
        }
        Ok(())
    }

    async fn pods(&self, report: &mut Report) -> Result<()> {
        self.account().await?;
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let load = drive(
            "create Pods",
            self.size.operations,
            &self.clients,
            self.pids,
            self.limit,
            move |index, api| {
                let path = path.clone();
                async move { api.send(Method::POST, &path, Some((JSON, pod(index).to_string()))).await }
            },
        );
        report.load(load.await?);
        Ok(())
    }

    /// Waits for the account that pods run as; makes it where no controller does.
    async fn account(&self) -> Result<()> {
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", self.namespace);
        let begun = Instant::now();
        while begun.elapsed() < ACCOUNT_LIMIT {
            if self.clients[0].send(Method::GET, &format!("{accounts}/default"), None).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        self.clients[0].send(Method::POST, &accounts, Some((JSON, body.to_string()))).await?;
        Ok(())
    }

    /// The namespace's controller may be slow or absent, so the contents go first.
    async fn clean(&self) -> Result<()> {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}).to_string();
        for path in [
            format!("/api/v1/namespaces/{}/pods", self.namespace),
            self.config_maps(),
            format!("/api/v1/namespaces/{}", self.namespace),
        ] {
            self.clients[0].send(Method::DELETE, &path, Some((JSON, now.clone()))).await?;
        }
        Ok(())
    }
}

/// The name of an object.
fn name_of(index: usize) -> String {
    format!("bench-{index:06}")
}

/// An object far from the one before.
fn spread(index: usize, objects: usize) -> usize {
    index * 7919 % objects
}

/// A `ConfigMap` of about 1 kB.
fn config_map(index: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name_of(index), "labels": {"bench-hundred": (index / 100).to_string()}},
        "data": {"seq": "none", "text": "abcdefghijklmnopqrstuvwxyz012345".repeat(32)}})
}

/// A pod nobody schedules.
fn pod(index: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name_of(index), "labels": {"app": "bench"}},
        "spec": {"schedulerName": "nobody", "containers": [{
            "name": "main", "image": "bench:1", "ports": [{"containerPort": 80}],
            "env": [{"name": "A", "value": "b"}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}})
}
