//! Names in, answers out.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

use addons::dns::zone::{Found, Zone};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

fn zone() -> Zone {
    let services: Vec<Service> = serde_json::from_value(json!([
        {"metadata": {"namespace": "default", "name": "web"},
         "spec": {"clusterIP": "10.0.0.7", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}},
        {"metadata": {"namespace": "default", "name": "db"},
         "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]}},
        {"metadata": {"namespace": "default", "name": "out"},
         "spec": {"type": "ExternalName", "externalName": "example.org"}}]))
    .unwrap();
    let slices: Vec<EndpointSlice> = serde_json::from_value(json!([
        {"metadata": {"namespace": "default", "name": "db-1",
                      "labels": {"kubernetes.io/service-name": "db"}},
         "addressType": "IPv4", "ports": [{"name": "sql", "port": 5432}],
         "endpoints": [{"addresses": ["10.244.0.5"], "hostname": "db-0"},
                       {"addresses": ["10.244.1.6"]},
                       {"addresses": ["10.244.1.7"], "conditions": {"ready": false}}]}]))
    .unwrap();
    Zone::new(services.iter(), slices.iter())
}

#[track_caller]
fn check(name: &str, srv: bool, expected: &str) {
    let labels: Vec<&str> = name.split('.').collect();
    let seen = match zone().find(&labels, srv) {
        Found::Addresses(addresses) => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Found::Targets(targets) => {
            targets.iter().map(|(port, name, _)| format!("{name}:{port}")).collect::<Vec<_>>().join(" ")
        }
        Found::Alias(name) => format!("-> {name}"),
        Found::Nothing => "nothing".into(),
        Found::Missing => "missing".into(),
    };
    assert_eq!(seen, expected, "{name}");
}

#[test]
fn names_mean_what_the_specification_says() {
    check("web.default.svc", false, "10.0.0.7");
    check("db.default.svc", false, "10.244.0.5 10.244.1.6");
    check("db-0.db.default.svc", false, "10.244.0.5");
    check("10-244-1-6.db.default.svc", false, "10.244.1.6");
    check("nobody.db.default.svc", false, "missing");
    check("web.elsewhere.svc", false, "missing");
    check("default.svc", false, "nothing");
    check("elsewhere.svc", false, "missing");
    check("out.default.svc", false, "-> example.org");
    check("10-244-0-9.default.pod", false, "10.244.0.9");
    check("_http._tcp.web.default.svc", true, "web.default.svc:80");
    check("_http._tcp.web.default.svc", false, "nothing");
    check("_sql._tcp.db.default.svc", true, "db-0.db.default.svc:5432 10-244-1-6.db.default.svc:5432");
    check("_none._tcp.web.default.svc", true, "missing");
}
