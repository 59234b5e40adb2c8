//! `Microsoft.Storage`: accounts with their keys, blob and file services, containers and shares, as resources.
//!
//! What is in containers and shares is not here: the accounts' endpoints are names that nothing answers for.

mod accounts;
mod contents;
mod services;

use arm::{Acted, ArmError, Call, Ctx, Provider, ProviderCalls};
use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::json;

pub use accounts::ACCOUNTS;

const API_VERSIONS: &[&str] = &[
    "2025-06-01",
    "2025-01-01",
    "2024-01-01",
    "2023-05-01",
    "2023-04-01",
    "2023-01-01",
    "2022-09-01",
    "2022-05-01",
    "2021-09-01",
    "2021-04-01",
    "2019-06-01",
    "2017-10-01",
];

/// The provider.
pub fn provider() -> Provider {
    Provider::new("Microsoft.Storage")
        .with(accounts::Accounts)
        .with(services::BlobServices)
        .with(services::FileServices)
        .with(contents::Containers)
        .with(contents::Shares)
        .with_calls(Calls)
}

struct Calls;

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let words: Vec<String> = call.path.iter().map(|word| word.to_ascii_lowercase()).collect();
        match (call.method, words.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::POST, ["checknameavailability"]) => {
                let name = call.body["name"].as_str().unwrap_or_default();
                let body = match accounts::free(ctx, name, None) {
                    Ok(()) => json!({"nameAvailable": true}),
                    Err(error) => {
                        let invalid = error.code == "AccountNameInvalid";
                        let reason = if invalid { "AccountNameInvalid" } else { "AlreadyExists" };
                        json!({"nameAvailable": false, "reason": reason, "message": error.message})
                    }
                };
                Some(Ok(Acted::Answer(StatusCode::OK, body)))
            }
            (
                _,
                ["skus" | "usages" | "deletedaccounts", ..]
                | ["locations", _, "usages" | "deletedaccounts", ..],
            ) => Some(Err(ArmError::not_implemented(format_args!(
                "'Microsoft.Storage/{}'",
                call.path.join("/")
            )))),
            _ => None,
        }
    }
}
