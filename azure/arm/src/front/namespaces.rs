//! Resource providers: list, show, register.

use http::Method;
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front, versions};
use crate::types::Provider;
use crate::{ArmError, ResourceId, locations};

impl Front {
    fn state(&self, namespace: &str) -> &'static str {
        let key = format!("provider/{}", namespace.to_ascii_lowercase());
        match self.settings.get::<bool>(&key) {
            Ok(Some(false)) => "NotRegistered",
            Ok(_) => "Registered",
            Err(error) => {
                tracing::error!(error = %kit::Chain(&error), "failed to read a provider's state");
                "Registered"
            }
        }
    }

    /// 409 when the subscription gave the namespace up.
    pub(super) fn require_registered(&self, namespace: &str) -> Result<(), ArmError> {
        if self.state(namespace) == "Registered" {
            return Ok(());
        }
        Err(ArmError::conflict(
            "MissingSubscriptionRegistration",
            format!(
                "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions."
            ),
        ))
    }

    /// What templates see of each namespace, by its name in lower case.
    pub(crate) fn namespaces(&self) -> std::collections::BTreeMap<String, Value> {
        let shown = |provider: &Provider| {
            let kinds = provider.types.iter().map(|kind| {
                let d = kind.descriptor();
                let places: Vec<&str> = locations::ALL.iter().map(|(_, display, ..)| *display).collect();
                let places = if d.tracked { places } else { Vec::new() };
                json!({ "resourceType": d.short_type(), "locations": places, "apiVersions": d.api_versions })
            });
            json!({ "namespace": provider.namespace, "resourceTypes": kinds.collect::<Vec<_>>() })
        };
        self.providers.iter().map(|(name, provider)| (name.clone(), shown(provider))).collect()
    }

    fn namespace_json(&self, subscription: Option<&str>, provider: &Provider) -> Value {
        let display: Vec<&str> = locations::ALL.iter().map(|(_, display, ..)| *display).collect();
        let mut types: Vec<Value> = provider
            .types
            .iter()
            .map(|kind| {
                let d = kind.descriptor();
                let mut places = if d.tracked { display.clone() } else { Vec::new() };
                if d.global {
                    places.insert(0, "global");
                }
                json!({
                    "resourceType": d.short_type(), "locations": places, "apiVersions": d.api_versions,
                    "defaultApiVersion": d.api_versions.first(),
                    "capabilities": if d.tracked { "CrossResourceGroupResourceMove, CrossSubscriptionResourceMove, SupportsTags, SupportsLocation" } else { "None" },
                })
            })
            .collect();
        // What the resource manager itself answers in the namespace.
        for row in self.built_in_namespaces() {
            let is_same =
                row["namespace"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(provider.namespace));
            types.extend(row["resourceTypes"].as_array().into_iter().flatten().filter(|_| is_same).cloned());
        }
        let mut body = json!({
            "namespace": provider.namespace, "registrationPolicy": "RegistrationRequired", "resourceTypes": types,
        });
        if let Some(subscription) = subscription {
            body["id"] = json!(format!("/subscriptions/{subscription}/providers/{}", provider.namespace));
            body["registrationState"] = json!(self.state(provider.namespace));
        } else {
            body["id"] = json!(format!("/providers/{}", provider.namespace));
        }
        body
    }

    fn built_in_namespaces(&self) -> Vec<Value> {
        let versions = versions::RESOURCES_VERSIONS;
        let row = |namespace: &str, kinds: &[&str]| {
            json!({
                "id": format!("/providers/{namespace}"), "namespace": namespace, "registrationState": "Registered",
                "registrationPolicy": "RegistrationFree",
                "resourceTypes": kinds.iter().map(|k| json!({"resourceType": k, "locations": [], "apiVersions": versions})).collect::<Vec<_>>(),
            })
        };
        vec![
            row(
                "Microsoft.Authorization",
                &["roleAssignments", "roleDefinitions", "locks", "permissions", "denyAssignments"],
            ),
            row(
                "Microsoft.Resources",
                &["subscriptions", "resourceGroups", "deployments", "tags", "tenants"],
            ),
            row("Microsoft.Features", &["features", "providers"]),
            row("Microsoft.Management", &["managementGroups"]),
            row("Microsoft.ResourceHealth", &["availabilityStatuses", "events"]),
            row("Microsoft.Insights", &["eventtypes"]),
        ]
    }

    pub(super) fn list_namespaces(
        &self,
        asked: &Asked<'_>,
        subscription: Option<&str>,
    ) -> Result<Answer, ArmError> {
        if let Some(subscription) = subscription {
            asked.authorize(
                "Microsoft.Resources/subscriptions/providers/read",
                &ResourceId::of_subscription(subscription),
            )?;
        }
        let mut list: Vec<Value> =
            self.providers.values().map(|p| self.namespace_json(subscription, p)).collect();
        list.extend(self.built_in_namespaces().into_iter().filter(|row| {
            row["namespace"].as_str().is_some_and(|n| !self.providers.contains_key(&n.to_ascii_lowercase()))
        }));
        Ok(Answer::list(list))
    }

    pub(super) fn show_namespace(
        &self,
        asked: &Asked<'_>,
        subscription: Option<&str>,
        namespace: &str,
    ) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        if let Some(subscription) = subscription {
            asked.authorize(
                "Microsoft.Resources/subscriptions/providers/read",
                &ResourceId::of_subscription(subscription),
            )?;
        }
        if let Some(provider) = self.providers.get(namespace) {
            return Ok(Answer::ok(self.namespace_json(subscription, provider)));
        }
        let built_in = self.built_in_namespaces();
        let row = built_in
            .into_iter()
            .find(|r| r["namespace"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(namespace)));
        row.map(Answer::ok).ok_or_else(|| unknown(namespace))
    }

    pub(super) async fn register_namespace(
        &self,
        asked: &Asked<'_>,
        subscription: &str,
        namespace: &str,
        register: bool,
    ) -> Result<Answer, ArmError> {
        if asked.method() != Method::POST {
            return Err(no_route(asked.incoming));
        }
        let deed = if register { "register" } else { "unregister" };
        let scope = ResourceId::of_subscription(subscription);
        let known = self.providers.get(namespace);
        let spelled = known.map_or(namespace, |provider| provider.namespace);
        asked.authorize(&format!("{spelled}/{deed}/action"), &scope)?;
        let Some(provider) = known else { return self.built_in_or_unknown(namespace) };
        self.settings.put(&format!("provider/{namespace}"), &register).await?;
        Ok(Answer::ok(self.namespace_json(Some(subscription), provider)))
    }

    fn built_in_or_unknown(&self, namespace: &str) -> Result<Answer, ArmError> {
        let row = self
            .built_in_namespaces()
            .into_iter()
            .find(|r| r["namespace"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(namespace)));
        row.map(Answer::ok).ok_or_else(|| unknown(namespace))
    }
}

fn unknown(namespace: &str) -> ArmError {
    ArmError::new(
        http::StatusCode::NOT_FOUND,
        "InvalidResourceNamespace",
        format!("The resource namespace '{namespace}' is invalid."),
    )
}
