//! `/healthz`, `/livez`, `/readyz`: checks one by one, in upstream's words.

use http::{HeaderValue, StatusCode, header};
use kit::http::Response;

use super::{Api, Asked};

/// How long a check may take.
const CHECK_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// What upstream runs after its start. Here all of it is done before the server is given out, so these are fine whenever they are asked.
const HOOKS: [&str; 28] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// The checks of one of the three, in order.
fn checks(kind: &str) -> Vec<&'static str> {
    let mut names = vec!["ping", "log", "etcd"];
    if kind == "readyz" {
        names.extend(["etcd-readiness", "informer-sync"]);
    }
    for hook in HOOKS {
        names.push(hook);
        if hook == "poststarthook/kube-apiserver-autoregistration" {
            names.push("autoregister-completion");
        }
    }
    if kind == "readyz" {
        names.push("shutdown");
    }
    names
}

/// Answers such a request; `rest` is what follows the kind in the path.
pub(super) async fn serve(api: &Api, asked: &Asked, kind: &str, rest: &[&str]) -> Response {
    let names = checks(kind);
    if !rest.is_empty() {
        let name = rest.join("/");
        return match names.iter().find(|known| **known == name) {
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
            Some(name) if passes(api, name).await => text(StatusCode::OK, "ok".to_owned()),
            Some(name) => {
                let why = format!("internal server error: {name} check failed\n");
                text(StatusCode::INTERNAL_SERVER_ERROR, why)
            }
        };
    }
    let excluded: Vec<&String> = asked.query.all().get("exclude").into_iter().flatten().collect();
    let (mut told, mut failed) = (String::new(), Vec::new());
    for name in &names {
        if excluded.iter().any(|excluded| excluded == name) {
            told.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if passes(api, name).await {
            told.push_str(&format!("[+]{name} ok\n"));
        } else {
            told.push_str(&format!("[-]{name} failed: reason withheld\n"));
            failed.push(*name);
        }
    }
    let strange: Vec<String> =
        excluded.iter().filter(|one| !names.contains(&one.as_str())).map(|one| format!("{one:?}")).collect();
    if !strange.is_empty() {
        told.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            strange.join(", ")
        ));
    }
    if !failed.is_empty() {
        tracing::warn!(checks = failed.join(","), "{kind} check failed");
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{told}{kind} check failed\n"));
    }
    if asked.query.has("verbose") {
        return text(StatusCode::OK, format!("{told}{kind} check passed\n"));
    }
    text(StatusCode::OK, "ok".to_owned())
}

/// Whether the store answers, or why not.
pub(super) async fn store_answers(api: &Api) -> Result<(), String> {
    match tokio::time::timeout(CHECK_LIMIT, api.registry.store.get("/registry/health")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("context deadline exceeded".to_owned()),
    }
}

async fn passes(api: &Api, name: &str) -> bool {
    match name {
        // Whether the store answers, and whether what it answers arrives in the caches.
        "etcd" | "etcd-readiness" => store_answers(api).await.is_ok(),
        "informer-sync" => {
            matches!(tokio::time::timeout(CHECK_LIMIT, api.registry.hub.fresh()).await, Ok(Ok(_)))
        }
        "shutdown" => !api.registry.tasks.is_stopped(),
        _ => true,
    }
}

fn text(status: StatusCode, text: String) -> Response {
    let mut response = kit::http::bytes_response(status, "text/plain; charset=utf-8", text);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
