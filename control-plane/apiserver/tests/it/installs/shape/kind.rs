//! A custom kind: its definition, made from a specification's schema and what the kind has besides, and objects of it.

use serde_json::{Value, json};

use super::schema;

/// What a kind of a shape is.
pub struct Kind {
    pub kind: &'static str,
    pub group: &'static str,
    pub short: &'static str,
    pub namespaced: bool,
    /// Versions, the stored one first. Where there are several, a webhook converts.
    pub versions: &'static [&'static str],
    pub scale: bool,
    /// Where the schema and the objects come from.
    pub pattern: &'static Pattern,
}

/// A specification that several kinds share, as products share them.
pub struct Pattern {
    /// The schema of `spec`.
    pub spec: fn(&schema::Types) -> Value,
    /// A specification as a user writes it: what has a default is left out.
    pub object: fn(usize) -> Value,
    /// What defaults add to it, by pointer.
    pub defaults: &'static [(&'static str, &'static str)],
    /// A field that tells something in the table, and may be selected by: a text of the specification.
    pub shown: &'static str,
}

impl Kind {
    pub fn plural(&self) -> String {
        let lower = self.kind.to_lowercase();
        match lower.strip_suffix('y') {
            Some(stem) if !lower.ends_with("ey") && !lower.ends_with("ay") => format!("{stem}ies"),
            _ if lower.ends_with('s') || lower.ends_with("ch") => format!("{lower}es"),
            _ => format!("{lower}s"),
        }
    }

    /// `<plural>.<group>`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural(), self.group)
    }

    /// The path of an object in a version.
    pub fn path(&self, version: &str, namespace: &str, name: &str) -> String {
        let (group, plural) = (self.group, self.plural());
        if self.namespaced {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}")
        } else {
            format!("/apis/{group}/{version}/{plural}/{name}")
        }
    }

    /// The definition. `category` is the product's, `converter` the configuration of its conversion webhook.
    pub fn definition(&self, types: &schema::Types, category: &str, converter: &Value) -> Value {
        let schema = self.schema((self.pattern.spec)(types));
        let versions: Vec<Value> = (self.versions.iter().enumerate())
            .map(|(index, version)| self.version(version, index == 0, &schema))
            .collect();
        let mut made = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.name(),
                "annotations": {"controller-gen.kubebuilder.io/version": "v0.19.0"},
                "labels": {"app.kubernetes.io/part-of": category},
            },
            "spec": {
                "group": self.group,
                "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
                "names": {
                    "kind": self.kind, "listKind": format!("{}List", self.kind), "plural": self.plural(),
                    "singular": self.kind.to_lowercase(), "categories": [category],
                },
                "versions": versions,
            },
        });
        if !self.short.is_empty() {
            made["spec"]["names"]["shortNames"] = json!([self.short]);
        }
        if self.versions.len() > 1 {
            made["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
                "clientConfig": converter, "conversionReviewVersions": ["v1"]}});
        }
        made
    }

    fn schema(&self, spec: Value) -> Value {
        let mut status = schema::object(json!({
            "conditions": schema::conditions(),
            "observedGeneration": {"type": "integer", "format": "int64"},
            "replicas": {"type": "integer", "format": "int32"},
            "selector": schema::text(),
            "history": schema::anything(),
        }));
        status["default"] = json!({"observedGeneration": -1});
        json!({
            "type": "object",
            "description": format!("{} is what its controller makes true.", self.kind),
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
                "spec": spec, "status": status,
            },
            "x-kubernetes-validations": [
                {"rule": "self.metadata.name.size() <= 63", "message": "the name is a label's value, too", "reason": "FieldValueForbidden"},
            ],
        })
    }

    fn version(&self, name: &str, stored: bool, schema: &Value) -> Value {
        let shown = format!(".spec.{}", self.pattern.shown);
        let mut subresources = json!({"status": {}});
        if self.scale {
            subresources["scale"] = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector"});
        }
        let mut made = json!({
            "name": name, "served": true, "storage": stored,
            "schema": {"openAPIV3Schema": schema},
            "subresources": subresources,
            "selectableFields": [{"jsonPath": shown}],
            "additionalPrinterColumns": [
                {"name": "Shown", "type": "string", "jsonPath": shown},
                {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                {"name": "Reason", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"},
            ],
        });
        if !stored {
            made["deprecated"] = json!(true);
            made["deprecationWarning"] = json!(format!("{}/{name} {} is old", self.group, self.kind));
        }
        made
    }

    /// The object of that number; in an older version when the kind has one and the number is odd.
    pub fn object(&self, number: usize, namespace: &str, category: &str) -> Value {
        let version = self.versions[number % 2 % self.versions.len()];
        let mut made = json!({
            "apiVersion": format!("{}/{version}", self.group),
            "kind": self.kind,
            "metadata": {"name": format!("{}-{number}", self.kind.to_lowercase()), "labels": {"app.kubernetes.io/part-of": category}},
            "spec": (self.pattern.object)(number),
        });
        if self.namespaced {
            made["metadata"]["namespace"] = json!(namespace);
        }
        made
    }
}
