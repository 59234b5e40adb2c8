use api_model::convert::convert;
use serde_json::{Value, json};

fn autoscaler(metrics: Value, current: Value) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "metrics": metrics, "behavior": {"scaleUp": {"selectPolicy": "Max", "policies": [
            {"type": "Percent", "value": 900, "periodSeconds": 60}]}}},
        "status": {"conditions": [{"type": "AbleToScale", "status": "True"}], "currentMetrics": current}})
}

#[test]
fn autoscalers_go_there_and_back() {
    let selector = json!({"matchLabels": {"a": "b"}});
    let object = json!({"apiVersion": "v1", "kind": "Service", "name": "s"});
    let v2 = autoscaler(
        json!([
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 60}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "2"}}},
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "AverageValue", "averageValue": "1"}}},
            {"type": "Pods", "pods": {"metric": {"name": "p", "selector": selector}, "target": {"type": "AverageValue", "averageValue": "3"}}},
            {"type": "Object", "object": {"metric": {"name": "o"}, "describedObject": object, "target": {"type": "Value", "value": "4"}}},
            {"type": "Object", "object": {"metric": {"name": "o"}, "describedObject": object, "target": {"type": "AverageValue", "averageValue": "4"}}},
            {"type": "External", "external": {"metric": {"name": "e", "selector": selector}, "target": {"type": "Value", "value": "5"}}},
            {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "AverageValue", "averageValue": "6"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]),
        json!([
            {"type": "Object", "object": {"metric": {"name": "o"}, "describedObject": object, "current": {"value": "7", "averageValue": "8"}}},
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}]),
    );
    let mut object = v2.clone();
    convert(&mut object, "autoscaling/v1").unwrap();
    assert_eq!(
        (
            &object["spec"]["targetCPUUtilizationPercentage"],
            &object["status"]["currentCPUUtilizationPercentage"]
        ),
        (&json!(50), &json!(7))
    );
    assert_eq!((object["spec"].get("metrics"), object["spec"].get("behavior")), (None, None));
    let annotation = |name: &str| -> Value {
        serde_json::from_str(
            object["metadata"]["annotations"][format!("autoscaling.alpha.kubernetes.io/{name}")]
                .as_str()
                .unwrap(),
        )
        .unwrap()
    };
    // In the words of the older version.
    assert_eq!(
        annotation("metrics")[0],
        json!({"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 60}})
    );
    assert_eq!(
        annotation("metrics")[3],
        json!({"type": "Pods", "pods": {"metricName": "p", "selector": selector, "targetAverageValue": "3"}})
    );
    assert_eq!(annotation("current-metrics")[0]["object"]["currentValue"], "7");
    assert_eq!(
        annotation("behavior")["ScaleUp"]["Policies"],
        json!([{"Type": "Percent", "Value": 900, "PeriodSeconds": 60}])
    );
    convert(&mut object, "autoscaling/v2").unwrap();
    assert_eq!(object, v2);
}

#[test]
fn an_old_autoscaler_stays_what_it_is() {
    let v1 = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a", "annotations": {"k": "v"}},
        "spec": {"maxReplicas": 3, "minReplicas": 1, "targetCPUUtilizationPercentage": 80}, "status": {"currentReplicas": 1, "desiredReplicas": 1}});
    let mut object = v1.clone();
    convert(&mut object, "autoscaling/v2").unwrap();
    let target = json!({"type": "Utilization", "averageUtilization": 80});
    assert_eq!(
        object["spec"]["metrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
    );
    convert(&mut object, "autoscaling/v1").unwrap();
    assert_eq!(object, v1);
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
