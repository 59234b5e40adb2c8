//! The built-in objects that come with a product: what its controllers run as, may do, and are reached by.

use serde_json::{Value, json};

use super::Hooks;

/// What makes the built-in objects of one product.
pub struct Product {
    pub name: &'static str,
    pub namespace: &'static str,
    pub components: &'static [&'static str],
    pub groups: &'static [&'static str],
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut made = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    made.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    made
}

impl Product {
    /// The label that all its objects bear.
    fn labelled(&self, mut made: Value, namespaced: bool) -> Value {
        made["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!(self.name);
        if namespaced {
            made["metadata"]["namespace"] = json!(self.namespace);
        }
        made
    }

    fn whole(&self, api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
        self.labelled(object(api_version, kind, name, rest), false)
    }

    fn inside(&self, api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
        self.labelled(object(api_version, kind, name, rest), true)
    }

    /// The namespace.
    pub fn namespace(&self) -> Value {
        self.whole("v1", "Namespace", self.namespace, json!({}))
    }

    /// Everything but the namespace.
    pub fn objects(&self, hooks: &Hooks) -> Vec<Value> {
        let mut made = self.shared();
        made.extend(self.hooks(hooks));
        for (index, component) in self.components.iter().enumerate() {
            made.extend(self.component(component, index));
        }
        made
    }

    /// What stands once: roles that add up to others, priorities, policies.
    fn shared(&self) -> Vec<Value> {
        const ROLES: &str = "rbac.authorization.k8s.io/v1";
        let name = |what: &str| format!("{}-{what}", self.name);
        let mut made = Vec::new();
        for (what, verbs) in [
            ("view", json!(["get", "list", "watch"])),
            ("edit", json!(["create", "delete", "patch", "update"])),
        ] {
            let mut role = self.whole(
                ROLES,
                "ClusterRole",
                &name(what),
                json!({"rules": [{"apiGroups": self.groups, "resources": ["*"], "verbs": verbs}]}),
            );
            role["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{what}")] =
                json!("true");
            role["metadata"]["labels"]["installs.test/adds-up"] = json!(self.name);
            made.push(role);
        }
        let adds_up = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"installs.test/adds-up": self.name}}]}, "rules": []});
        made.push(self.whole(ROLES, "ClusterRole", &name("all"), adds_up));
        made.push(self.whole(
            "scheduling.k8s.io/v1",
            "PriorityClass",
            &name("critical"),
            json!({"value": 1_000_000, "description": "first"}),
        ));
        let policy = json!({"spec": {
            "matchConstraints": {"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": self.groups, "apiVersions": ["*"], "resources": ["*"]}]},
            "failurePolicy": "Fail",
            "variables": [{"name": "labels", "expression": "has(object.metadata.labels) ? object.metadata.labels : {}"}],
            "validations": [{"expression": "!('installs.test/forbidden' in variables.labels)", "message": "forbidden by policy"}],
        }});
        made.push(self.whole(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            &name("labels"),
            policy,
        ));
        let binding = json!({"spec": {"policyName": name("labels"), "validationActions": ["Deny"]}});
        made.push(self.whole(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            &name("labels"),
            binding,
        ));
        let quota = json!({"spec": {"hard": {"pods": "500", "secrets": 1000}}});
        made.push(self.inside("v1", "ResourceQuota", "bound", quota));
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m", "memory": "64Mi"}}]}});
        made.push(self.inside("v1", "LimitRange", "usual", range));
        made
    }

    /// The Service behind which the webhooks are, and their configurations.
    fn hooks(&self, hooks: &Hooks) -> Vec<Value> {
        let service = json!({"spec": {"ports": [{"name": "https", "port": 443, "targetPort": 10250}]}});
        let mut slice = self.inside("discovery.k8s.io/v1", "EndpointSlice", "webhook-1", json!({
            "addressType": "IPv4", "ports": [{"name": "https", "port": 10250, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.244.0.7"], "conditions": {"ready": true}, "nodeName": hooks.node}],
        }));
        slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!("webhook");
        let webhook = |name: &str, path: &str| {
            json!([{
                "name": format!("{name}.{}.installs.test", self.name),
                "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 30,
                "rules": [{"apiGroups": self.groups, "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]}],
                "clientConfig": hooks.client(self.namespace, path),
            }])
        };
        let configuration = |kind: &str, webhooks: Value| {
            self.whole(
                "admissionregistration.k8s.io/v1",
                kind,
                &format!("{}-webhook", self.name),
                json!({"webhooks": webhooks}),
            )
        };
        vec![
            self.inside("v1", "Service", "webhook", service),
            slice,
            configuration("MutatingWebhookConfiguration", webhook("mutate", "/mutate")),
            configuration("ValidatingWebhookConfiguration", webhook("validate", "/validate")),
        ]
    }

    fn component(&self, name: &str, index: usize) -> Vec<Value> {
        const ROLES: &str = "rbac.authorization.k8s.io/v1";
        let full = format!("{}-{name}", self.name);
        let rules = json!({"rules": [
            {"apiGroups": self.groups, "resources": ["*"], "verbs": ["get", "list", "watch", "update", "patch"]},
            {"apiGroups": [""], "resources": ["configmaps", "secrets", "events"], "verbs": ["get", "list", "watch", "create"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
        ]});
        let binding = |kind: &str| {
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": full},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}]})
        };
        let selector = json!({"matchLabels": {"app.kubernetes.io/name": name}});
        let kind = if index % 4 == 3 { "StatefulSet" } else { "Deployment" };
        let mut made = vec![
            self.inside("v1", "ServiceAccount", name, json!({})),
            self.whole(ROLES, "ClusterRole", &full, rules.clone()),
            self.whole(ROLES, "ClusterRoleBinding", &full, binding("ClusterRole")),
            self.inside(ROLES, "Role", &full, rules),
            self.inside(ROLES, "RoleBinding", &full, binding("Role")),
            self.inside("v1", "ConfigMap", name, json!({"data": {"config.yaml": format!("component: {name}\nlog: {{level: info}}\n")}})),
            self.inside("v1", "Service", name, json!({"spec": {"selector": {"app.kubernetes.io/name": name},
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9402}]}})),
            self.inside("apps/v1", kind, name, self.workload(name, kind, &selector)),
            self.inside("policy/v1", "PodDisruptionBudget", name, json!({"spec": {"maxUnavailable": "25%", "selector": selector}})),
            self.inside("networking.k8s.io/v1", "NetworkPolicy", name, json!({"spec": {"podSelector": selector, "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": "http"}, {"port": 9402, "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]}]}})),
        ];
        if index % 2 == 0 {
            made.push(self.inside("autoscaling/v2", "HorizontalPodAutoscaler", name, json!({"spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}, "minReplicas": 1, "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}})));
        } else {
            made.push(self.inside(
                "v1",
                "Secret",
                name,
                json!({"stringData": {"password": format!("of {name}")}, "type": "Opaque"}),
            ));
        }
        made
    }

    fn workload(&self, name: &str, kind: &str, selector: &Value) -> Value {
        let mut spec = json!({
            "replicas": 1, "selector": selector,
            "template": {"metadata": {"labels": {"app.kubernetes.io/name": name}, "annotations": {"prometheus.io/port": "9402"}}, "spec": {
                "serviceAccountName": name, "priorityClassName": format!("{}-critical", self.name),
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": name, "image": format!("registry.installs.test/{name}:1.2.3"), "args": ["--v=2", "--leader-elect"],
                    "env": [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
                    "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9402, "protocol": "TCP"}],
                    "resources": {"requests": {"cpu": "0.1", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "initialDelaySeconds": 10},
                    "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "tmp", "mountPath": "/tmp"}],
                }],
                "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
                "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}}]}},
                "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
            }},
        });
        if kind == "StatefulSet" {
            spec["serviceName"] = json!(name);
            spec["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
        }
        json!({"spec": spec})
    }
}
