//! Puts back what somebody changes or deletes of managed namespaces inside their clusters.
//!
//! Per cluster that has one: a watch of the metadata of each kind, of labelled objects only. A change adds the cluster to a queue; its
//! reconciler reads the resources and applies all of them again, which changes nothing where nothing differs. A control plane that is
//! away is looked for once a second; nothing else polls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arm::{Ctx, Resource, ResourceId};
use futures::StreamExt;
use kit::Tasks;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use reconcile::{KeyedQueue, Next};
use tokio::sync::watch;

use super::NAMESPACES;
use super::objects::{KINDS, LABEL, Wish, everywhere};
use crate::service::Shared;
use crate::state;

/// Clusters repaired at once.
const WORKERS: usize = 2;
/// Pause before a control plane that went away is looked for, and before a repair that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts the loop.
pub(crate) fn start(shared: &Arc<Shared>, ctx: &Ctx) {
    let queue: KeyedQueue<String> = KeyedQueue::default();
    let (watched, adding, watching) = (ctx.clone(), queue.clone(), shared.clone());
    ctx.tasks.spawn("managed namespaces", async move {
        let mut changed = watched.resources.watch();
        let mut watches: BTreeMap<String, Tasks> = BTreeMap::new();
        loop {
            changed.mark_unchanged();
            let wanted = clusters(&watched);
            watches.retain(|cluster, tasks| {
                wanted.contains(cluster) || {
                    tasks.stop();
                    false
                }
            });
            for cluster in wanted {
                if watches.contains_key(&cluster) {
                    continue;
                }
                let tasks = watched.tasks.child();
                let (shared, queue) = (watching.clone(), adding.clone());
                tasks.spawn("watch of managed namespaces", follow(shared, cluster.clone(), queue));
                watches.insert(cluster, tasks);
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    });
    let (shared, context) = (shared.clone(), ctx.clone());
    queue.drive("managed namespaces' objects", WORKERS, &ctx.tasks, move |cluster| {
        let (shared, ctx) = (shared.clone(), context.clone());
        async move { reconcile(&shared, &ctx, &cluster).await }
    });
}

/// A namespace whose objects shall be in the cluster now.
fn is_kept(namespace: &Resource) -> bool {
    namespace.provisioning_state() == Some("Succeeded")
}

/// Running clusters with such namespaces.
fn clusters(ctx: &Ctx) -> BTreeSet<String> {
    let namespaces = ctx.resources.list_type(&ResourceId::root(), NAMESPACES);
    let tops: BTreeSet<String> = namespaces
        .iter()
        .filter(|namespace| is_kept(namespace))
        .map(|namespace| namespace.id.top().to_string())
        .collect();
    tops.into_iter()
        .filter(|cluster| {
            let found = ResourceId::parse(cluster).ok().and_then(|id| ctx.resources.get(&id));
            found.is_some_and(|cluster| {
                !state::is_stopped(&cluster) && cluster.provisioning_state() != Some("Deleting")
            })
        })
        .collect()
}

/// Watches one cluster until it is stopped from outside.
async fn follow(shared: Arc<Shared>, cluster: String, queue: KeyedQueue<String>) {
    loop {
        if let Ok(client) = shared.planes.administrator(&cluster).await {
            let life = shared.planes.watch_nodes(&cluster);
            events(&client, life, || queue.add(cluster.clone())).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until the control plane behind the client is gone.
async fn events(client: &kube::Client, mut life: watch::Receiver<u64>, seen: impl Fn()) {
    type Metadata = PartialObjectMeta<DynamicObject>;
    let config = watcher::Config::default().labels(&format!("{LABEL}=true"));
    let of_kind =
        |kind| watcher(everywhere::<Metadata>(client, kind), config.clone()).default_backoff().boxed();
    let mut events = futures::stream::select_all(KINDS.map(of_kind));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Init | watcher::Event::InitApply(_))) => {}
                Some(Ok(_)) => seen(),
                Some(Err(error)) => tracing::debug!(error = %kit::Chain(&error), "a watch of managed namespaces broke"),
                None => return,
            },
            alive = life.changed() => if alive.is_err() { return },
        }
    }
}

async fn reconcile(shared: &Shared, ctx: &Ctx, cluster: &str) -> Next {
    let Ok(id) = ResourceId::parse(cluster) else { return Next::Rest };
    let lane = shared.lanes.of(&id);
    let _turn = lane.turn.lock().await;
    if !clusters(ctx).contains(cluster) {
        return Next::Rest;
    }
    let Ok(client) = shared.planes.administrator(cluster).await else { return Next::After(PAUSE) };
    for namespace in ctx.resources.list_type(&id, NAMESPACES).iter().filter(|one| is_kept(one)) {
        if let Err(error) = Wish::of(namespace).make(&client).await {
            let (name, error) = (&namespace.name, kit::Chain(&error));
            tracing::debug!(cluster, name, %error, "a managed namespace cannot be put back yet");
            return Next::After(PAUSE);
        }
    }
    Next::Rest
}
