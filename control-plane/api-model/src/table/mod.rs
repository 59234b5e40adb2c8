//! `Table` output: what `kubectl get` prints. Cells of built-in kinds are computed per kind, as upstream's printers do; custom kinds read
//! their columns' paths.

mod apps;
mod autoscaler;
mod cells;
mod core;
mod custom;
mod node;
mod pod;
mod rest;

use crate::model::Model;
use crate::resource::{Column, Resource};
use cells::{Cells, Row};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What each row carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    Metadata,
    /// All.
    Object,
}

/// Makes the table of some objects of one resource. `now` is what ages count from. List metadata is the caller's to add.
pub fn table(resource: &Resource, objects: &[Value], include: IncludeObject, now: jiff::Timestamp) -> Value {
    let columns = columns(resource);
    let objects = ordered(resource, objects).into_iter();
    assembled(&columns, objects.map(|object| row(resource, &columns, object, include, now)).collect())
}

fn assembled(columns: &[Column], rows: Vec<Value>) -> Value {
    let definitions: Vec<Value> = columns.iter().map(definition).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// Flow schemas are shown as they are asked, by precedence; all others as they come.
fn ordered<'a>(resource: &Resource, objects: &'a [Value]) -> Vec<&'a Value> {
    let mut ordered: Vec<&Value> = objects.iter().collect();
    if resource.kind == "FlowSchema" && !resource.custom {
        let precedence =
            |object: &Value| object.pointer("/spec/matchingPrecedence").and_then(Value::as_i64).unwrap_or(0);
        ordered.sort_by(|a, b| {
            precedence(a)
                .cmp(&precedence(b))
                .then_with(|| cells::text(a, "/metadata/name").cmp(cells::text(b, "/metadata/name")))
        });
    }
    ordered
}

/// The table of one `Scale`, the subresource of many kinds.
pub fn scale_table(model: &Model, scale: &Value, include: IncludeObject, now: jiff::Timestamp) -> Value {
    let column = |name: &str, kind: &str, description: Arc<str>| Column {
        kind: kind.into(),
        name: name.into(),
        format: String::new(),
        ..crate::resource::name_column(description)
    };
    let columns = [
        column("Name", "string", model.usual_column("Name")),
        column(
            "Desired",
            "integer",
            "replicas is the desired number of instances for the scaled object.".into(),
        ),
        column(
            "Available",
            "integer",
            "replicas is the actual number of observed instances of the scaled object.".into(),
        ),
        column("Age", "string", model.usual_column("Age")),
    ];
    let row = Row { object: scale, now };
    let cells = vec![
        row.name(),
        row.number("/spec/replicas").into(),
        row.number("/status/replicas").into(),
        row.age(),
    ];
    assembled(&columns, vec![with_object(cells, None, scale, include)])
}

/// The resource's columns, or name and creation time where it declares none.
fn columns(resource: &Resource) -> Vec<Column> {
    if !resource.columns.is_empty() {
        return resource.columns.clone();
    }
    let name = crate::resource::name_column("".into());
    let created =
        Column { name: "Created At".into(), format: String::new(), kind: "date".into(), ..name.clone() };
    vec![name, created]
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": &*column.description, "priority": column.priority,
    })
}

fn row(
    resource: &Resource,
    columns: &[Column],
    object: &Value,
    include: IncludeObject,
    now: jiff::Timestamp,
) -> Value {
    let this = Row { object, now };
    let mut cells = if resource.custom { custom::cells(columns, &this) } else { built_in(resource, &this) };
    cells.resize(columns.len(), Value::Null);
    with_object(cells, finished(resource, object), object, include)
}

fn with_object(cells: Cells, conditions: Option<Value>, object: &Value, include: IncludeObject) -> Value {
    let mut row = Map::from_iter([("cells".to_owned(), Value::Array(cells))]);
    if let Some(conditions) = conditions {
        row.insert("conditions".into(), conditions);
    }
    match include {
        IncludeObject::None => {}
        IncludeObject::Object => {
            row.insert("object".into(), object.clone());
        }
        IncludeObject::Metadata => {
            let metadata = object.get("metadata").cloned().unwrap_or_else(|| json!({}));
            let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            row.insert("object".into(), partial);
        }
    }
    Value::Object(row)
}

fn built_in(resource: &Resource, row: &Row<'_>) -> Cells {
    let kind = (resource.group.as_str(), resource.kind.as_str());
    core::cells(kind, row)
        .or_else(|| apps::cells(kind, row))
        .or_else(|| rest::cells(kind, row))
        .unwrap_or_else(|| fallback(resource, row))
}

/// Name, then age or creation time where there is such a column.
fn fallback(resource: &Resource, row: &Row<'_>) -> Cells {
    let created = || row.text("/metadata/creationTimestamp").into();
    if resource.columns.is_empty() {
        return vec![row.name(), created()];
    }
    resource
        .columns
        .iter()
        .map(|column| match column.name.as_str() {
            "Name" => row.name(),
            "Age" => row.age(),
            "Created At" => created(),
            _ => "".into(),
        })
        .collect()
}

/// Pods that ended are marked, so that clients can hide them.
fn finished(resource: &Resource, object: &Value) -> Option<Value> {
    if resource.kind != "Pod" || !resource.group.is_empty() {
        return None;
    }
    let (reason, message) = match object.pointer("/status/phase")?.as_str()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}
