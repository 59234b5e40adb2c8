//! Requests on a provider itself, and on types that are not built.
//!
//! Whoever may not do what is asked is refused before they hear whether it is built.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::route::Asked;
use super::{Answer, Front};
use crate::types::Call;
use crate::{ArmError, ResourceId};

impl Front {
    pub(super) async fn provider_call(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        namespace: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let words: Vec<&str> = rest.iter().step_by(2).map(String::as_str).collect();
        let named = format!("{namespace}/{}", words.join("/"));
        let provider = self.providers.get(&namespace.to_ascii_lowercase());
        if provider.is_none() && !namespace.to_ascii_lowercase().starts_with("microsoft.") {
            return Err(ArmError::new(
                StatusCode::NOT_FOUND,
                "InvalidResourceNamespace",
                format!("The resource namespace '{namespace}' is invalid."),
            ));
        }
        // Everybody who is signed in may read what there is.
        if let Some(provider) = provider
            && asked.method() == Method::GET
            && scope == ResourceId::root()
            && words == ["operations"]
        {
            return Ok(Answer::list(super::authorization::operations::of_provider(provider)));
        }
        // What is not built is refused to whoever might not do it where it is. Questions about the whole tenant, as Resource
        // Graph takes them, are everybody's: the answer has what the caller may read.
        if provider.is_some() || scope != ResourceId::root() {
            let full = provider.map_or(namespace, |provider| provider.namespace);
            asked.authorize(&format!("{full}/{}", of_provider(asked.method(), &words)), &scope)?;
        }
        let Some(provider) = provider else {
            return Err(ArmError::not_implemented(format_args!("The resource type '{named}'")));
        };
        if let Some(calls) = &provider.calls {
            let call =
                Call { method: asked.method(), scope: &scope, path: rest, body: asked.incoming.json()? };
            if let Some(answer) = calls.call(&asked.ctx, call).await {
                return Ok(self.acted(asked, &scope, answer?));
            }
        }
        if words.first().is_some_and(|first| super::unbuilt::is(namespace, first)) {
            return Err(ArmError::not_implemented(format_args!("The resource type '{named}'")));
        }
        // Not a type, but something that is asked of the provider itself.
        let place = words.first().is_some_and(|first| first.eq_ignore_ascii_case("locations"));
        if place || asked.method() == Method::POST && rest.len() == 1 {
            let below: Vec<&str> = rest.iter().skip(2 * usize::from(place)).map(String::as_str).collect();
            return Err(ArmError::not_implemented(format_args!(
                "The operation '{} {}/{}{}'",
                asked.method(),
                provider.namespace,
                if place { "locations/" } else { "" },
                below.join("/")
            )));
        }
        Err(ArmError::new(
            StatusCode::NOT_FOUND,
            "InvalidResourceType",
            format!(
                "The resource type '{}' could not be found in the namespace '{}' for api version '{}'. The supported api-versions are '{}'.",
                words.join("/"),
                provider.namespace,
                asked.ctx.api_version,
                provider.types.first().map(|t| t.descriptor().api_versions.join(",")).unwrap_or_default()
            ),
        ))
    }
}

/// What a role names a request on a provider itself, or on a type that is not built. To ask for a free name is to read,
/// whatever the method.
pub(super) fn of_provider(method: &Method, words: &[&str]) -> String {
    let free_name = words.last().is_some_and(|word| word.eq_ignore_ascii_case("checkNameAvailability"));
    let verb = match *method {
        Method::GET | Method::HEAD => "read",
        Method::PUT | Method::PATCH => "write",
        Method::DELETE => "delete",
        _ if free_name => "read",
        _ => "action",
    };
    format!("{}/{verb}", words.join("/"))
}
