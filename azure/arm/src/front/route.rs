//! Which handler a path belongs to.

use std::sync::Arc;

use futures::future::BoxFuture;
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
        self.throttle(incoming, &caller)?;
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

    /// The resource manager's own paths; `None`: it is a provider's. Nothing is done before the version is known to be
    /// good.
    async fn own(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        words: &[&str],
        version: &str,
    ) -> Result<Option<Answer>, ArmError> {
        let Some(work) = self.reading(asked, words).or_else(|| self.doing(asked, words)) else {
            return Ok(None);
        };
        self.check_own_version(version)?;
        work.await.map(Some)
    }

    /// Paths that are only read.
    fn reading<'a>(self: &'a Arc<Self>, asked: &'a Asked<'_>, words: &'a [&'a str]) -> Option<Work<'a>> {
        if asked.method() != Method::GET {
            return None;
        }
        let work: Work<'a> = match words {
            ["tenants"] => Box::pin(async move { self.list_tenants(asked) }),
            ["subscriptions"] => Box::pin(async move { self.list_subscriptions(asked) }),
            ["subscriptions", s] => Box::pin(async move { self.show_subscription(asked, s) }),
            ["subscriptions", s, "locations"] => Box::pin(async move { self.list_locations(asked, s) }),
            ["subscriptions", s, "tagnames"] => Box::pin(async move { self.list_tag_names(asked, s) }),
            ["subscriptions", s, "resources"] => {
                Box::pin(async move { self.list_resources(asked, ResourceId::of_subscription(s)) })
            }
            ["subscriptions", s, "resourcegroups"] => Box::pin(async move { self.list_groups(asked, s) }),
            ["subscriptions", s, "resourcegroups", g, "resources"] => {
                Box::pin(async move { self.list_resources(asked, ResourceId::of_group(s, g)) })
            }
            ["providers"] => Box::pin(async move { self.list_namespaces(asked, None) }),
            ["providers", n] => Box::pin(async move { self.show_namespace(asked, None, n) }),
            ["subscriptions", s, "providers"] => {
                Box::pin(async move { self.list_namespaces(asked, Some(s)) })
            }
            ["subscriptions", s, "providers", n] => {
                Box::pin(async move { self.show_namespace(asked, Some(s), n) })
            }
            _ => return None,
        };
        Some(work)
    }

    /// Paths with several methods.
    fn doing<'a>(self: &'a Arc<Self>, asked: &'a Asked<'_>, words: &'a [&'a str]) -> Option<Work<'a>> {
        let segments = &asked.incoming.segments;
        let work: Work<'a> = match words {
            ["subscriptions", s, "resourcegroups", _] => Box::pin(self.group(asked, s, &segments[3])),
            [
                "subscriptions",
                s,
                "resourcegroups",
                _,
                deed @ ("moveresources" | "validatemoveresources" | "exporttemplate"),
            ] => Box::pin(
                async move { self.group_action(asked, &ResourceId::of_group(s, &segments[3]), deed) },
            ),
            ["subscriptions", s, "resourcegroups", _, "deployments", ..] => {
                Box::pin(self.deployments(asked, ResourceId::of_group(s, &segments[3]), &segments[5..]))
            }
            ["subscriptions", s, "providers", n, deed @ ("register" | "unregister")] => {
                Box::pin(self.register_namespace(asked, s, n, *deed == "register"))
            }
            ["subscriptions", s, "providers", "microsoft.features", ..] => {
                Box::pin(self.features(asked, s, &segments[4..]))
            }
            ["subscriptions", _, "providers", _, "locations", _, kind, id] if operation_word(kind) => {
                Box::pin(self.operation(asked, kind, id))
            }
            ["subscriptions", _, "tagnames", ..] => Box::pin(async move {
                Err(ArmError::not_implemented(format_args!(
                    "The operation '{}' on predefined tag names",
                    asked.method()
                )))
            }),
            ["subscriptions", _, "operationresults", id] => {
                Box::pin(self.operation(asked, "operationresults", id))
            }
            _ => return None,
        };
        Some(work)
    }

    async fn in_namespace(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        namespace: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let first = rest.first().map(|s| s.to_ascii_lowercase()).unwrap_or_default();
        let typed = self.registered(&format!("{namespace}/{first}")).is_some();
        let own = [
            "microsoft.authorization",
            "microsoft.resources",
            "microsoft.management",
            "microsoft.resourcehealth",
        ];
        if !typed && own.iter().any(|n| n.eq_ignore_ascii_case(namespace)) {
            self.check_own_version(&asked.ctx.api_version)?;
        }
        match (namespace.to_ascii_lowercase().as_str(), first.as_str()) {
            ("microsoft.authorization", kind) if authorization::KINDS.contains(&kind) => {
                self.authorization(asked, scope, &first, &rest[1..]).await
            }
            ("microsoft.management", "managementgroups") if scope == ResourceId::root() => {
                self.management_groups(asked, &rest[1..]).await
            }
            ("microsoft.management", _) if scope == ResourceId::root() => {
                self.management(asked, rest).unwrap_or_else(|| Err(no_route(asked.incoming)))
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

/// What answers a request, not begun yet.
type Work<'a> = BoxFuture<'a, Result<Answer, ArmError>>;

fn operation_word(word: &str) -> bool {
    matches!(word, "operations" | "operationresults" | "operationstatuses")
}
