use api_model::Model;
use serde_json::{Value, json};

use super::*;
use crate::attributes::fake::Fake;
use crate::attributes::{Notes, Options, UserInfo};

fn judge(limits: Value, plural: &str, object: &mut Value) -> Result<(), String> {
    let model = Model::load("1.35").unwrap();
    let objects = Fake::default();
    objects.put(
        "",
        "limitranges",
        json!({"metadata": {"name": "l", "namespace": "a"}, "spec": {"limits": limits}}),
    );
    let (user, notes) = (UserInfo::default(), Notes::default());
    let mut request = AdmissionRequest {
        operation: Operation::Create,
        resource: model.resource("", "v1", plural).unwrap(),
        subresource: "",
        namespace: "a",
        name: "p",
        user: &user,
        object: Some(object),
        old: None,
        options: Options::DryRun(false),
        notes: &notes,
    };
    default(&mut request, &objects);
    check(&request, &objects).map_err(|error| error.message)
}

fn pod(resources: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "a"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
}

#[test]
fn defaults_are_filled_in_and_said() {
    let mut pod = pod(json!({"limits": {"memory": "1Gi"}}));
    pod["spec"]["initContainers"] = json!([{"name": "i"}]);
    let limits = json!([{"type": "Container", "default": {"cpu": "500m", "memory": "64Mi"}, "defaultRequest": {"cpu": "100m"}}]);
    assert_eq!(judge(limits, "pods", &mut pod), Ok(()));
    let resources = &pod["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}}));
    let said = "LimitRanger plugin set: cpu request for container c; cpu limit for container c; cpu request for init container i; cpu, memory limit for init container i";
    assert_eq!(pod["metadata"]["annotations"][ANNOTATION], said);
}

#[test]
fn refusals_are_in_upstreams_words() {
    let table = [
        (
            json!([{"type": "Container", "min": {"cpu": "100m"}}]),
            json!({}),
            "minimum cpu usage per Container is 100m.  No request is specified",
        ),
        (
            json!([{"type": "Container", "min": {"cpu": "100m"}}]),
            json!({"requests": {"cpu": "50m"}}),
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            json!([{"type": "Container", "max": {"memory": "1Gi"}}]),
            json!({}),
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            json!([{"type": "Pod", "max": {"memory": "1Gi"}}]),
            json!({"limits": {"memory": "2Gi"}}),
            "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
        ),
        (
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]),
            json!({"limits": {"cpu": "3"}, "requests": {"cpu": "1"}}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]),
            json!({"limits": {"cpu": "3"}}),
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            json!([{"type": "Container", "max": {"cpu": "1", "memory": "1Gi"}}]),
            json!({"limits": {"cpu": "2", "memory": "2Gi"}}),
            "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi, but limit is 2Gi]",
        ),
    ];
    for (limits, resources, why) in table {
        let got = judge(limits, "pods", &mut pod(resources));
        assert_eq!(got, Err(format!("pods \"p\" is forbidden: {why}")));
    }
    let limits =
        json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]);
    let mut claim = json!({"metadata": {"name": "p", "namespace": "a"}, "spec": {"resources": {"requests": {"storage": "3Gi"}}}});
    let why = "persistentvolumeclaims \"p\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi";
    assert_eq!(judge(limits, "persistentvolumeclaims", &mut claim), Err(why.to_owned()));
}
