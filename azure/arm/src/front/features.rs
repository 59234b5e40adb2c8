//! Preview features: registration is remembered, and `Registered` at once.

use http::Method;
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::{ArmError, ResourceId};

impl Front {
    fn feature_json(&self, subscription: &str, namespace: &str, feature: &str, state: &str) -> Value {
        json!({
            "id": format!("/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}"),
            "name": format!("{namespace}/{feature}"), "type": "Microsoft.Features/providers/features",
            "properties": {"state": state},
        })
    }

    pub(super) async fn features(
        &self,
        asked: &Asked<'_>,
        subscription: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let scope = ResourceId::of_subscription(subscription);
        let words: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let key =
            |namespace: &str, feature: &str| format!("feature/{namespace}/{feature}").to_ascii_lowercase();
        match (asked.method().clone(), &words[..]) {
            (Method::GET, ["features"] | ["providers", _, "features"]) => {
                asked.authorize("Microsoft.Features/features/read", &scope)?;
                let namespace = if words.len() == 3 { words[1] } else { "" };
                let known: Vec<(String, (String, String, String))> = self.settings.list("feature/")?;
                let list = known
                    .into_iter()
                    .filter(|(_, (n, ..))| namespace.is_empty() || n.eq_ignore_ascii_case(namespace));
                Ok(Answer::list(
                    list.map(|(_, (n, f, s))| self.feature_json(subscription, &n, &f, &s)).collect(),
                ))
            }
            (Method::GET, ["providers", _, "features", _]) => {
                asked.authorize("Microsoft.Features/providers/features/read", &scope)?;
                let found: Option<(String, String, String)> = self.settings.get(&key(&rest[1], &rest[3]))?;
                let state = found.map_or_else(|| "NotRegistered".to_owned(), |(.., s)| s);
                Ok(Answer::ok(self.feature_json(subscription, &rest[1], &rest[3], &state)))
            }
            (Method::POST, ["providers", _, "features", _, deed @ ("register" | "unregister")]) => {
                asked.authorize(&format!("Microsoft.Features/providers/features/{deed}/action"), &scope)?;
                let state = if *deed == "register" { "Registered" } else { "Unregistered" };
                let value = (rest[1].clone(), rest[3].clone(), state.to_owned());
                self.settings.put(&key(&rest[1], &rest[3]), &value).await?;
                Ok(Answer::ok(self.feature_json(subscription, &rest[1], &rest[3], state)))
            }
            (method, [first @ ("featureproviders" | "subscriptionfeatureregistrations"), ..]) => {
                Err(ArmError::not_implemented(format_args!(
                    "The operation '{method} Microsoft.Features/{first}'"
                )))
            }
            _ => Err(no_route(asked.incoming)),
        }
    }
}
