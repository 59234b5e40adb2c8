use super::{model, models};
use api_model::Resource;
use api_model::openapi::Document;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn read(document: &Document) -> Value {
    serde_json::from_slice(&document.plain()).unwrap()
}

fn document(path: &str) -> Value {
    read(&model().openapi_v3(path).expect(path))
}

/// Every `$ref` in the document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

fn assert_closed(document: &Value, name: &str) {
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{name}: {reference}");
    }
}

#[test]
fn every_document_is_closed() {
    for model in models() {
        let start = std::time::Instant::now();
        let (mut bytes, mut zipped) = (0, 0);
        // One minor version in full; of the others the largest and the one with news.
        let whole = model.minor() == "1.35";
        let of_interest =
            |path: &String| whole || path == "api/v1" || path.starts_with("apis/admissionregistration");
        for path in model.openapi_v3_paths().into_iter().filter(of_interest) {
            let document = model.openapi_v3(&path).expect(&path);
            (bytes, zipped) = (bytes + document.length(), zipped + document.gzip().len());
            assert_closed(&read(&document), &path);
        }
        let all = start.elapsed();
        let v2 = model.openapi_v2(&[]);
        eprintln!(
            "{}: v3 {bytes} bytes, {zipped} compressed, in {all:?}; v2 {v2:?} in {:?}",
            model.minor(),
            start.elapsed() - all
        );
        assert_closed(&read(&v2), "v2");
    }
}

/// Letters and digits alone: generators disagree on where words end.
fn bare(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// `method path class name`, of the Python client that is generated from upstream's document.
fn expected(minor: &str) -> BTreeSet<String> {
    let mut lines: Vec<&str> = include_str!("../expected/1.35.operations").lines().collect();
    if minor == "1.36" {
        lines.extend(include_str!("../expected/1.36.operations").lines());
    }
    let line = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [method, path, class, name] = words[..] else { panic!("{line}") };
        format!("{method} {path} {} {}", bare(class), bare(name))
    };
    // The log files of the server's host are not shown.
    lines.iter().filter(|line| !line.starts_with('#') && !line.contains(" /logs/")).map(line).collect()
}

#[test]
fn every_operation_of_upstream_is_there_and_no_other() {
    for model in models() {
        let document = read(&model.openapi_v2(&[]));
        let mut found = BTreeSet::new();
        for (path, item) in
            document["paths"].as_object().unwrap().iter().filter(|(path, _)| !path.contains("/watch/"))
        {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
            {
                // The client takes the group and version out of the name: `readCoreV1Pod` is `read_pod` of `CoreV1Api`.
                let tag = bare(operation["tags"][0].as_str().unwrap());
                let id = bare(operation["operationId"].as_str().unwrap());
                let name = if tag == "openid" { id } else { id.replacen(&tag, "", 1) };
                found.insert(format!("{} {path} {tag} {name}", method.to_uppercase()));
            }
        }
        let expected = expected(model.minor());
        let missing: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{}: missing {missing:#?}, more {more:#?}",
            model.minor()
        );
    }
}

#[test]
fn kubectl_finds_what_it_looks_for() {
    let apps = document("apis/apps/v1");
    let patch = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    assert_eq!(patch["x-kubernetes-action"], "patch");
    for parameter in ["fieldValidation", "dryRun", "fieldManager"] {
        assert!(
            patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == parameter),
            "{parameter}"
        );
    }
    assert!(patch["requestBody"]["content"]["application/apply-patch+yaml"].is_object());
    let list = &apps["paths"]["/apis/apps/v1/deployments"];
    assert!(list["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "sendInitialEvents"));
    let deployment = &apps["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(deployment["x-kubernetes-group-version-kind"][0]["group"], "apps");
    assert!(deployment["description"].as_str().unwrap().contains("declarative updates"));
    let containers = &apps["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(
        (&containers["x-kubernetes-patch-merge-key"], &containers["x-kubernetes-patch-strategy"]),
        (&"name".into(), &"merge".into())
    );
    assert!(containers["description"].as_str().unwrap().starts_with("List of containers"));
    assert!(model().openapi_v3("apis/none/v1").is_none());
}

/// Properties upstream has no word about either, or of types that have none; by how they begin.
const SILENT: [&str; 6] = [
    "api.certificates.v1.CertificateSigningRequest.metadata",
    "api.certificates.v1.CertificateSigningRequestList.metadata",
    "api.networking.v1.IngressRule.http",
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.ExternalDocumentation.",
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps.",
    "apimachinery.pkg.apis.meta.v1.WatchEvent.type",
];

#[test]
fn every_kind_and_field_is_explained() {
    for model in models() {
        let document = read(&model.openapi_v2(&[]));
        let definitions = document["definitions"].as_object().unwrap();
        let mut silent = BTreeSet::new();
        for (name, schema) in definitions {
            let name = name.trim_start_matches("io.k8s.");
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                if property["description"].as_str().is_none_or(str::is_empty) {
                    silent.insert(format!("{name}.{field}"));
                }
            }
        }
        silent.retain(|field| !SILENT.iter().any(|known| field.starts_with(known)));
        assert!(silent.is_empty(), "{}: {silent:#?}", model.minor());
        for resource in model.resources() {
            let name = format!("io.k8s.{}", resource.schema.name().unwrap());
            assert!(definitions[&name]["description"].is_string(), "{name}");
        }
    }
}

fn widget() -> (Resource, Value) {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "color": {"type": "string", "description": "Its color.", "nullable": true},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true}}, "required": ["color", "size"]}}});
    let definition = json!({"spec": {"group": "stable.example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}]}});
    (Resource::from_definition(model(), &definition, "v1").unwrap(), schema)
}

#[test]
fn custom_kinds_are_published_in_both_versions() {
    let (resource, schema) = widget();
    let v3 = read(&model().openapi_v3_custom(&[(&resource, &schema)]));
    assert_closed(&v3, "v3");
    let own = &v3["components"]["schemas"]["com.example.stable.v1.Widget"];
    assert_eq!(own["properties"]["spec"]["properties"]["color"]["nullable"], true);
    assert_eq!(own["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
    assert!(own["properties"]["spec"]["properties"]["template"]["properties"]["metadata"].is_object());
    let patch = &v3["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_null());
    assert_eq!(patch["operationId"], "patchStableExampleComV1NamespacedWidget");
    let v2 = read(&model().openapi_v2(&[(&resource, &schema)]));
    assert_closed(&v2, "v2");
    let spec = &v2["definitions"]["com.example.stable.v1.Widget"]["properties"]["spec"];
    assert_eq!(spec["properties"]["color"], json!({"description": "Its color."}));
    assert_eq!(spec["properties"]["free"].get("properties"), None);
    assert_eq!(spec["properties"]["size"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(spec["required"], json!(["size"]));
    assert!(v2["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
}

/// Number and bytes of each field of a message that are length-delimited.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes);
        match tag & 7 {
            0 => _ = number(&mut bytes),
            1 => bytes = &bytes[8..],
            2 => {
                let length = number(&mut bytes) as usize;
                found.push((tag >> 3, &bytes[..length]));
                bytes = &bytes[length..];
            }
            other => panic!("wire type {other}"),
        }
    }
    found
}

fn inner<'a>(bytes: &'a [u8], number: u64) -> Vec<&'a [u8]> {
    fields(bytes).into_iter().filter(|(known, _)| *known == number).map(|(_, bytes)| bytes).collect()
}

/// The value that a list of pairs has under a name.
fn named<'a>(pairs: &[&'a [u8]], name: &str) -> &'a [u8] {
    let pair = pairs.iter().find(|pair| inner(pair, 1)[0] == name.as_bytes()).expect(name);
    inner(pair, 2)[0]
}

#[test]
fn the_binary_document_says_what_the_json_says() {
    let start = std::time::Instant::now();
    let binary = model().openapi_v2_binary(&[]);
    eprintln!("{binary:?} in {:?}", start.elapsed());
    let (binary, json) = (binary.plain(), read(&model().openapi_v2(&[])));
    assert_eq!(inner(&binary, 1), [b"2.0"]);
    let paths = inner(inner(&binary, 8)[0], 2);
    assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
    let definitions = inner(inner(&binary, 9)[0], 1);
    assert_eq!(definitions.len(), json["definitions"].as_object().unwrap().len());
    let spec = named(&definitions, "io.k8s.api.core.v1.PodSpec");
    let properties = inner(inner(spec, 25)[0], 1);
    let containers = named(&properties, "containers");
    let extensions = inner(containers, 31);
    assert_eq!(inner(named(&extensions, "x-kubernetes-patch-merge-key"), 2), [b"\"name\""]);
    assert_eq!(
        inner(inner(inner(containers, 23)[0], 1)[0], 1),
        [b"#/definitions/io.k8s.api.core.v1.Container"]
    );
    // How kubectl finds out whether a kind's patch takes `fieldValidation`.
    let item = named(&paths, "/api/v1/namespaces/{namespace}/pods/{name}");
    let patch = inner(item, 8)[0];
    let gvk = inner(named(&inner(patch, 13), "x-kubernetes-group-version-kind"), 2)[0];
    assert_eq!(
        serde_json::from_slice::<Value>(gvk).unwrap(),
        json!({"group": "", "version": "v1", "kind": "Pod"})
    );
    let shared = inner(inner(&binary, 10)[0], 1);
    let names: Vec<String> = inner(patch, 8)
        .iter()
        .flat_map(|parameter| inner(parameter, 2))
        .map(|reference| String::from_utf8_lossy(inner(reference, 1)[0]).replace("#/parameters/", ""))
        .map(|name| {
            let query = inner(inner(named(&shared, &name), 2)[0], 3)[0];
            String::from_utf8_lossy(inner(query, 4)[0]).into_owned()
        })
        .collect();
    assert!(names.iter().any(|name| name == "fieldValidation"), "{names:?}");
}
