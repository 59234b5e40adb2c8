//! Tenants, subscriptions, locations, tag names.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::{ArmError, ResourceId, locations};

impl Front {
    /// 404 for a subscription this cloud does not have, 400 for what is none.
    pub(super) fn check_subscription(&self, id: &str) -> Result<(), ArmError> {
        if id.eq_ignore_ascii_case(&self.config.subscription_id) {
            return Ok(());
        }
        if uuid::Uuid::parse_str(id).is_err() {
            return Err(ArmError::bad_request(
                "InvalidSubscriptionId",
                format!("The provided subscription identifier '{id}' is malformed or invalid."),
            ));
        }
        Err(ArmError::subscription_not_found(id))
    }

    pub(super) fn list_tenants(&self, asked: &Asked<'_>) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        let id = &self.config.tenant_id;
        Ok(Answer::list(vec![json!({
            "id": format!("/tenants/{id}"), "tenantId": id, "countryCode": "US", "displayName": "Lazurite",
            "domains": [self.config.tenant_domain], "defaultDomain": self.config.tenant_domain,
            "tenantCategory": "Home", "tenantType": "AAD",
        })]))
    }

    fn subscription_json(&self) -> Value {
        let id = &self.config.subscription_id;
        let stored = self.resources.get(&ResourceId::of_subscription(id));
        json!({
            "id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": self.config.tenant_id,
            "displayName": self.config.subscription_name, "state": "Enabled", "authorizationSource": "RoleBased",
            "managedByTenants": [], "tags": stored.and_then(|s| s.tags.clone()),
            "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
        })
    }

    /// Shows only what the caller has some role in.
    pub(super) fn list_subscriptions(&self, asked: &Asked<'_>) -> Result<Answer, ArmError> {
        let scope = ResourceId::of_subscription(&self.config.subscription_id);
        let seen =
            asked.ctx.access.may_somewhere(asked.caller(), "Microsoft.Resources/subscriptions/read", &scope);
        let list: Vec<Value> = seen.then(|| self.subscription_json()).into_iter().collect();
        Ok(Answer::ok(json!({"count": {"type": "Total", "value": list.len()}, "value": list})))
    }

    pub(super) fn show_subscription(&self, asked: &Asked<'_>, id: &str) -> Result<Answer, ArmError> {
        asked.authorize("Microsoft.Resources/subscriptions/read", &ResourceId::of_subscription(id))?;
        Ok(Answer::ok(self.subscription_json()))
    }

    pub(super) fn list_locations(&self, asked: &Asked<'_>, id: &str) -> Result<Answer, ArmError> {
        let scope = ResourceId::of_subscription(id);
        if !asked.ctx.access.may_somewhere(asked.caller(), "Microsoft.Resources/subscriptions/read", &scope) {
            asked.authorize("Microsoft.Resources/subscriptions/locations/read", &scope)?;
        }
        Ok(Answer::ok(locations::json(id)))
    }

    pub(super) fn list_tag_names(&self, asked: &Asked<'_>, id: &str) -> Result<Answer, ArmError> {
        let scope = ResourceId::of_subscription(id);
        asked.authorize("Microsoft.Resources/subscriptions/tagNames/read", &scope)?;
        let mut names: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for resource in self.resources.list(&scope) {
            for (name, value) in resource.tags.iter().flatten() {
                *names.entry(name.clone()).or_default().entry(value.clone()).or_default() += 1;
            }
        }
        let count = |n: usize| json!({"type": "Total", "value": n});
        Ok(Answer::list(
            names
                .iter()
                .map(|(name, values)| {
                    json!({
                        "id": format!("{scope}/tagNames/{name}"), "tagName": name, "count": count(values.values().sum()),
                        "values": values.iter().map(|(value, n)| json!({
                            "id": format!("{scope}/tagNames/{name}/tagValues/{value}"), "tagValue": value, "count": count(*n),
                        })).collect::<Vec<_>>(),
                    })
                })
                .collect(),
        ))
    }
}
