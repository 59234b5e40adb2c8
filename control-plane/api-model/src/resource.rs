//! What the server serves: resources, their subresources, columns and groups.

use crate::schema::{Schema, custom};
use serde_json::Value;
use std::sync::Arc;

/// One resource of one group and version.
#[derive(Debug, Clone)]
pub struct Resource {
    /// API group; empty for the old one.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind of the objects.
    pub kind: String,
    /// Name in paths.
    pub plural: String,
    /// Name of one, lower case.
    pub singular: String,
    /// Abbreviations (`po`).
    pub short_names: Vec<String>,
    /// Groupings (`all`).
    pub categories: Vec<String>,
    /// Lives in a namespace.
    pub namespaced: bool,
    /// `create`, `get`, …, sorted.
    pub verbs: Vec<String>,
    /// `status`, `scale`, ….
    pub subresources: Vec<Subresource>,
    /// What its objects hold.
    pub schema: Arc<Schema>,
    /// Printer columns.
    pub columns: Vec<Column>,
    /// Fields a field selector may name, `metadata.name` and `metadata.namespace` first.
    pub field_labels: Vec<String>,
    /// From a CustomResourceDefinition.
    pub custom: bool,
    /// The version upstream stores its objects in, which its `storageVersionHash` tells.
    pub storage_version: String,
}

/// A subresource.
#[derive(Debug, Clone)]
pub struct Subresource {
    /// Last part of the path.
    pub name: String,
    /// Group of its kind.
    pub group: String,
    /// Version of its kind.
    pub version: String,
    /// Kind of what is sent and answered.
    pub kind: String,
    /// Verbs, sorted.
    pub verbs: Vec<String>,
}

/// A printer column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: String,
    /// `name` for the first column.
    pub format: String,
    /// Documentation.
    pub description: Arc<str>,
    /// 0 always shown, 1 only wide.
    pub priority: i64,
    /// Where a custom kind's column is read from; empty for built-in kinds.
    pub json_path: String,
}

/// A group and its versions, for discovery.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name; empty for the old one.
    pub name: String,
    /// Versions, preferred first.
    pub versions: Vec<String>,
}

/// All verbs of a plain resource, sorted.
pub const ALL_VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`, as messages name it.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Path of its group and version: `api/v1`, `apis/apps/v1`.
    pub fn group_path(&self) -> String {
        if self.group.is_empty() {
            format!("api/{}", self.version)
        } else {
            format!("apis/{}/{}", self.group, self.version)
        }
    }

    /// The subresource with that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Kind of its lists.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// The resource that a CustomResourceDefinition declares in one version. `None` when the object is not a definition, has no such
    /// version or does not serve it.
    pub fn from_definition(model: &crate::Model, definition: &Value, version: &str) -> Option<Resource> {
        let root = custom::declared(definition, version);
        let found = definition["spec"]["versions"].as_array()?.iter().find(|v| v["name"] == version)?;
        let status = found.pointer("/subresources/status").is_some();
        let schema = custom::compile(model.types().clone(), root.as_ref(), status);
        Self::with_schema(model, definition, version, schema)
    }

    /// The same with the schema of that version, compiled.
    pub fn with_schema(
        model: &crate::Model,
        definition: &Value,
        version: &str,
        schema: Arc<Schema>,
    ) -> Option<Resource> {
        let spec = definition.get("spec")?;
        let names = spec.get("names")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts =
            |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>();
        let found = spec["versions"].as_array()?.iter().find(|v| v["name"] == version)?;
        if found["served"] != Value::Bool(true) {
            return None;
        }
        let (group, kind) = (text(&spec["group"])?, text(&names["kind"])?);
        let mut labels = vec!["metadata.name".to_owned(), "metadata.namespace".to_owned()];
        for field in found["selectableFields"].as_array().into_iter().flatten() {
            labels.extend(field["jsonPath"].as_str().map(|p| p.trim_start_matches('.').to_owned()));
        }
        Some(Resource {
            version: version.to_owned(),
            plural: text(&names["plural"])?,
            singular: text(&names["singular"]).unwrap_or_else(|| kind.to_lowercase()),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            namespaced: spec["scope"] == "Namespaced",
            verbs: ALL_VERBS.iter().map(|v| (*v).to_owned()).collect(),
            subresources: custom_subresources(&found["subresources"], &group, version, &kind),
            schema,
            columns: custom_columns(&found["additionalPrinterColumns"], &|name| model.usual_column(name)),
            field_labels: labels,
            custom: true,
            storage_version: storage_version(spec).unwrap_or_else(|| version.to_owned()),
            group,
            kind,
        })
    }
}

/// The version of a definition that says `storage`.
fn storage_version(spec: &Value) -> Option<String> {
    let versions = spec["versions"].as_array()?;
    let stored = versions.iter().find(|version| version["storage"] == Value::Bool(true))?;
    stored["name"].as_str().map(str::to_owned)
}

fn custom_subresources(declared: &Value, group: &str, version: &str, kind: &str) -> Vec<Subresource> {
    let verbs: Vec<String> = ["get", "patch", "update"].iter().map(|v| (*v).to_owned()).collect();
    let mut all = Vec::new();
    if declared.get("status").is_some() {
        let (group, version, kind) = (group.to_owned(), version.to_owned(), kind.to_owned());
        all.push(Subresource { name: "status".into(), group, version, kind, verbs: verbs.clone() });
    }
    if declared.get("scale").is_some() {
        all.push(Subresource {
            name: "scale".into(),
            group: "autoscaling".into(),
            version: "v1".into(),
            kind: "Scale".into(),
            verbs,
        });
    }
    all
}

fn custom_columns(declared: &Value, usual: &dyn Fn(&str) -> Arc<str>) -> Vec<Column> {
    let mut columns = vec![name_column(usual("Name"))];
    match declared.as_array() {
        Some(declared) if !declared.is_empty() => columns.extend(declared.iter().map(|c| Column {
            name: c["name"].as_str().unwrap_or_default().to_owned(),
            kind: c["type"].as_str().unwrap_or("string").to_owned(),
            format: c["format"].as_str().unwrap_or_default().to_owned(),
            description: c["description"].as_str().unwrap_or_default().into(),
            priority: c["priority"].as_i64().unwrap_or(0),
            json_path: c["jsonPath"].as_str().unwrap_or_default().to_owned(),
        })),
        _ => columns.push(Column {
            name: "Age".into(),
            kind: "date".into(),
            format: String::new(),
            description: usual("Age"),
            priority: 0,
            json_path: ".metadata.creationTimestamp".into(),
        }),
    }
    columns
}

/// The column that all kinds begin with.
pub(crate) fn name_column(description: Arc<str>) -> Column {
    Column {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description,
        priority: 0,
        json_path: String::new(),
    }
}
