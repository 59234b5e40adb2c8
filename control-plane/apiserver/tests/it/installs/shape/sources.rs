//! As large as Flux: sources, what is made of them, who is told.

use serde_json::{Value, json};

use super::kind::{Kind, Pattern};
use super::schema::{
    Types, anything, choice, conditions, demanding, duration, int_or_string, keyed, list, object, providers,
    secret_key, set, text, texts,
};

const SOURCE: &str = "source.flux.installs.test";
const APPLY: &str = "kustomize.flux.installs.test";
const HELM: &str = "helm.flux.installs.test";
const NOTIFY: &str = "notification.flux.installs.test";
const IMAGE: &str = "image.flux.installs.test";

static REPOSITORY: Pattern = Pattern {
    spec: repository,
    object: |number| {
        json!({"url": format!("https://example.com/repository-{number}"), "interval": "1m0s", "ref": {"branch": "main"},
            "include": [{"repository": {"name": "other"}}]})
    },
    defaults: &[("/spec/timeout", "60s"), ("/spec/provider", "generic")],
    shown: "url",
};

static APPLIED: Pattern = Pattern {
    spec: applied,
    object: |number| {
        json!({"path": format!("./clusters/{number}"), "interval": "10m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "main"},
            "patches": [{"patch": "- op: remove", "target": {"kind": "Deployment"}}], "postBuild": {"substitute": {"a": "b"}}})
    },
    defaults: &[("/spec/deletionPolicy", "MirrorPrune"), ("/spec/retryInterval", "2m")],
    shown: "path",
};

static RELEASE: Pattern = Pattern {
    spec: release,
    object: |number| {
        json!({"releaseName": format!("release-{number}"), "interval": "5m", "values": {"replicas": 2, "deep": {"er": [1, {"a": "b"}]}},
            "chart": {"spec": {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "main"}}},
            "install": {"remediation": {"retries": 3}}, "dependsOn": [{"name": "first"}]})
    },
    defaults: &[("/spec/chart/spec/version", "*"), ("/spec/upgrade/crds", "Skip")],
    shown: "releaseName",
};

static ALERT: Pattern = Pattern {
    spec: alert,
    object: |number| json!({"channel": format!("team-{number}"), "providerRef": {"name": "slack"}, "eventSources": [{"kind": "GitRepository", "name": "*"}]}),
    defaults: &[("/spec/eventSeverity", "info"), ("/spec/eventSources/0/namespace", "flux-system")],
    shown: "channel",
};

const fn kind(
    kind: &'static str,
    group: &'static str,
    short: &'static str,
    pattern: &'static Pattern,
) -> Kind {
    Kind { kind, group, short, namespaced: true, versions: &["v1"], scale: false, pattern }
}

/// Its kinds.
pub static KINDS: [Kind; 40] = [
    Kind { versions: &["v1", "v1beta2"], ..kind("GitRepository", SOURCE, "gitrepo", &REPOSITORY) },
    Kind { versions: &["v1", "v1beta2"], ..kind("OCIRepository", SOURCE, "ocirepo", &REPOSITORY) },
    kind("HelmRepository", SOURCE, "helmrepo", &REPOSITORY),
    kind("HelmChart", SOURCE, "hc", &REPOSITORY),
    kind("Bucket", SOURCE, "", &REPOSITORY),
    kind("ExternalArtifact", SOURCE, "ea", &REPOSITORY),
    kind("ArtifactGenerator", SOURCE, "ag", &REPOSITORY),
    kind("ArchiveMirror", SOURCE, "", &REPOSITORY),
    kind("SubmodulePin", SOURCE, "", &REPOSITORY),
    kind("SignatureKey", SOURCE, "", &REPOSITORY),
    Kind { versions: &["v1", "v1beta2"], ..kind("Kustomization", APPLY, "ks", &APPLIED) },
    kind("KustomizationSet", APPLY, "", &APPLIED),
    kind("HealthCheck", APPLY, "", &APPLIED),
    kind("Inventory", APPLY, "", &APPLIED),
    kind("DriftReport", APPLY, "", &APPLIED),
    kind("Substitution", APPLY, "", &APPLIED),
    kind("DecryptionKey", APPLY, "", &APPLIED),
    kind("DependencyGate", APPLY, "", &APPLIED),
    Kind { namespaced: false, ..kind("Tenant", APPLY, "tn", &APPLIED) },
    Kind { namespaced: false, ..kind("ClusterTarget", APPLY, "", &APPLIED) },
    Kind { versions: &["v2", "v2beta2"], ..kind("HelmRelease", HELM, "hr", &RELEASE) },
    kind("HelmReleaseSet", HELM, "", &RELEASE),
    kind("HelmTest", HELM, "", &RELEASE),
    kind("HelmRollback", HELM, "", &RELEASE),
    kind("ValuesOverlay", HELM, "", &RELEASE),
    kind("PostRenderer", HELM, "", &RELEASE),
    kind("ChartPin", HELM, "", &RELEASE),
    kind("ReleaseHistory", HELM, "", &RELEASE),
    Kind { versions: &["v1", "v1beta3"], ..kind("Receiver", NOTIFY, "", &ALERT) },
    kind("Alert", NOTIFY, "", &ALERT),
    kind("Provider", NOTIFY, "", &ALERT),
    kind("AlertGroup", NOTIFY, "", &ALERT),
    kind("Silence", NOTIFY, "", &ALERT),
    kind("Escalation", NOTIFY, "", &ALERT),
    Kind { scale: true, ..kind("ImageRepository", IMAGE, "imgrepo", &ALERT) },
    kind("ImagePolicy", IMAGE, "imgpol", &ALERT),
    kind("ImageUpdateAutomation", IMAGE, "iua", &ALERT),
    kind("ImageScan", IMAGE, "", &ALERT),
    kind("ImageMirror", IMAGE, "", &ALERT),
    kind("ImageRetention", IMAGE, "", &ALERT),
];

fn named(more: Value) -> Value {
    let mut made = demanding(&["name"], json!({"name": {"type": "string", "maxLength": 253}}));
    made["properties"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    made
}

fn source_reference() -> Value {
    demanding(
        &["kind", "name"],
        json!({"apiVersion": text(), "name": text(), "namespace": text(),
        "kind": {"type": "string", "enum": ["OCIRepository", "GitRepository", "Bucket", "HelmRepository", "HelmChart"]}}),
    )
}

fn repository(_: &Types) -> Value {
    let mut spec = demanding(
        &["interval", "url"],
        json!({
            "url": {"type": "string", "pattern": "^(http|https|ssh|oci)://.*$", "maxLength": 2048},
            "interval": duration("1m"), "timeout": duration("60s"), "period": text(), "ignore": text(), "suspend": {"type": "boolean"},
            "provider": choice(&["generic", "azure", "github", "aws", "gcp"]),
            "ref": object(json!({"branch": text(), "tag": text(), "semver": text(), "commit": text(), "name": text(), "digest": text()})),
            "secretRef": secret_key(), "proxySecretRef": secret_key(), "certSecretRef": secret_key(), "serviceAccountName": text(),
            "include": list(demanding(&["repository"], json!({"repository": named(json!({})), "fromPath": text(), "toPath": text()}))),
            "sparseCheckout": list(text()), "recurseSubmodules": {"type": "boolean"},
            "layerSelector": object(json!({"mediaType": text(), "operation": choice(&["extract", "copy"])})),
            "verify": object(json!({"mode": choice(&["HEAD", "Tag", "TagAndHEAD"]), "provider": choice(&["cosign", "notation"]), "secretRef": secret_key(),
                "matchOIDCIdentity": list(demanding(&["issuer", "subject"], json!({"issuer": text(), "subject": text()})))})),
            "bucketName": text(), "endpoint": text(), "region": text(), "prefix": text(), "insecure": {"type": "boolean"},
            "sts": object(providers(&["aws", "azure", "ldap"], &["endpoint", "audience"])),
            "artifact": demanding(&["digest"], json!({"digest": {"type": "string", "pattern": "^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$"},
                "lastUpdateTime": {"type": "string", "format": "date-time"}, "metadata": texts(), "path": text(), "revision": text(), "size": {"type": "integer", "format": "int64"}})),
            "accessFrom": demanding(&["namespaceSelectors"], json!({"namespaceSelectors": list(object(json!({"matchLabels": texts()})))})),
        }),
    );
    spec["x-kubernetes-validations"] = json!([
        {"rule": "self.provider == 'generic' || !has(self.serviceAccountName)", "message": "serviceAccountName is for the generic provider"},
        {"rule": "self.url.startsWith('ssh://') ? self.provider == 'generic' : true", "messageExpression": "'no SSH with ' + self.provider"},
    ]);
    spec
}

fn applied(_: &Types) -> Value {
    let mut spec = demanding(
        &["interval", "prune", "sourceRef"],
        json!({
            "path": text(), "interval": duration("10m"), "retryInterval": duration("2m"), "timeout": duration("5m"), "period": text(),
            "prune": {"type": "boolean"}, "force": {"type": "boolean", "default": false}, "wait": {"type": "boolean"}, "suspend": {"type": "boolean"},
            "deletionPolicy": choice(&["MirrorPrune", "Delete", "WaitForTermination", "Orphan"]),
            "targetNamespace": {"type": "string", "minLength": 1, "maxLength": 63}, "namePrefix": text(), "nameSuffix": text(), "serviceAccountName": text(),
            "sourceRef": source_reference(), "components": list(text()), "ignoreMissingComponents": {"type": "boolean"},
            "commonMetadata": object(json!({"annotations": texts(), "labels": texts()})),
            "decryption": demanding(&["provider"], json!({"provider": {"type": "string", "enum": ["sops"]}, "secretRef": secret_key(), "serviceAccountName": text()})),
            "dependsOn": list(named(json!({"namespace": text(), "readyExpr": text()}))),
            "healthChecks": list(demanding(&["kind", "name"], json!({"apiVersion": text(), "kind": text(), "name": text(), "namespace": text()}))),
            "healthCheckExprs": list(demanding(&["apiVersion", "current", "kind"], json!({"apiVersion": text(), "kind": text(), "current": text(), "failed": text(), "inProgress": text()}))),
            "images": keyed("name", named(json!({"newName": text(), "newTag": text(), "digest": text()}))),
            "kubeConfig": object(json!({"secretRef": secret_key(), "configMapRef": secret_key()})),
            "patches": list(demanding(&["patch"], json!({"patch": text(), "target": object(json!({"annotationSelector": text(), "group": text(), "kind": text(),
                "labelSelector": text(), "name": text(), "namespace": text(), "version": text()}))}))),
            "postBuild": object(json!({"substitute": texts(), "substituteFrom": list(named(json!({"kind": {"type": "string", "enum": ["Secret", "ConfigMap"]}, "optional": {"type": "boolean", "default": false}})))})),
            "inventory": demanding(&["entries"], json!({"entries": list(demanding(&["id", "v"], json!({"id": text(), "v": text()})))})),
            "statusConditions": conditions(),
        }),
    );
    spec["x-kubernetes-validations"] = json!([{"rule": "!has(self.dependsOn) || self.dependsOn.size() <= 100", "message": "too many dependencies"}]);
    spec
}

fn release(types: &Types) -> Value {
    let remediation = || {
        object(
            json!({"retries": {"type": "integer"}, "ignoreTestFailures": {"type": "boolean"}, "remediateLastFailure": {"type": "boolean"},
        "strategy": choice(&["rollback", "uninstall"])}),
        )
    };
    let action = || {
        object(
            json!({"timeout": text(), "remediation": remediation(), "disableWait": {"type": "boolean"}, "disableHooks": {"type": "boolean"},
        "disableOpenAPIValidation": {"type": "boolean"}, "crds": choice(&["Skip", "Create", "CreateReplace"]), "force": {"type": "boolean"},
        "serverSideApply": {"type": "string", "enum": ["enabled", "disabled", "auto"]}, "preserveValues": {"type": "boolean"}, "replace": {"type": "boolean"}}),
        )
    };
    let mut upgrade = action();
    upgrade["default"] = json!({});
    let mut spec = object(json!({
        "releaseName": {"type": "string", "minLength": 1, "maxLength": 53}, "interval": duration("5m"), "timeout": text(), "period": text(), "maxHistory": {"type": "integer"},
        "chart": demanding(&["spec"], json!({"metadata": object(json!({"annotations": texts(), "labels": texts()})), "spec": demanding(&["chart", "sourceRef"], json!({
            "chart": {"type": "string", "minLength": 1, "maxLength": 2048}, "version": {"type": "string", "default": "*"}, "interval": text(), "sourceRef": source_reference(),
            "reconcileStrategy": choice(&["ChartVersion", "Revision"]), "valuesFiles": list(text()), "verify": object(json!({"provider": choice(&["cosign", "notation"]), "secretRef": secret_key()}))}))})),
        "chartRef": source_reference(),
        "values": {"x-kubernetes-preserve-unknown-fields": true},
        "valuesFrom": list(named(json!({"kind": {"type": "string", "enum": ["Secret", "ConfigMap"]}, "valuesKey": {"type": "string", "pattern": "^[\\-._a-zA-Z0-9]+$"}, "targetPath": text(), "optional": {"type": "boolean"}}))),
        "install": action(), "upgrade": upgrade, "rollback": action(), "uninstall": action(), "test": object(json!({"enable": {"type": "boolean"}, "filters": list(named(json!({"exclude": {"type": "boolean"}})))})),
        "driftDetection": object(json!({"mode": {"type": "string", "enum": ["enabled", "warn", "disabled"]}, "ignore": list(demanding(&["paths"], json!({"paths": list(text())})))})),
        "postRenderers": list(object(json!({"kustomize": object(json!({"images": list(named(json!({"newName": text()}))), "patches": list(object(json!({"patch": text()})))}))}))),
        "dependsOn": list(named(json!({"namespace": text(), "readyExpr": text()}))),
        "persistentClient": {"type": "boolean", "default": true}, "port": int_or_string(), "podSecurity": types.core("PodSecurityContext"), "extra": anything(),
    }));
    spec["x-kubernetes-validations"] = json!([{"rule": "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))", "message": "either chart or chartRef must be set"}]);
    spec
}

fn alert(_: &Types) -> Value {
    object(json!({
        "channel": {"type": "string", "minLength": 1, "maxLength": 2048}, "eventSeverity": choice(&["info", "error"]), "providerRef": named(json!({})), "period": text(),
        "eventMetadata": texts(), "summary": {"type": "string", "maxLength": 255}, "suspend": {"type": "boolean"}, "exclusionList": list(text()), "inclusionList": list(text()),
        "eventSources": list(demanding(&["kind", "name"], json!({"apiVersion": text(), "kind": {"type": "string", "enum": ["Bucket", "GitRepository", "Kustomization", "HelmRelease"]},
            "name": {"type": "string", "minLength": 1, "maxLength": 253}, "namespace": {"type": "string", "default": "flux-system"}, "matchLabels": texts()}))),
        "replicas": {"type": "integer", "format": "int32"}, "events": set(), "secretRef": secret_key(),
        "services": object(providers(&["slack", "discord", "msteams", "opsgenie", "pagerduty", "sentry", "matrix", "telegram", "webex"], &["address", "channel", "username", "proxy"])),
        "policy": object(json!({"alphabetical": object(json!({"order": choice(&["asc", "desc"])})), "numerical": object(json!({"order": choice(&["asc", "desc"])})), "semver": demanding(&["range"], json!({"range": text()}))})),
    }))
}
