//! What is asked of the provider itself: free names, deleted vaults of a subscription.

use arm::{Acted, ArmError, Call, Ctx, ProviderCalls};
use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::json;

use super::directory::{Directory, Entry};
use super::{collection, deleted, shape};

pub(super) struct Calls;

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let words: Vec<String> = call.path.iter().map(|word| word.to_ascii_lowercase()).collect();
        match (call.method, words.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::POST, ["checknameavailability"]) => Some(available(ctx, &call)),
            (&Method::GET, ["deletedvaults"]) => {
                let found = deleted::all(ctx, call.scope);
                let shown = found.iter().map(deleted::shown).collect();
                Some(Ok(Acted::Answer(StatusCode::OK, collection(shown))))
            }
            // Managed HSMs are not built: there are none.
            (&Method::GET, ["managedhsms"] | ["deletedmanagedhsms"]) => {
                Some(Ok(Acted::Answer(StatusCode::OK, collection(Vec::new()))))
            }
            _ => None,
        }
    }
}

fn available(ctx: &Ctx, call: &Call<'_>) -> Result<Acted, ArmError> {
    let name = call.body["name"].as_str().unwrap_or_default();
    let body = if !shape::well_named(name) {
        json!({"nameAvailable": false, "reason": "AccountNameInvalid", "message": shape::invalid_name(name)})
    } else {
        match Directory::new(ctx).find(name)? {
            None => json!({"nameAvailable": true}),
            Some(Entry::Active(_) | Entry::Deleted(_)) => json!({
                "nameAvailable": false, "reason": "AlreadyExists",
                "message": super::taken(name).message,
            }),
        }
    };
    Ok(Acted::Answer(StatusCode::OK, body))
}
