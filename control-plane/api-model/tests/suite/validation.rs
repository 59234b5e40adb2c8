//! The rules of every kind, held against `tests/validation/*.txt`: what is done to an object, and the causes.
//!
//! ```text
//! kind apps deployments                 the kind (of a version: `autoscaling@v2`; of a minor version: `1.36:apps`) of the cases below
//! base {spec: {…}}                      a good object of it; metadata is added
//! create /spec set {replicas: -1}       the base with a part changed, made
//! ! spec.replicas: Invalid value: …     a cause, in order; none: it is well
//! ~ spec.replicas: odd                  a warning about an object without causes
//! update / set {data: {a: b}}           the base, changed so (also `status`, `resize`, `ephemeralcontainers`)
//! from /spec set {…}                    what the next update changes is not the base, but the base changed so
//! ```
//!
//! Changes are merge patches; a pointer may name a part that is not there yet, and `-` a new item. `UPDATE_EXPECT=1` writes the causes
//! down: read them before they are believed.

use super::{model, resource};
use api_model::validation::{rules_of, validate_create, validate_write, warnings};
use api_model::{Cause, Resource};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

struct Section {
    resource: Option<Resource>,
    base: Value,
    from: Option<Value>,
}

fn ready(r: &Resource, mut object: Value) -> Value {
    r.schema.prune(&mut object);
    r.schema.settle(&mut object);
    r.schema.default(&mut object);
    r.schema.settle(&mut object);
    object
}

fn kind(group: &str, plural: &str) -> Resource {
    if let Some((minor, group)) = group.split_once(':') {
        let minor = super::models().iter().find(|model| model.minor() == minor).unwrap();
        let mut all = minor.resources().iter();
        return all.find(|r| r.group == group && r.plural == plural).unwrap().clone();
    }
    let (group, version) =
        group.split_once('@').map_or((group, None), |(group, version)| (group, Some(version)));
    let group = if group == "core" { "" } else { group };
    match version {
        None => resource(group, plural).clone(),
        Some(version) => model()
            .resources()
            .iter()
            .find(|r| (&*r.group, &*r.version, &*r.plural) == (group, version, plural))
            .unwrap()
            .clone(),
    }
}

fn with_metadata(r: &Resource, mut object: Value) -> Value {
    if object.get("metadata").is_none() {
        object["metadata"] = json!({});
    }
    let metadata = object["metadata"].as_object_mut().unwrap();
    // Questions have no names.
    if !r.group.starts_with("auth") {
        metadata.entry("name").or_insert(json!("a"));
        metadata.entry("uid").or_insert(json!("u"));
    }
    if r.namespaced {
        metadata.entry("namespace").or_insert(json!("n"));
    }
    object
}

fn flow(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Merges `patch` into the part at `pointer`, which need not be there yet.
fn set(object: &mut Value, pointer: &str, patch: Value) {
    let mut at = object;
    for step in pointer.split('/').skip(1).filter(|step| !step.is_empty()) {
        let step = step.replace("~1", "/").replace("~0", "~");
        at = match at {
            Value::Array(items) => {
                let index = if step == "-" { items.len() } else { step.parse().unwrap() };
                if index == items.len() {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            other => {
                if !other.is_object() {
                    *other = json!({});
                }
                other.as_object_mut().unwrap().entry(step).or_insert(Value::Null)
            }
        };
    }
    *at = match (at.take(), patch) {
        (old, patch @ Value::Object(_)) if old.is_object() => api_model::merge::merge_patch(&old, &patch),
        (_, patch) => patch,
    };
}

fn judge(section: &Section, action: &str, pointer: &str, patch: Value) -> Vec<String> {
    let r = section.resource.as_ref().expect("a kind comes first");
    let mut changed =
        section.from.clone().filter(|_| action != "create").unwrap_or_else(|| section.base.clone());
    let old = ready(r, changed.clone());
    if action != "create" {
        changed = old.clone();
    }
    set(&mut changed, pointer, patch);
    let new = ready(r, changed);
    let mut causes = r.schema.validate(&new);
    if causes.is_empty() {
        causes = match action {
            "create" => validate_create(r, &new),
            "update" => validate_write(r, "", &new, &old),
            subresource => validate_write(r, subresource, &new, &old),
        };
    }
    if causes.is_empty() {
        let before = (action != "create").then_some(&old);
        return warnings(r, &new, before).into_iter().map(|text| format!("~ {text}")).collect();
    }
    let text = |cause: &Cause| cause.text().replace('\n', "\\n").replace('\t', "\\t");
    causes.iter().map(|cause| format!("! {}", text(cause))).collect()
}

/// Runs a file; answers it with the causes as they are.
fn run(text: &str) -> String {
    let mut section = Section { resource: None, base: json!({}), from: None };
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with("! ") && !line.starts_with("~ ")) {
        writeln!(out, "{line}").unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "kind" => {
                let (group, plural) = rest.split_once(' ').unwrap();
                section = Section { resource: Some(kind(group, plural)), base: json!({}), from: None };
            }
            "base" => {
                section.base = with_metadata(section.resource.as_ref().unwrap(), flow(rest));
                for line in judge(&section, "create", "", json!({})) {
                    writeln!(out, "{line}").unwrap();
                }
            }
            "from" => {
                let (pointer, patch) = rest.split_once(" set ").unwrap();
                let mut from = section.base.clone();
                set(&mut from, pointer, flow(patch));
                section.from = Some(from);
            }
            "create" | "update" | "status" | "resize" | "ephemeralcontainers" => {
                let (pointer, patch) = rest.split_once(" set ").unwrap_or_else(|| panic!("{line}"));
                for line in judge(&section, word, pointer, flow(patch)) {
                    writeln!(out, "{line}").unwrap();
                }
                section.from = section.from.take().filter(|_| word == "create");
            }
            "" | "#" => {}
            _ => panic!("what is this: {line}"),
        }
    }
    out
}

fn files() -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/validation");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_rule_says_what_upstream_says() {
    for (path, text) in files() {
        expect_test::expect_file![&path].assert_eq(&run(&text));
    }
}

/// The good objects of the files.
fn bases() -> Vec<(Resource, Value)> {
    let mut bases = Vec::new();
    for (_, text) in files() {
        let mut of: Option<Resource> = None;
        for line in text.lines() {
            if let Some((group, plural)) = line.strip_prefix("kind ").and_then(|rest| rest.split_once(' ')) {
                of = Some(kind(group, plural));
            } else if let Some(base) = line.strip_prefix("base ") {
                let r = of.clone().unwrap();
                bases.push((r.clone(), with_metadata(&r, flow(base))));
            }
        }
    }
    bases
}

#[test]
fn every_kind_has_rules_or_a_reason_why_not_and_a_good_object() {
    let bases = bases();
    for r in model().resources() {
        let name = format!("{} {}", r.group, r.plural);
        assert!(rules_of(r).is_some(), "{name}: neither rules nor a reason");
        let version_of_another = r.group == "autoscaling" && r.version == "v1";
        let judged_elsewhere = r.group == "apiextensions.k8s.io" || r.plural == "componentstatuses";
        let has = bases.iter().any(|(of, _)| of.group == r.group && of.plural == r.plural);
        assert!(has || version_of_another || judged_elsewhere, "{name}: no good object in tests/validation");
    }
}

#[test]
fn a_good_object_comes_out_as_it_went_in_plus_defaults() {
    for (r, base) in bases() {
        let mut given = base.clone();
        assert_eq!(
            r.schema.prune(&mut given).iter().map(ToString::to_string).collect::<Vec<_>>(),
            [""; 0],
            "{}",
            r.plural
        );
        let done = ready(&r, base.clone());
        let causes: Vec<String> = validate_create(&r, &done).iter().map(Cause::text).collect();
        assert_eq!(causes, [""; 0], "{} {done}", r.plural);
        assert_eq!(ready(&r, done.clone()), done, "{}: defaults are filled in once", r.plural);
        assert_eq!(validate_write(&r, "", &done, &done), [], "{}", r.plural);
        assert_eq!(lost("", &given, &done), [""; 0], "{}", r.plural);
    }
}

/// What was given and is not there any more, or is another.
fn lost(path: &str, given: &Value, done: &Value) -> Vec<String> {
    match (given, done) {
        (Value::Object(given), Value::Object(done)) => given
            .iter()
            .filter(|(key, _)| *key != "stringData")
            .flat_map(|(key, value)| {
                lost(&format!("{path}/{key}"), value, done.get(key).unwrap_or(&Value::Null))
            })
            .collect(),
        (Value::Array(given), Value::Array(done)) if given.len() == done.len() => given
            .iter()
            .zip(done)
            .enumerate()
            .flat_map(|(i, (a, b))| lost(&format!("{path}/{i}"), a, b))
            .collect(),
        // Amounts are texts.
        (Value::Number(number), Value::String(text)) if number.to_string() == *text => Vec::new(),
        _ if given == done => Vec::new(),
        _ => vec![format!("{path}: {given} became {done}")],
    }
}

#[test]
fn custom_kinds_are_judged_by_their_metadata() {
    let definition = json!({"spec": {"group": "x.io", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"},
        "versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let foo = Resource::from_definition(model(), &definition, "v1").unwrap();
    let judge = |metadata: Value| -> Vec<String> {
        let object = Value::Object(Map::from_iter([("metadata".to_owned(), metadata)]));
        validate_create(&foo, &object).iter().map(|cause| cause.field.clone()).collect()
    };
    assert_eq!(judge(json!({"name": "a", "namespace": "n", "finalizers": ["plain"]})), [""; 0]);
    assert_eq!(
        judge(json!({"name": "A", "namespace": "n", "labels": {"a b": "c"}})),
        ["metadata.name", "metadata.labels"]
    );
}
