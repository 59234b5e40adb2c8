//! Which handler a path belongs to.

use std::sync::Arc;

use http::Method;

use super::{Answer, Front, Incoming, authorization};
use crate::{ArmError, Caller, Ctx, ResourceId};

/// A request with everything known about who and what.
pub(crate) struct Asked<'a> {
    pub incoming: &'a Incoming,
    pub ctx: Ctx,
}

impl Asked<'_> {
    pub(crate) fn method(&self) -> &Method {
        &self.incoming.method
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.ctx.caller
    }

    /// Authorises, and notes the deed for the activity log.
    pub(crate) fn authorize(&self, action: &str, scope: &ResourceId) -> Result<(), ArmError> {
        self.incoming.note(action, scope, &self.ctx.caller);
        self.ctx.access.authorize(&self.ctx.caller, action, scope)
    }
}

/// Where `providers/<namespace>` begins: the last one that has a namespace behind it.
fn provider_at(segments: &[String]) -> Option<usize> {
    let last = segments.iter().rposition(|s| s.eq_ignore_ascii_case("providers"))?;
    (last + 1 < segments.len()).then_some(last)
}

pub(super) fn no_route(incoming: &Incoming) -> ArmError {
    ArmError::new(
        http::StatusCode::NOT_FOUND,
        "InvalidRequestUri",
        format!(
            "The request '{} {}' is not a known path of the resource manager.",
            incoming.method, incoming.uri
        ),
    )
}

impl Front {
    pub(super) async fn handle(self: &Arc<Self>, incoming: &Incoming) -> Result<Answer, ArmError> {
        let lower: Vec<String> = incoming.segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        if let ["metadata", "endpoints"] = words[..] {
            return self.metadata(incoming);
        }
        let caller = self.authenticate(incoming).await?;
        let version = self.api_version(incoming)?;
        let held = incoming.in_process.as_ref().map(|p| p.held.clone()).unwrap_or_default();
        let ctx = self.ctx_of(
            caller,
            incoming.ip,
            incoming.correlation_id.clone(),
            version.clone(),
            incoming.query.clone(),
            incoming.base_url.clone(),
            held,
        );
        let asked = Asked { incoming, ctx };
        if let ["subscriptions", subscription, ..] = words[..] {
            self.check_subscription(subscription)?;
        }
        if let Some(answer) = self.own(&asked, &words, &version).await? {
            return Ok(answer);
        }
        let Some(at) = provider_at(&incoming.segments) else { return Err(no_route(incoming)) };
        let scope = ResourceId::parse(&incoming.segments[..at].join("/")).map_err(|_| no_route(incoming))?;
        let (namespace, rest) = (&incoming.segments[at + 1], &incoming.segments[at + 2..]);
        self.in_namespace(&asked, scope, namespace, rest).await
    }

    /// The resource manager's own paths; `None`: it is a provider's.
    async fn own(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        words: &[&str],
        version: &str,
    ) -> Result<Option<Answer>, ArmError> {
        let segments = &asked.incoming.segments;
        let answer = match words {
            ["tenants"] => self.list_tenants(asked),
            ["subscriptions"] => self.list_subscriptions(asked),
            ["subscriptions", s] => self.show_subscription(asked, s),
            ["subscriptions", s, "locations"] => self.list_locations(asked, s),
            ["subscriptions", s, "tagnames"] if asked.method() == Method::GET => {
                self.list_tag_names(asked, s)
            }
            ["subscriptions", s, "resources"] => self.list_resources(asked, ResourceId::of_subscription(s)),
            ["subscriptions", s, "resourcegroups"] => self.list_groups(asked, s),
            ["subscriptions", s, "resourcegroups", _] => self.group(asked, s, &segments[3]).await,
            ["subscriptions", s, "resourcegroups", g, "resources"] => {
                self.list_resources(asked, ResourceId::of_group(s, g))
            }
            [
                "subscriptions",
                s,
                "resourcegroups",
                _,
                deed @ ("moveresources" | "validatemoveresources" | "exporttemplate"),
            ] => self.group_action(asked, &ResourceId::of_group(s, &segments[3]), deed),
            ["subscriptions", s, "resourcegroups", _, "deployments", ..] => {
                self.deployments(asked, ResourceId::of_group(s, &segments[3]), &segments[5..]).await
            }
            ["providers"] => self.list_namespaces(asked, None),
            ["providers", n] => self.show_namespace(asked, None, n),
            ["subscriptions", s, "providers"] => self.list_namespaces(asked, Some(s)),
            ["subscriptions", s, "providers", n] => self.show_namespace(asked, Some(s), n),
            ["subscriptions", s, "providers", n, deed @ ("register" | "unregister")] => {
                self.register_namespace(asked, s, n, *deed == "register").await
            }
            ["subscriptions", s, "providers", "microsoft.features", ..] => {
                self.features(asked, s, &segments[4..]).await
            }
            ["subscriptions", _, "providers", _, "locations", _, kind, id] if operation_word(kind) => {
                self.operation(asked, kind, id).await
            }
            ["subscriptions", _, "operationresults", id] => {
                self.operation(asked, "operationresults", id).await
            }
            _ => return Ok(None),
        };
        self.check_own_version(version)?;
        answer.map(Some)
    }

    async fn in_namespace(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        namespace: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let first = rest.first().map(|s| s.to_ascii_lowercase()).unwrap_or_default();
        match (namespace.to_ascii_lowercase().as_str(), first.as_str()) {
            ("microsoft.authorization", kind) if authorization::KINDS.contains(&kind) => {
                self.authorization(asked, scope, &first, &rest[1..]).await
            }
            ("microsoft.management", "managementgroups") if scope == ResourceId::root() => {
                self.management_groups(asked, &rest[1..]).await
            }
            ("microsoft.resources", "deployments") => self.deployments(asked, scope, &rest[1..]).await,
            ("microsoft.resources", "tags") => self.tags_at(asked, scope, &rest[1..]).await,
            ("microsoft.resourcehealth", "availabilitystatuses" | "events") => {
                self.health(asked, scope, &first, &rest[1..]).await
            }
            ("microsoft.insights", "eventtypes") => self.activity_log(asked, scope, rest),
            _ => self.typed(asked, scope, namespace, rest).await,
        }
    }
}

fn operation_word(word: &str) -> bool {
    matches!(word, "operations" | "operationresults" | "operationstatuses")
}
