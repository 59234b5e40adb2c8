//! As large as Argo: workflows with whole pods in them, applications, event sources, rollouts.

use serde_json::{Value, json};

use super::kind::{Kind, Pattern};
use super::schema::{
    Types, anything, choice, demanding, duration, int_or_string, keyed, list, object, providers, secret_key,
    set, text, texts,
};

const GROUP: &str = "argo.installs.test";
const EVENTS: &str = "events.argo.installs.test";

const SOURCES: [&str; 24] = [
    "amqp",
    "azureEventsHub",
    "azureServiceBus",
    "bitbucket",
    "calendar",
    "emitter",
    "file",
    "gerrit",
    "github",
    "gitlab",
    "hdfs",
    "kafka",
    "minio",
    "mqtt",
    "nats",
    "nsq",
    "pubSub",
    "pulsar",
    "redis",
    "resource",
    "slack",
    "sns",
    "sqs",
    "stripe",
];
const TRIGGERS: [&str; 10] = [
    "argoWorkflow",
    "awsLambda",
    "azureEventHubs",
    "customTrigger",
    "http",
    "k8s",
    "kafka",
    "log",
    "openWhisk",
    "slack",
];

static WORKFLOW: Pattern = Pattern {
    spec: workflow,
    object: |number| {
        json!({
            "entrypoint": "main", "arguments": {"parameters": [{"name": "message", "value": "hello"}]}, "parallelism": number + 1,
            "templates": [
                {"name": "main", "steps": [[{"name": "one", "template": "say"}], [{"name": "two", "template": "say", "when": "true"}]]},
                {"name": "say", "container": {"name": "main", "image": "busybox", "ports": [{"containerPort": 80}]},
                 "script": {"source": "echo", "anything": {"goes": [1, null, true]}}},
            ],
            "podSpecPatch": {"containers": [{"name": "main"}]},
        })
    },
    defaults: &[
        ("/spec/templates/1/container/ports/0/protocol", "TCP"),
        ("/spec/podGC/strategy", "OnPodCompletion"),
    ],
    shown: "entrypoint",
};

static APPLICATION: Pattern = Pattern {
    spec: application,
    object: |number| {
        json!({
            "project": format!("team-{}", number % 7), "destination": {"server": "https://kubernetes.default.svc", "namespace": "web"},
            "source": {"repoURL": "https://example.com/git", "path": "deploy", "helm": {"valuesObject": {"replicas": 2}, "parameters": [{"name": "a", "value": "b"}]}},
            "syncPolicy": {"automated": {"prune": true}, "retry": {"limit": 5}},
        })
    },
    defaults: &[("/spec/source/targetRevision", "HEAD"), ("/spec/syncPolicy/retry/backoff/duration", "5s")],
    shown: "project",
};

static EVENT_SOURCE: Pattern = Pattern {
    spec: event_source,
    object: |_| {
        json!({"eventBusName": "main", "kafka": {"endpoint": "kafka", "credentialsSecretRef": {"name": "kafka", "key": "password"}},
            "service": {"ports": [{"name": "http", "port": 12000, "targetPort": "http"}]}})
    },
    defaults: &[("/spec/service/ports/0/protocol", "TCP"), ("/spec/logLevel", "info")],
    shown: "eventBusName",
};

static ROLLOUT: Pattern = Pattern {
    spec: rollout,
    object: |number| {
        json!({
            "replicas": 3, "stage": "canary", "selector": {"matchLabels": {"app": format!("web-{number}")}},
            "strategy": {"maxSurge": "25%", "maxUnavailable": 1, "steps": [{"setWeight": 20}, {"pause": {"duration": "10m"}}]},
            "analysis": {"successfulRunHistoryLimit": 3},
        })
    },
    defaults: &[("/spec/progressDeadline", "600s"), ("/spec/strategy/trafficRouting", "none")],
    shown: "stage",
};

const fn kind(
    kind: &'static str,
    group: &'static str,
    short: &'static str,
    pattern: &'static Pattern,
) -> Kind {
    Kind { kind, group, short, namespaced: true, versions: &["v1alpha1"], scale: false, pattern }
}

/// Its kinds.
pub static KINDS: [Kind; 40] = [
    kind("Workflow", GROUP, "wf", &WORKFLOW),
    kind("WorkflowTemplate", GROUP, "wftmpl", &WORKFLOW),
    Kind { namespaced: false, ..kind("ClusterWorkflowTemplate", GROUP, "cwft", &WORKFLOW) },
    kind("CronWorkflow", GROUP, "cwf", &WORKFLOW),
    kind("WorkflowTaskSet", GROUP, "wfts", &APPLICATION),
    kind("WorkflowTaskResult", GROUP, "", &APPLICATION),
    kind("WorkflowArtifactGCTask", GROUP, "wfat", &APPLICATION),
    Kind { versions: &["v1", "v1alpha1"], ..kind("Application", GROUP, "app", &APPLICATION) },
    kind("ApplicationSet", GROUP, "appset", &APPLICATION),
    kind("AppProject", GROUP, "appproj", &APPLICATION),
    Kind { versions: &["v1", "v1beta1"], ..kind("EventSource", EVENTS, "es", &EVENT_SOURCE) },
    kind("Sensor", EVENTS, "sn", &EVENT_SOURCE),
    kind("EventBus", EVENTS, "eb", &EVENT_SOURCE),
    kind("EventFilter", EVENTS, "", &EVENT_SOURCE),
    Kind { scale: true, ..kind("Rollout", GROUP, "ro", &ROLLOUT) },
    Kind { scale: true, ..kind("Experiment", GROUP, "exp", &ROLLOUT) },
    kind("AnalysisRun", GROUP, "ar", &ROLLOUT),
    kind("AnalysisTemplate", GROUP, "at", &ROLLOUT),
    Kind { namespaced: false, ..kind("ClusterAnalysisTemplate", GROUP, "cat", &ROLLOUT) },
    kind("ImageUpdater", GROUP, "", &ROLLOUT),
    kind("NotificationTemplate", GROUP, "", &ROLLOUT),
    kind("NotificationTrigger", GROUP, "", &ROLLOUT),
    kind("RepositoryCredential", GROUP, "", &ROLLOUT),
    kind("ClusterConnection", GROUP, "", &ROLLOUT),
    kind("SyncWindow", GROUP, "", &ROLLOUT),
    kind("ResourceHook", GROUP, "", &ROLLOUT),
    kind("ArtifactRepository", GROUP, "", &ROLLOUT),
    kind("ExecutorPlugin", GROUP, "", &ROLLOUT),
    kind("SemaphoreLimit", GROUP, "", &ROLLOUT),
    kind("MutexLock", GROUP, "", &ROLLOUT),
    kind("MemoizationCache", GROUP, "", &ROLLOUT),
    kind("PodMonitorRule", GROUP, "", &ROLLOUT),
    kind("GateApproval", GROUP, "", &ROLLOUT),
    kind("TrafficRoute", GROUP, "", &ROLLOUT),
    kind("MetricProvider", GROUP, "", &ROLLOUT),
    kind("PromotionStage", GROUP, "", &ROLLOUT),
    kind("Promotion", GROUP, "", &ROLLOUT),
    kind("Freight", GROUP, "", &ROLLOUT),
    kind("Warehouse", GROUP, "", &ROLLOUT),
    kind("StageVerification", GROUP, "", &ROLLOUT),
];

fn artifact() -> Value {
    let mut made = providers(
        &["artifactory", "azure", "gcs", "git", "hdfs", "http", "oss", "plugin", "raw", "s3"],
        &["bucket", "endpoint", "keyFormat", "region", "roleArn", "url"],
    );
    made["name"] = text();
    made["path"] = text();
    made["mode"] = json!({"type": "integer", "format": "int32"});
    made["archive"] = object(
        json!({"none": anything(), "zip": anything(), "tar": object(json!({"compressionLevel": {"type": "integer"}}))}),
    );
    keyed("name", object(made))
}

fn parameters() -> Value {
    keyed(
        "name",
        object(json!({
            "name": text(), "value": text(), "default": text(), "description": text(), "globalName": text(), "enum": list(text()),
            "valueFrom": object(json!({"configMapKeyRef": secret_key(), "event": text(), "expression": text(), "jqFilter": text(), "supplied": anything()})),
        })),
    )
}

fn workflow(types: &Types) -> Value {
    let io = || {
        object(
            json!({"artifacts": artifact(), "parameters": parameters(), "result": text(), "exitCode": text()}),
        )
    };
    let mut script = types.core("Container");
    script["properties"]["source"] = text();
    script["required"] = json!(["source"]);
    script["x-kubernetes-preserve-unknown-fields"] = json!(true);
    let container = types.core("Container");
    let template = object(json!({
        "name": {"type": "string", "maxLength": 128},
        "inputs": io(), "outputs": io(), "metadata": object(json!({"annotations": texts(), "labels": texts()})),
        "container": container, "script": script,
        "sidecars": list(types.core("Container")), "initContainers": list(types.core("Container")),
        "volumes": keyed("name", types.core("Volume")), "affinity": types.core("Affinity"), "tolerations": list(types.core("Toleration")),
        "securityContext": types.core("PodSecurityContext"),
        "steps": {"type": "array", "items": {"type": "array", "items": anything()}},
        "dag": object(json!({"target": text(), "failFast": {"type": "boolean"}, "tasks": list(anything())})),
        "resource": object(json!({"action": text(), "manifest": text(), "setOwnerReference": {"type": "boolean"}})),
        "suspend": object(json!({"duration": text()})),
        "retryStrategy": object(json!({"limit": int_or_string(), "retryPolicy": text(), "expression": text(),
            "backoff": object(json!({"duration": text(), "factor": int_or_string(), "maxDuration": text()}))})),
        "memoize": object(json!({"key": text(), "maxAge": text(), "cache": object(json!({"configMap": secret_key()}))})),
        "activeDeadlineSeconds": int_or_string(),
    }));
    let mut pod_gc = object(
        json!({"strategy": choice(&["OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion"]), "deleteDelayDuration": text()}),
    );
    pod_gc["default"] = json!({});
    let mut spec = object(json!({
        "entrypoint": text(), "arguments": io(), "parallelism": {"type": "integer", "format": "int64", "minimum": 1},
        "templates": keyed("name", template.clone()), "templateDefaults": template, "executor": object(json!({"serviceAccountName": text(), "podSpec": types.core("PodSpec")})), "podSpecPatch": anything(), "podGC": pod_gc,
        "volumeClaimTemplates": list(object(json!({"metadata": anything(), "spec": types.core("PersistentVolumeClaimSpec")}))),
        "serviceAccountName": text(), "suspend": {"type": "boolean"}, "priority": {"type": "integer", "format": "int32"},
        "ttlStrategy": object(json!({"secondsAfterCompletion": {"type": "integer"}, "secondsAfterFailure": {"type": "integer"}})),
        "synchronization": object(json!({"mutexes": list(object(json!({"name": text()}))), "semaphores": list(object(json!({"configMapKeyRef": secret_key()})))})),
        "hooks": {"type": "object", "additionalProperties": anything()},
    }));
    spec["x-kubernetes-validations"] = json!([{"rule": "!has(oldSelf.entrypoint) || has(self.entrypoint)", "message": "an entrypoint stays"}]);
    spec
}

fn source() -> Value {
    let mut made = demanding(
        &["repoURL"],
        json!({
            "repoURL": text(), "path": text(), "chart": text(), "ref": text(), "targetRevision": {"type": "string", "default": "HEAD"},
            "helm": object(json!({
                "releaseName": text(), "values": text(), "valuesObject": anything(), "valueFiles": list(text()), "skipCrds": {"type": "boolean"},
                "parameters": list(object(json!({"name": text(), "value": text(), "forceString": {"type": "boolean"}}))),
                "fileParameters": list(object(json!({"name": text(), "path": text()}))), "version": text(), "namespace": text(),
            })),
            "kustomize": object(json!({
                "namePrefix": text(), "nameSuffix": text(), "images": list(text()), "commonLabels": texts(), "commonAnnotations": texts(),
                "patches": list(object(json!({"path": text(), "patch": text(), "options": {"type": "object", "additionalProperties": {"type": "boolean"}},
                    "target": object(json!({"group": text(), "kind": text(), "name": text(), "version": text(), "labelSelector": text()}))}))),
                "replicas": keyed("name", object(json!({"name": text(), "count": int_or_string()}))),
            })),
            "directory": object(json!({"recurse": {"type": "boolean"}, "include": text(), "exclude": text(),
                "jsonnet": object(json!({"libs": list(text()), "tlas": list(object(json!({"name": text(), "value": text(), "code": {"type": "boolean"}})))}))})),
            "plugin": object(json!({"name": text(), "env": keyed("name", object(json!({"name": text(), "value": text()}))), "parameters": list(anything())})),
        }),
    );
    made["x-kubernetes-validations"] =
        json!([{"rule": "!(has(self.chart) && has(self.path))", "message": "a chart or a path"}]);
    made
}

fn application(_: &Types) -> Value {
    let mut backoff = object(
        json!({"duration": duration("5s"), "factor": {"type": "integer", "default": 2}, "maxDuration": duration("3m")}),
    );
    backoff["default"] = json!({});
    let mut bounded = source();
    // The lists above have no bounds of their own, so their rules would cost too much inside another list.
    bounded.as_object_mut().unwrap().remove("x-kubernetes-validations");
    demanding(
        &["destination", "project"],
        json!({
            "project": {"type": "string", "minLength": 1}, "period": text(),
            "destination": object(json!({"name": text(), "namespace": text(), "server": text()})),
            "source": source(), "sources": list(bounded.clone()),
            "generators": list(object(json!({
                "list": object(json!({"elements": list(anything()), "template": anything()})), "git": object(json!({"repoURL": text(), "files": list(object(json!({"path": text()}))), "template": bounded})),
                "matrix": object(json!({"generators": list(anything())})), "merge": object(json!({"generators": list(anything()), "mergeKeys": list(text())})),
            }))),
            "ignoreDifferences": list(object(json!({"group": text(), "kind": text(), "name": text(), "jsonPointers": list(text()), "jqPathExpressions": list(text())}))),
            "info": keyed("name", object(json!({"name": text(), "value": text()}))),
            "syncPolicy": object(json!({
                "automated": object(json!({"prune": {"type": "boolean"}, "selfHeal": {"type": "boolean"}, "allowEmpty": {"type": "boolean"}})),
                "syncOptions": list(text()), "managedNamespaceMetadata": object(json!({"annotations": texts(), "labels": texts()})),
                "retry": object(json!({"limit": {"type": "integer", "format": "int64"}, "backoff": backoff})),
            })),
            "revisionHistoryLimit": {"type": "integer", "format": "int64"},
            "roles": keyed("name", object(json!({"name": text(), "groups": set(), "policies": set(), "jwtTokens": list(object(json!({"iat": {"type": "integer", "format": "int64"}, "id": text()})))}))),
        }),
    )
}

fn event_source(types: &Types) -> Value {
    let mut all = providers(
        &SOURCES,
        &["endpoint", "topic", "consumerGroup", "version", "filter", "events", "namespace"],
    );
    for (name, trigger) in
        providers(&TRIGGERS, &["operation", "source", "payload", "method", "url"]).as_object_mut().unwrap()
    {
        all[format!("{name}Trigger")] = trigger.take();
    }
    all["eventBusName"] = text();
    all["period"] = text();
    all["logLevel"] = choice(&["info", "debug", "error"]);
    all["replicas"] = json!({"type": "integer", "format": "int32", "minimum": 0, "default": 1});
    all["template"] = object(
        json!({"container": types.core("Container"), "affinity": types.core("Affinity"), "metadata": anything()}),
    );
    all["service"] = object(
        json!({"clusterIP": text(), "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": types.core("ServicePort")}}),
    );
    all["service"]["properties"]["ports"]["items"]["properties"]["protocol"]["default"] = json!("TCP");
    all["service"]["properties"]["ports"]["items"]["required"] = json!(["port"]);
    object(all)
}

fn rollout(_: &Types) -> Value {
    let routing = providers(
        &["alb", "ambassador", "apisix", "istio", "nginx", "smi", "traefik"],
        &["ingress", "rootService", "servicePort"],
    );
    let mut strategy = object(routing);
    strategy["properties"]["trafficRouting"] =
        json!({"type": "string", "default": "none", "enum": ["none", "mesh", "ingress"]});
    strategy["properties"]["maxSurge"] = int_or_string();
    strategy["properties"]["maxUnavailable"] = int_or_string();
    strategy["properties"]["steps"] = list(object(
        json!({"setWeight": {"type": "integer", "minimum": 0, "maximum": 100},
        "pause": object(json!({"duration": int_or_string()})), "analysis": anything(), "setHeaderRoute": anything()}),
    ));
    let mut spec = demanding(
        &["strategy"],
        json!({
            "replicas": {"type": "integer", "format": "int32", "minimum": 0}, "stage": text(), "paused": {"type": "boolean", "default": false},
            "progressDeadline": duration("600s"), "revisionHistoryLimit": {"type": "integer", "format": "int32", "default": 10},
            "selector": object(json!({"matchLabels": texts(), "matchExpressions": list(anything())})),
            "strategy": strategy, "template": anything(),
            "workloadRef": object(json!({"apiVersion": text(), "kind": text(), "name": text()})),
            "analysis": object(json!({"successfulRunHistoryLimit": {"type": "integer"}, "unsuccessfulRunHistoryLimit": {"type": "integer"}})),
            "metrics": keyed("name", object(json!({"name": text(), "interval": text(), "failureLimit": int_or_string(), "successCondition": text(),
                "provider": object(providers(&["cloudWatch", "datadog", "graphite", "influxdb", "job", "kayenta", "newRelic", "prometheus", "wavefront", "web"],
                    &["address", "query", "step"]))}))),
        }),
    );
    spec["x-kubernetes-validations"] = json!([
        {"rule": "!has(self.template) || !has(self.workloadRef)", "message": "a template or a reference"},
        {"rule": "!has(oldSelf.selector) || self.selector == oldSelf.selector", "message": "the selector is immutable"},
    ]);
    spec
}
