use super::model;
use serde_json::Value;

fn document(path: &str) -> Value {
    serde_json::from_slice(&model().openapi_v3(path).expect(path)).unwrap()
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

#[test]
fn every_document_is_closed() {
    for path in model().openapi_v3_paths() {
        let document = document(&path);
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{path}: {reference}");
        }
    }
    let v2: Value = serde_json::from_slice(&model().openapi_v2()).unwrap();
    let mut found = Vec::new();
    references(&v2, &mut found);
    for reference in found {
        assert!(v2.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn kubectl_finds_what_it_looks_for() {
    let apps = document("apis/apps/v1");
    let patch = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    for parameter in ["fieldValidation", "dryRun", "fieldManager"] {
        assert!(
            patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == parameter),
            "{parameter}"
        );
    }
    assert!(patch["requestBody"]["content"]["application/apply-patch+yaml"].is_object());
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
