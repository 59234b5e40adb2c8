//! `providerOperations`: the actions that roles can name, worked out from the registered types.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::not_found;
use crate::front::route::{Asked, no_route};
use crate::front::{Answer, Front};
use crate::{ArmError, Provider};

impl Front {
    /// Public facts: whoever is known to the directory may read them.
    pub(super) fn provider_operations(&self, asked: &Asked<'_>, rest: &[String]) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        match rest {
            [] => Ok(Answer::list(self.providers.values().map(listed).collect())),
            [namespace] => match self.providers.get(&namespace.to_ascii_lowercase()) {
                Some(provider) => Ok(Answer::ok(listed(provider))),
                None => Err(not_found("ProviderNotFound", format!("Provider '{namespace}' not found."))),
            },
            _ => Err(no_route(asked.incoming)),
        }
    }
}

fn listed(provider: &Provider) -> Value {
    let mut types: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    for kind in &provider.types {
        let descriptor = kind.descriptor();
        let operation = |deed: &str, words: &str| {
            json!({
                "name": format!("{}/{deed}", descriptor.full_type), "displayName": format!("{words} {}", descriptor.short_type()),
                "description": format!("{words} {}", descriptor.full_type), "isDataAction": false, "origin": "user,system",
            })
        };
        types.insert(
            descriptor.short_type(),
            vec![
                operation("read", "Get"),
                operation("write", "Create or update"),
                operation("delete", "Delete"),
            ],
        );
    }
    let types: Vec<Value> = types
        .iter()
        .map(|(name, operations)| json!({"name": name, "displayName": name, "operations": operations}))
        .collect();
    json!({
        "id": format!("/providers/Microsoft.Authorization/providerOperations/{}", provider.namespace),
        "type": "Microsoft.Authorization/providerOperations", "name": provider.namespace,
        "displayName": provider.namespace, "resourceTypes": types, "operations": [],
    })
}

/// What `/providers/{namespace}/operations` shows: the operations that roles are made of, one after the other.
pub(in crate::front) fn of_provider(provider: &Provider) -> Vec<Value> {
    let descriptors = provider.types.iter().map(|kind| kind.descriptor());
    let deeds = [("read", "Get"), ("write", "Create or update"), ("delete", "Delete")];
    let each = |d: crate::TypeDescriptor| {
        deeds.map(|(deed, words)| {
            json!({
                "name": format!("{}/{deed}", d.full_type), "isDataAction": false, "origin": "user,system",
                "display": {
                    "provider": provider.namespace, "resource": d.short_type(),
                    "operation": format!("{words} {}", d.short_type()),
                    "description": format!("{words} {}", d.full_type),
                },
            })
        })
    };
    descriptors.flat_map(each).collect()
}
