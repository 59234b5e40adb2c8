//! The `api-version` of a request.

use super::{Front, Incoming, Registered};
use crate::{ArmError, locations};

/// Versions of the `Microsoft.Resources` surface to name in texts and provider lists.
pub(super) const RESOURCES_VERSIONS: &[&str] = &[
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-12-01",
    "2022-09-01",
    "2021-04-01",
    "2021-01-01",
    "2020-10-01",
    "2020-06-01",
    "2019-11-01",
    "2019-10-01",
    "2018-05-01",
    "2016-09-01",
    "2016-06-01",
];

/// Whether a text looks like a version and names a plausible day: clients of many ages speak to one cloud.
fn plausible(version: &str) -> bool {
    let (date, suffix) = version.split_at_checked(10).unwrap_or((version, ""));
    let suffix_ok = suffix.is_empty()
        || (suffix.starts_with('-')
            && suffix.len() > 1
            && suffix[1..].chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    let year: i16 = date.get(..4).and_then(|y| y.parse().ok()).unwrap_or(0);
    suffix_ok && date.parse::<jiff::civil::Date>().is_ok() && (2014..=2028).contains(&year)
}

impl Front {
    /// The version, which every request must carry.
    pub(super) fn api_version(&self, incoming: &Incoming) -> Result<String, ArmError> {
        match incoming.query("api-version") {
            Some(version) if !version.is_empty() => Ok(version.to_ascii_lowercase()),
            _ => Err(ArmError::bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )),
        }
    }

    /// Refuses versions the resource manager's own surface does not know.
    pub(super) fn check_own_version(&self, version: &str) -> Result<(), ArmError> {
        if plausible(version) {
            return Ok(());
        }
        Err(ArmError::bad_request(
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{version}' is invalid. The supported versions are '{}'.",
                RESOURCES_VERSIONS.join(",")
            ),
        ))
    }

    /// Refuses versions a type does not know.
    pub(super) fn check_type_version(&self, registered: &Registered, version: &str) -> Result<(), ArmError> {
        let descriptor = &registered.descriptor;
        let listed = descriptor.api_versions.iter().any(|v| v.eq_ignore_ascii_case(version));
        if listed || (!descriptor.strict && plausible(version)) {
            return Ok(());
        }
        Err(ArmError::bad_request(
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for location '' and API version '{version}' for type '{}'. The supported api-versions are '{}'. The supported locations are '{}'.",
                descriptor.short_type(),
                descriptor.api_versions.join(", "),
                locations::ALL.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions() {
        for good in ["2024-11-01", "2025-05-31-preview", "2019-04-01"] {
            assert!(super::plausible(good), "{good}");
        }
        for bad in ["", "latest", "2099-01-01", "2024-13-01", "2024-11-01preview", "1999-01-01"] {
            assert!(!super::plausible(bad), "{bad}");
        }
    }
}
