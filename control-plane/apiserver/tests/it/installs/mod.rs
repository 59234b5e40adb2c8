//! Whole installs, as large as the well-known ones, brought by those who bring them: kubectl and Helm.

mod applied;
mod charts;
mod figures;
mod hooks;
mod shape;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::every_verb::{Listed, listed};
use crate::harness::Server;
use crate::kubectl::Kubectl;
use hooks::Asked;
use shape::Shape;

const NAMESPACES: [&str; 3] = ["cert-manager", "argo", "flux-system"];

/// A cluster, a program, and what to install.
struct World {
    cluster: Kubectl,
    shapes: Vec<Shape>,
    asked: Asked,
}

impl World {
    async fn start(program: Option<PathBuf>) -> Option<Self> {
        let cluster = match program {
            Some(program) => Kubectl::start_with(program).await?,
            None => Kubectl::start().await?,
        };
        let (hooks, asked) = hooks::serve(&cluster.server, &NAMESPACES).await;
        let shapes = shape::all(&hooks);
        Some(Self { cluster, shapes, asked })
    }

    fn server(&self) -> &Server {
        &self.cluster.server
    }

    /// Writes a file where the program runs.
    fn write(&self, path: &str, text: &str) {
        let path = self.cluster.home().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[track_caller]
    fn well(&self, ran: (bool, String)) -> String {
        assert!(ran.0, "{}", head(&ran.1));
        ran.1
    }

    /// What is there, by path, with its resource version.
    async fn there(&self, objects: impl IntoIterator<Item = &Value>) -> BTreeMap<String, String> {
        let known = listed(self.server()).await;
        let mut found = BTreeMap::new();
        for object in objects {
            let path = path(&known, object);
            let seen = self.server().get(&path).await.ok();
            found.insert(path, seen["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
        }
        found
    }
}

/// The path of an object, by what discovery says.
fn path(known: &[Listed], object: &Value) -> String {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let is_it = |one: &&Listed| one.group_version == version && one.kind == kind && !one.name.contains('/');
    let plural =
        known.iter().find(is_it).unwrap_or_else(|| panic!("{version} {kind} is not served")).name.clone();
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let name = object["metadata"]["name"].as_str().unwrap();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{root}/{version}/{plural}/{name}"),
    }
}

/// The first lines of a long output that say more than that all went well.
fn head(text: &str) -> String {
    let well = [" serverside-applied", " created", " unchanged", "deleted"];
    let lines = text.lines().filter(|line| !well.iter().any(|end| line.ends_with(end)));
    lines.take(20).map(|line| format!("{}\n", line.chars().take(1200).collect::<String>())).collect()
}

/// Every definition is established, and its names are its own.
async fn all_established(world: &World) {
    for shape in &world.shapes {
        for kind in shape.kinds {
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", kind.name());
            let found = world.server().get(&path).await.ok();
            for wanted in ["NamesAccepted", "Established"] {
                let conditions = found["status"]["conditions"].as_array().unwrap();
                let condition = conditions.iter().find(|one| one["type"] == wanted).unwrap();
                assert_eq!(condition["status"], "True", "{}: {condition}", kind.name());
            }
            assert!(
                found["status"]["conditions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|one| one["type"] != "NonStructuralSchema"),
                "{}",
                kind.name()
            );
        }
    }
}
