//! The regions of the cloud: names are facts of the public cloud.

use serde_json::{Value, json};

/// `(name, display name, geography group, paired region)`.
pub const ALL: &[(&str, &str, &str, &str)] = &[
    ("eastus", "East US", "US", "westus"),
    ("eastus2", "East US 2", "US", "centralus"),
    ("centralus", "Central US", "US", "eastus2"),
    ("southcentralus", "South Central US", "US", "northcentralus"),
    ("northcentralus", "North Central US", "US", "southcentralus"),
    ("westus", "West US", "US", "eastus"),
    ("westus2", "West US 2", "US", "westcentralus"),
    ("westus3", "West US 3", "US", "eastus"),
    ("westcentralus", "West Central US", "US", "westus2"),
    ("canadacentral", "Canada Central", "Canada", "canadaeast"),
    ("canadaeast", "Canada East", "Canada", "canadacentral"),
    ("brazilsouth", "Brazil South", "South America", "southcentralus"),
    ("northeurope", "North Europe", "Europe", "westeurope"),
    ("westeurope", "West Europe", "Europe", "northeurope"),
    ("uksouth", "UK South", "UK", "ukwest"),
    ("ukwest", "UK West", "UK", "uksouth"),
    ("francecentral", "France Central", "Europe", "francesouth"),
    ("germanywestcentral", "Germany West Central", "Europe", "germanynorth"),
    ("switzerlandnorth", "Switzerland North", "Europe", "switzerlandwest"),
    ("norwayeast", "Norway East", "Europe", "norwaywest"),
    ("swedencentral", "Sweden Central", "Europe", "swedensouth"),
    ("polandcentral", "Poland Central", "Europe", ""),
    ("italynorth", "Italy North", "Europe", ""),
    ("spaincentral", "Spain Central", "Europe", ""),
    ("southeastasia", "Southeast Asia", "Asia Pacific", "eastasia"),
    ("eastasia", "East Asia", "Asia Pacific", "southeastasia"),
    ("japaneast", "Japan East", "Asia Pacific", "japanwest"),
    ("japanwest", "Japan West", "Asia Pacific", "japaneast"),
    ("koreacentral", "Korea Central", "Asia Pacific", "koreasouth"),
    ("australiaeast", "Australia East", "Asia Pacific", "australiasoutheast"),
    ("australiasoutheast", "Australia Southeast", "Asia Pacific", "australiaeast"),
    ("centralindia", "Central India", "Asia Pacific", "southindia"),
    ("southindia", "South India", "Asia Pacific", "centralindia"),
    ("uaenorth", "UAE North", "Middle East", "uaecentral"),
    ("southafricanorth", "South Africa North", "Africa", "southafricawest"),
    ("israelcentral", "Israel Central", "Middle East", ""),
    ("qatarcentral", "Qatar Central", "Middle East", ""),
];

/// `East US` and `eastus` are one place: lower case, without blanks.
pub fn normal(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// Whether the (normalised) name is a region.
pub fn exists(location: &str) -> bool {
    ALL.iter().any(|(name, ..)| *name == location)
}

/// All names joined by a comma, as error texts list them.
pub fn list() -> String {
    ALL.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",")
}

/// The answer of `GET /subscriptions/{id}/locations`.
pub fn json(subscription: &str) -> Value {
    let value: Vec<Value> = ALL
        .iter()
        .map(|(name, display, geography, pair)| {
            let paired: Vec<Value> = Some(*pair)
                .filter(|p| !p.is_empty())
                .map(|p| json!({"name": p, "id": format!("/subscriptions/{subscription}/locations/{p}")}))
                .into_iter()
                .collect();
            json!({
                "id": format!("/subscriptions/{subscription}/locations/{name}"), "name": name, "type": "Region",
                "displayName": display, "regionalDisplayName": format!("({geography}) {display}"),
                "availabilityZoneMappings": [
                    {"logicalZone": "1", "physicalZone": format!("{name}-az1")},
                    {"logicalZone": "2", "physicalZone": format!("{name}-az2")},
                    {"logicalZone": "3", "physicalZone": format!("{name}-az3")}],
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "geography": geography,
                    "geographyGroup": geography, "latitude": "0", "longitude": "0", "physicalLocation": display,
                    "pairedRegion": paired},
            })
        })
        .collect();
    json!({"value": value})
}
