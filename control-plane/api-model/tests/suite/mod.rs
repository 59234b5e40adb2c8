mod apply;
mod apply_algebra;
mod convert;
mod hostile;
mod model;
mod openapi;
mod patches;
mod protobuf;
mod quantity;
mod schema;
mod selectors;
mod tables;
mod validation;

use api_model::{Model, Resource};
use std::sync::{Arc, OnceLock};

pub fn model() -> &'static Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| Model::load("1.35").expect("the built-in corpus"))
}

pub fn resource(group: &str, plural: &str) -> &'static Resource {
    model().resource(group, "v1", plural).expect(plural)
}
