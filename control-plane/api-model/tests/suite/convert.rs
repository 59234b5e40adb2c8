use api_model::convert::convert;
use serde_json::json;

#[test]
fn autoscalers_go_there_and_back() {
    let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Max"}}, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 60}}}]},
        "status": {"conditions": [{"type": "AbleToScale", "status": "True"}], "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}]}});
    let mut object = v2.clone();
    convert(&mut object, "autoscaling/v1").unwrap();
    assert_eq!(
        (
            &object["spec"]["targetCPUUtilizationPercentage"],
            &object["status"]["currentCPUUtilizationPercentage"]
        ),
        (&json!(50), &json!(7))
    );
    assert_eq!(object["spec"].get("metrics"), None);
    convert(&mut object, "autoscaling/v2").unwrap();
    assert_eq!(object, v2);
}

#[test]
fn events_change_groups() {
    let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2, "reason": "R"});
    let mut object = core.clone();
    convert(&mut object, "events.k8s.io/v1").unwrap();
    assert_eq!(
        (&object["regarding"]["kind"], &object["note"], &object["deprecatedCount"]),
        (&json!("Pod"), &json!("m"), &json!(2))
    );
    convert(&mut object, "v1").unwrap();
    assert_eq!(object, core);
    assert!(convert(&mut object, "v2").is_err());
}
