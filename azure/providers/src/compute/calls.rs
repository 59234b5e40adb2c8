//! Calls that address the provider itself: sizes, SKUs, usages, images.

use arm::{Acted, ArmError, Call, Ctx, ProviderCalls};
use async_trait::async_trait;

use super::{images, quota, sizes};

/// Calls of `Microsoft.Compute`.
pub struct Calls;

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let path: Vec<String> = call.path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let answer = match path.as_slice() {
            ["skus"] => sizes::skus(&filtered_locations(ctx)),
            ["locations", _, "vmsizes"] => sizes::listing(),
            ["locations", location, "publishers", rest @ ..] => {
                return images::answer(ctx, call.scope, location, rest);
            }
            ["locations", location, "usages"] => quota::usages(&ctx.resources, location),
            _ => return None,
        };
        Some(Ok(Acted::Done(Some(answer))))
    }
}

/// `$filter=location eq 'eastus'`; without it every region.
fn filtered_locations(ctx: &Ctx) -> Vec<String> {
    let filter = ctx.query("$filter").unwrap_or_default();
    match filter.split('\'').nth(1) {
        Some(location) if filter.to_ascii_lowercase().starts_with("location") => {
            vec![arm::locations::normal(location)]
        }
        _ => arm::locations::ALL.iter().map(|(name, ..)| (*name).to_owned()).collect(),
    }
}
