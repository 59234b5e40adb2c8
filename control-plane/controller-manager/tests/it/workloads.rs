use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Plane, start, template};

async fn two_nodes() -> Plane {
    let plane = start(Duration::from_secs(3600)).await;
    plane.node("n1").await;
    plane.node("n2").await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    plane
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_set_follows_the_nodes_and_its_template() {
    let plane = two_nodes().await;
    plane
        .create(
            "daemonsets",
            "default",
            json!({
                "metadata": {"name": "agent"},
                "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "one")},
            }),
        )
        .await;
    let is_done = |n: i64| {
        move |d: &[Value]| {
            d.len() == 1
                && d[0]["status"]["numberAvailable"] == n
                && d[0]["status"]["updatedNumberScheduled"] == n
                && d[0]["status"]["desiredNumberScheduled"] == n
                && d[0]["status"]["observedGeneration"] == d[0]["metadata"]["generation"]
        }
    };
    plane.until("two daemons", "daemonsets", "default", is_done(2)).await;
    plane.node("n3").await;
    plane.until("three daemons", "daemonsets", "default", is_done(3)).await;
    plane
        .patch(
            "daemonsets",
            "default",
            "agent",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}),
        )
        .await;
    plane
        .until("new pods", "pods", "default", |p| {
            p.len() == 3 && p.iter().all(|p| p["spec"]["containers"][0]["image"] == "two")
        })
        .await;
    plane.until("the rollout", "daemonsets", "default", is_done(3)).await;
    let mut nodes: Vec<String> =
        plane.list("pods", "default").await.iter().map(|p| p["spec"]["nodeName"].to_string()).collect();
    nodes.sort();
    assert_eq!(nodes, ["\"n1\"", "\"n2\"", "\"n3\""]);
    plane.delete("daemonsets", "default", "agent", DeleteParams::default()).await;
    plane.until("no pods", "pods", "default", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_numbers_its_pods() {
    let plane = two_nodes().await;
    plane
        .create("statefulsets", "default", json!({
            "metadata": {"name": "db"},
            "spec": {"serviceName": "db", "replicas": 3, "selector": {"matchLabels": {"app": "db"}}, "template": template("db", "one")},
        }))
        .await;
    let ready = |n: i64| {
        move |s: &[Value]| {
            s.len() == 1 && s[0]["status"]["readyReplicas"] == n && s[0]["status"]["replicas"] == n
        }
    };
    plane.until("three pods", "statefulsets", "default", ready(3)).await;
    let names = |pods: &[Value]| {
        let mut names: Vec<String> =
            pods.iter().map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&plane.list("pods", "default").await), ["db-0", "db-1", "db-2"]);
    plane
        .patch(
            "statefulsets",
            "default",
            "db",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}),
        )
        .await;
    plane
        .until("the rollout", "statefulsets", "default", |s| {
            let status = &s[0]["status"];
            status["currentRevision"] == status["updateRevision"]
                && status["updatedReplicas"] == 3
                && status["observedGeneration"] == s[0]["metadata"]["generation"]
        })
        .await;
    assert!(plane.list("pods", "default").await.iter().all(|p| p["spec"]["containers"][0]["image"] == "two"));
    plane.patch("statefulsets", "default", "db", json!({"spec": {"replicas": 1}})).await;
    plane.until("one pod", "statefulsets", "default", ready(1)).await;
    assert_eq!(names(&plane.list("pods", "default").await), ["db-0"]);
}

fn ending() -> Value {
    json!({"metadata": {"labels": {"ends": "well"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_counts_to_its_end() {
    let plane = two_nodes().await;
    plane
        .create("jobs", "default", json!({
            "metadata": {"name": "sum"}, "spec": {"completions": 4, "parallelism": 2, "template": ending()},
        }))
        .await;
    let jobs = plane
        .until("completion", "jobs", "default", |j| {
            j[0]["status"]["conditions"]
                .as_array()
                .is_some_and(|c| c.iter().any(|c| c["type"] == "Complete" && c["status"] == "True"))
        })
        .await;
    assert_eq!(jobs[0]["status"]["succeeded"], 4);
    assert!(jobs[0]["status"]["completionTime"].is_string());
    plane
        .until("released pods", "pods", "default", |p| {
            p.len() == 4 && p.iter().all(|p| p["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty))
        })
        .await;
    plane.delete("jobs", "default", "sum", DeleteParams::background()).await;
    plane.until("no pods", "pods", "default", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cron_job_makes_jobs_that_go_after_their_time() {
    let plane = two_nodes().await;
    plane
        .create("cronjobs", "default", json!({
            "metadata": {"name": "tick"},
            "spec": {"schedule": "@every 1s", "jobTemplate": {"spec": {"ttlSecondsAfterFinished": 0, "template": ending()}}},
        }))
        .await;
    plane.until("a job", "cronjobs", "default", |c| c[0]["status"]["lastScheduleTime"].is_string()).await;
    plane.patch("cronjobs", "default", "tick", json!({"spec": {"suspend": true}})).await;
    plane.until("its end", "jobs", "default", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_says_how_many_may_go() {
    let plane = two_nodes().await;
    plane
        .create("deployments", "default", json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "one")},
        }))
        .await;
    plane
        .create("poddisruptionbudgets", "default", json!({
            "metadata": {"name": "web"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }))
        .await;
    let budgets = plane
        .until("one may go", "poddisruptionbudgets", "default", |b| b[0]["status"]["disruptionsAllowed"] == 1)
        .await;
    let status = &budgets[0]["status"];
    assert_eq!((status["expectedPods"].as_i64(), status["desiredHealthy"].as_i64()), (Some(3), Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_add_up() {
    let plane = start(Duration::from_secs(3600)).await;
    plane
        .until("view has rules", "clusterroles", "", |roles| {
            roles.iter().any(|r| {
                r["metadata"]["name"] == "view" && r["rules"].as_array().is_some_and(|r| !r.is_empty())
            })
        })
        .await;
    plane
        .create("clusterroles", "", json!({
            "metadata": {"name": "extra", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
            "rules": [{"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}],
        }))
        .await;
    plane
        .until("view knows things", "clusterroles", "", |roles| {
            let view = roles.iter().find(|r| r["metadata"]["name"] == "view").unwrap();
            view["rules"].as_array().unwrap().iter().any(|r| r["apiGroups"][0] == "example.com")
        })
        .await;
}
