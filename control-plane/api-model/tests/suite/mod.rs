mod apply;
mod apply_algebra;
mod apply_cases;
mod convert;
mod diffs;
mod hostile;
mod made;
mod model;
mod openapi;
mod patches;
mod protobuf;
mod quantity;
mod schema;
mod selectors;
mod settled;
mod tables;
mod validation;

use api_model::{Model, Resource};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

pub fn model() -> &'static Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| Model::load("1.35").expect("the built-in corpus"))
}

/// The models of all minor versions.
pub fn models() -> &'static [Arc<Model>] {
    static MODELS: OnceLock<Vec<Arc<Model>>> = OnceLock::new();
    let load = |minor: &&str| Model::load(minor).expect("the built-in corpus");
    MODELS.get_or_init(|| api_model::model::MINORS.iter().map(load).collect())
}

pub fn resource(group: &str, plural: &str) -> &'static Resource {
    model().resource(group, "v1", plural).expect(plural)
}

/// A table of hand-worked cases.
pub fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/cases/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    match api_model::decode::yaml(&bytes).unwrap_or_else(|error| panic!("{path}: {error}")).value {
        Value::Array(cases) => cases,
        other => panic!("{path} is no list: {other}"),
    }
}
