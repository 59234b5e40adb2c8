//! Calls that address the provider itself: sizes, SKUs, usages.

use arm::{Acted, ArmError, Call, Ctx, ProviderCalls};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{instances, sizes};

/// Calls of `Microsoft.Compute`.
pub struct Calls;

/// Cores a region offers. Not enforced: the host's own limits are.
const CORES_MAX: u32 = 10_000;

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let path: Vec<String> = call.path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let answer = match path.as_slice() {
            ["skus"] => sizes::skus(&filtered_locations(ctx)),
            ["locations", _, "vmsizes"] => sizes::listing(),
            ["locations", location, "usages"] => usages(ctx, location),
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

fn usages(ctx: &Ctx, location: &str) -> Value {
    let here: Vec<_> =
        instances::all(&ctx.resources).into_iter().filter(|instance| instance.location == location).collect();
    let cores = |family: Option<&str>| -> u32 {
        here.iter()
            .filter_map(|instance| sizes::find(&instance.size))
            .filter(|size| family.is_none_or(|family| size.family == family))
            .map(|size| size.cpus)
            .sum()
    };
    let usage = |name: &str, localized: String, used: u32, limit: u32| {
        json!({
            "unit": "Count", "currentValue": used, "limit": limit,
            "name": { "value": name, "localizedValue": localized },
        })
    };
    let mut value = vec![
        usage("cores", "Total Regional vCPUs".into(), cores(None), CORES_MAX),
        usage("virtualMachines", "Virtual Machines".into(), here.len() as u32, 25_000),
        usage(
            "virtualMachineScaleSets",
            "Virtual Machine Scale Sets".into(),
            here.iter().map(|i| i.id.top()).collect::<std::collections::BTreeSet<_>>().len() as u32,
            2_500,
        ),
    ];
    let mut families: Vec<&str> = sizes::SIZES.iter().map(|size| size.family).collect();
    families.dedup();
    for family in families {
        value.push(usage(family, format!("{family} vCPUs"), cores(Some(family)), CORES_MAX));
    }
    json!({ "value": value })
}
