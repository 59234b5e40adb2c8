//! Installs that kubectl applies.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::shape::kind::Kind;
use super::shape::{Shape, yaml};
use super::{World, all_established, head, path};
use crate::every_verb::listed;

/// The files of an install: what is installed, and what its users make.
fn write(world: &World, shape: &Shape) {
    let at = |file: &str| format!("{}/{file}", shape.name);
    world.write(&at("install/10-namespace.yaml"), &yaml([&shape.home]));
    world.write(&at("install/20-definitions.yaml"), &yaml(&shape.definitions));
    world.write(&at("install/30-objects.yaml"), &yaml(&shape.objects));
    world.write(&at("customs/40-customs.yaml"), &yaml(shape.customs.iter().map(|(_, custom)| custom)));
}

fn whole(world: &World) -> Vec<&Value> {
    world
        .shapes
        .iter()
        .flat_map(|shape| {
            let customs = shape.customs.iter().map(|(_, custom)| custom);
            std::iter::once(&shape.home).chain(&shape.definitions).chain(&shape.objects).chain(customs)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_installs_apply_at_once_and_a_second_time_change_nothing() {
    let Some(world) = World::start(None).await else { return };
    for shape in &world.shapes {
        write(&world, shape);
        let install = format!("apply --server-side -f {}/install", shape.name);
        let text = world.well(world.cluster.run(&install, "").await);
        let applied = text.lines().filter(|line| line.ends_with(" serverside-applied")).count();
        assert_eq!(applied, 1 + shape.definitions.len() + shape.objects.len(), "{}", head(&text));
        // The kinds are there for whoever comes next: nobody waits.
        let customs = format!("apply --server-side -f {}/customs", shape.name);
        let text = world.well(world.cluster.run(&customs, "").await);
        assert_eq!(
            text.lines().filter(|line| line.ends_with(" serverside-applied")).count(),
            shape.customs.len()
        );
    }
    all_established(&world).await;
    let customs: usize = world.shapes.iter().map(|shape| shape.customs.len()).sum();
    let asked = world.asked.lock().clone();
    assert!(
        asked["/mutate"] >= customs && asked["/validate"] >= customs && asked["/convert"] > 0,
        "{asked:?}"
    );
    let before = world.there(whole(&world)).await;
    assert_eq!(before.len(), 600);
    for shape in &world.shapes {
        let again = format!("apply --server-side -f {}/install -f {}/customs", shape.name, shape.name);
        let text = world.well(world.cluster.run(&again, "").await);
        let applied = text.lines().filter(|line| line.ends_with(" serverside-applied")).count();
        let expected = 1 + shape.definitions.len() + shape.objects.len() + shape.customs.len();
        assert_eq!(applied, expected, "{}", head(&text));
    }
    // Every object was asked for again, each with its webhooks, and none was written.
    assert_eq!(changed(&before, &world.there(whole(&world)).await), Vec::<&String>::new());
}

fn changed<'a>(before: &'a BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<&'a String> {
    before.iter().filter(|(path, version)| after.get(*path) != Some(*version)).map(|(path, _)| path).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn definitions_and_their_objects_in_one_directory_take_two_runs_as_everywhere() {
    let Some(world) = World::start(None).await else { return };
    let shape = &world.shapes[2];
    write(&world, shape);
    let arguments = format!("apply --server-side -R -f {}", shape.name);
    // kubectl looks up the kinds of all files before it sends the first: the others are sent, these are named.
    let (succeeded, text) = world.cluster.run(&arguments, "").await;
    assert!(!succeeded);
    let unknown = text.lines().filter(|line| line.contains("no matches for kind")).count();
    let applied = text.lines().filter(|line| line.ends_with(" serverside-applied")).count();
    assert_eq!(
        (unknown, applied),
        (shape.customs.len(), 1 + shape.definitions.len() + shape.objects.len()),
        "{}",
        head(&text)
    );
    assert!(text.contains("ensure CRDs are installed first"));
    let text = world.well(world.cluster.run(&arguments, "").await);
    let applied = text.lines().filter(|line| line.ends_with(" serverside-applied")).count();
    assert_eq!(applied, 1 + shape.definitions.len() + shape.objects.len() + shape.customs.len());
    let known = listed(world.server()).await;
    for (_, custom) in &shape.customs {
        world.server().get(&path(&known, custom)).await.ok();
    }
    // Definitions take their objects with them.
    let gone = format!("delete --wait=true --timeout=60s -f {}/install/20-definitions.yaml", shape.name);
    world.well(world.cluster.run(&gone, "").await);
    for kind in shape.kinds {
        let definition = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", kind.name());
        world.server().get(&definition).await.refused(404);
        let version = format!("/apis/{}/{}", kind.group, kind.versions[0]);
        assert_eq!(world.server().get(&version).await.status, 404, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_small_enough_applies_from_the_client_too() {
    const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
    let Some(world) = World::start(None).await else { return };
    let shape = &world.shapes[2];
    let (small, large): (Vec<Value>, Vec<Value>) = shape
        .definitions
        .iter()
        .cloned()
        .partition(|one| one.to_string().len() + 1024 < ANNOTATIONS_BYTES_MAX);
    assert!(small.len() >= 30, "{}", small.len());
    let customs: Vec<&Value> = shape.customs.iter().map(|(_, custom)| custom).collect();
    let place = Path::new(shape.name);
    let file = |name: &str| place.join(name).display().to_string();
    world.write(&file("small.yaml"), &(yaml([&shape.home]) + &yaml(&small) + &yaml(&shape.objects)));
    world.write(&file("large.yaml"), &yaml(&large));
    world.write(&file("customs.yaml"), &yaml(customs.iter().copied()));
    let text = world.well(world.cluster.run(&format!("apply -f {}", file("small.yaml")), "").await);
    assert_eq!(
        text.lines().filter(|line| line.ends_with(" created")).count(),
        1 + small.len() + shape.objects.len(),
        "{}",
        head(&text)
    );
    if !large.is_empty() {
        let (succeeded, text) = world.cluster.run(&format!("apply -f {}", file("large.yaml")), "").await;
        assert!(
            !succeeded && text.contains("metadata.annotations: Too long: may not be more than 262144 bytes"),
            "{}",
            head(&text)
        );
        world.well(world.cluster.run(&format!("create -f {}", file("large.yaml")), "").await);
    }
    world.well(world.cluster.run(&format!("apply -f {}", file("customs.yaml")), "").await);
    let all: Vec<&Value> =
        std::iter::once(&shape.home).chain(&small).chain(&shape.objects).chain(customs).collect();
    let before = world.there(all.iter().copied()).await;
    let again = format!("apply -f {} -f {}", file("small.yaml"), file("customs.yaml"));
    let text = world.well(world.cluster.run(&again, "").await);
    // Where the server fills in something inside of a list without keys, kubectl sends the list again; it says so, and nothing changes.
    let sent: Vec<&str> = text.lines().filter(|line| line.ends_with(" configured")).collect();
    let in_lists = |kind: &&Kind| kind.pattern.defaults.iter().any(|(pointer, _)| pointer.contains("/0/"));
    let expected: Vec<String> = shape.kinds.iter().filter(in_lists).map(Kind::name).collect();
    let is_expected =
        |line: &&&str| expected.iter().any(|name| line.contains(name.split_once('.').unwrap().1));
    let own: Vec<&&str> = sent.iter().filter(|line| line.contains(".installs.test/")).collect();
    assert!(own.iter().all(|line| is_expected(line)), "{own:?}");
    assert_eq!(
        sent.iter().filter(|line| line.starts_with("customresourcedefinition")).count(),
        0,
        "{sent:?}"
    );
    assert_eq!(text.lines().filter(|line| line.ends_with(" unchanged")).count() + sent.len(), all.len());
    assert_eq!(changed(&before, &world.there(all).await), Vec::<&String>::new());
}
