use api_model::selector::{FieldSelector, LabelSelector, value_of};
use serde_json::{Value, json};

fn labels(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().unwrap()
}

#[test]
fn label_selectors_match_as_kubectl_users_expect() {
    let have = json!({"app": "web", "tier": "front", "n": "5"});
    let cases = [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        ("app!=web", false),
        ("other!=x", true),
        ("app in (web, db)", true),
        ("app notin (db)", true),
        ("app notin (web)", false),
        ("tier", true),
        ("!tier", false),
        ("!gone", true),
        ("app=web,tier=back", false),
        ("n>4", true),
        ("n<4", false),
        ("app in (db),tier", false),
        ("gone=", false),
    ];
    for (text, expected) in cases {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.matches(Some(labels(&have))), expected, "{text}");
        assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector, "{text}");
    }
    for bad in ["a=b=c", "a in b", "a,", "=x", "a in (", "-x=1", "a=b c"] {
        assert!(LabelSelector::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn label_selector_objects() {
    let have = json!({"app": "web"});
    let parse = |v: Value| LabelSelector::from_object(Some(&v)).unwrap();
    assert!(parse(json!({})).matches(Some(labels(&have))));
    assert!(!LabelSelector::from_object(None).unwrap().matches(Some(labels(&have))));
    assert!(parse(json!({"matchLabels": {"app": "web"}})).matches(Some(labels(&have))));
    let not = json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]});
    assert!(!parse(not).matches(Some(labels(&have))));
    assert!(
        LabelSelector::from_object(Some(&json!({"matchExpressions": [{"key": "a", "operator": "In"}]})))
            .is_err()
    );
}

#[test]
fn field_selectors() {
    let pod = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
    let cases = [
        ("", true),
        ("metadata.name=a", true),
        ("spec.nodeName=n1,status.phase!=Failed", true),
        ("spec.nodeName=", false),
        ("spec.nodeName!=n1", false),
        ("spec.hostNetwork=false", true),
    ];
    for (text, expected) in cases {
        assert_eq!(FieldSelector::parse(text).unwrap().matches(|f| value_of(&pod, f)), expected, "{text}");
    }
    assert!(FieldSelector::parse("nonsense").is_err());
    let pods = super::resource("", "pods");
    assert_eq!(
        FieldSelector::parse("spec.x=1").unwrap().check(pods).unwrap_err().to_string(),
        "field label not supported: spec.x"
    );
    assert_eq!(FieldSelector::parse(r"a=b\,c").unwrap().exact("a"), Some("b,c"));
}
