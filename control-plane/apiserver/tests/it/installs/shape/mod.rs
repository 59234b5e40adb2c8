//! Installs as large as cert-manager's, Argo's and Flux's: 100 definitions and 500 objects, made here, the same each time.

mod certificates;
mod cluster;
pub mod kind;
pub mod schema;
mod sources;
mod workflows;

use serde_json::{Value, json};

use cluster::Product;
use kind::Kind;

/// Where the webhooks are that an install brings.
pub struct Hooks {
    /// The node through whose tunnel they are reached.
    pub node: String,
    /// The CA bundle that trusts them, base64.
    pub bundle: String,
}

impl Hooks {
    /// A `clientConfig` for a path behind the Service `webhook` of a namespace.
    pub fn client(&self, namespace: &str, path: &str) -> Value {
        json!({"caBundle": self.bundle, "service": {"namespace": namespace, "name": "webhook", "path": path, "port": 443}})
    }
}

/// One product's install.
pub struct Shape {
    pub name: &'static str,
    pub namespace: &'static str,
    pub kinds: &'static [Kind],
    /// Its custom resource definitions.
    pub definitions: Vec<Value>,
    /// Its namespace.
    pub home: Value,
    /// Built-in objects in it and beside it.
    pub objects: Vec<Value>,
    /// Objects of its own kinds, each with the number of its kind.
    pub customs: Vec<(usize, Value)>,
}

static PRODUCTS: [(Product, &[Kind], usize, bool); 3] = [
    (
        Product {
            name: "cert-manager",
            namespace: "cert-manager",
            components: &["controller", "webhook-server", "cainjector", "trust"],
            groups: &["cert-manager.installs.test", "acme.cert-manager.installs.test"],
        },
        &certificates::KINDS,
        44,
        true,
    ),
    (
        Product {
            name: "argo",
            namespace: "argo",
            components: &[
                "server",
                "workflow-controller",
                "repo-server",
                "application-controller",
                "applicationset-controller",
                "redis",
                "dex",
                "notifications",
                "events-controller",
                "rollouts-controller",
            ],
            groups: &["argo.installs.test", "events.argo.installs.test"],
        },
        &workflows::KINDS,
        79,
        false,
    ),
    (
        Product {
            name: "flux",
            namespace: "flux-system",
            components: &[
                "source-controller",
                "kustomize-controller",
                "helm-controller",
                "notification-controller",
                "image-reflector-controller",
                "image-automation-controller",
                "source-watcher",
                "operator",
                "dashboard",
                "mirror",
                "archiver",
                "janitor",
            ],
            groups: &[
                "source.flux.installs.test",
                "kustomize.flux.installs.test",
                "helm.flux.installs.test",
                "notification.flux.installs.test",
                "image.flux.installs.test",
            ],
        },
        &sources::KINDS,
        52,
        true,
    ),
];

/// The three installs.
pub fn all(hooks: &Hooks) -> Vec<Shape> {
    let described = [schema::Types::load("1.35", false), schema::Types::load("1.35", true)];
    let made = |(product, kinds, customs, says): &'static (Product, &'static [Kind], usize, bool)| {
        let converter = hooks.client(product.namespace, "/convert");
        let types = &described[usize::from(*says)];
        Shape {
            name: product.name,
            namespace: product.namespace,
            kinds,
            definitions: kinds.iter().map(|kind| kind.definition(types, product.name, &converter)).collect(),
            home: product.namespace(),
            objects: product.objects(hooks),
            customs: (0..*customs)
                .map(|number| (number % kinds.len(), number / kinds.len()))
                .map(|(kind, number)| (kind, kinds[kind].object(number, product.namespace, product.name)))
                .collect(),
        }
    };
    PRODUCTS.iter().map(made).collect()
}

/// Documents of a YAML stream.
pub fn yaml<'a>(objects: impl IntoIterator<Item = &'a Value>) -> String {
    objects.into_iter().map(|one| format!("---\n{}", serde_yaml_ng::to_string(one).unwrap())).collect()
}

#[test]
fn they_are_as_large_as_said() {
    let hooks = Hooks { node: "n1".to_owned(), bundle: String::new() };
    let shapes = all(&hooks);
    let definitions: Vec<&Value> = shapes.iter().flat_map(|shape| &shape.definitions).collect();
    let objects: usize = shapes.iter().map(|shape| 1 + shape.objects.len() + shape.customs.len()).sum();
    assert_eq!((definitions.len(), objects), (100, 500));
    let mut sizes: Vec<(usize, usize)> = definitions
        .iter()
        .map(|one| (schema::fields(&one["spec"]["versions"][0]["schema"]), one.to_string().len()))
        .collect();
    sizes.sort_unstable();
    let all: usize = sizes.iter().map(|(fields, _)| fields).sum();
    println!(
        "smallest {:?}, median {:?}, largest {:?}, together {all} fields",
        sizes[0], sizes[50], sizes[99]
    );
    assert!(sizes[0].0 > 20 && sizes[50].0 > 100 && sizes[99].0 > 3000, "{sizes:?}");
    // The same each time.
    let again = super::shape::all(&hooks);
    assert!(
        shapes
            .iter()
            .zip(&again)
            .all(|(one, two)| one.definitions == two.definitions && one.objects == two.objects)
    );
}
