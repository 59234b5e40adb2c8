//! Names and locations.

use super::Registered;
use crate::{ArmError, ResourceId, locations};

/// The characters a group's name may have beside letters and digits.
const GROUP_EXTRA: &str = "-._()";

/// Refuses a resource group name that ARM refuses.
pub(super) fn check_group_name(name: &str) -> Result<(), ArmError> {
    let wrong: Vec<String> = name
        .chars()
        .filter(|c| !c.is_alphanumeric() && !GROUP_EXTRA.contains(*c))
        .map(String::from)
        .collect();
    if !wrong.is_empty() {
        return Err(ArmError::bad_request(
            "InvalidResourceGroup",
            format!(
                "The provided resource group name '{name}' has these invalid characters: '{}'. The name can only be a letter, digit, '-', '.', '(', ')' or '_'.",
                wrong.join(", ")
            ),
        ));
    }
    if name.chars().count() > 90 {
        return Err(ArmError::bad_request(
            "InvalidResourceGroup",
            "The provided resource group name exceeds the maximum length of '90' characters.",
        ));
    }
    if name.ends_with('.') {
        return Err(ArmError::bad_request(
            "InvalidResourceGroup",
            format!("The provided resource group name '{name}' cannot end with a period."),
        ));
    }
    Ok(())
}

/// Refuses a resource name that its type refuses.
pub(super) fn check_name(registered: &Registered, id: &ResourceId) -> Result<(), ArmError> {
    let name = id.name();
    let fits = match &registered.name {
        Some(pattern) => pattern.is_match(name),
        None => {
            !name.is_empty()
                && name.chars().count() <= 260
                && !name.chars().any(|c| "<>%&:\\?/*#".contains(c) || c.is_control())
                && !name.ends_with(['.', ' '])
        }
    };
    if fits {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "InvalidResourceName",
        format!(
            "Resource name {name} is invalid. It does not follow the rules for names of type '{}'.",
            registered.descriptor.full_type
        ),
    )
    .target(name))
}

/// Refuses a location that is missing, unknown or another than the resource's.
pub(super) fn check_location(
    registered: &Registered,
    id: &ResourceId,
    asked: Option<&str>,
    existing: Option<&crate::Resource>,
) -> Result<(), ArmError> {
    let descriptor = &registered.descriptor;
    if !descriptor.tracked {
        return Ok(());
    }
    let Some(asked) = asked.filter(|l| !l.is_empty()) else {
        if existing.is_some() {
            return Ok(());
        }
        return Err(ArmError::bad_request(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    let place = locations::normal(asked);
    if !(locations::exists(&place) || descriptor.global && place == "global") {
        return Err(ArmError::bad_request(
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{asked}' is not available for resource type '{}'. List of available regions for the resource type is '{}'.",
                descriptor.full_type,
                if descriptor.global { format!("global,{}", locations::list()) } else { locations::list() }
            ),
        ));
    }
    if let Some(old) = existing.and_then(|e| e.location.as_deref())
        && old != place
    {
        return Err(ArmError::conflict(
            "InvalidResourceLocation",
            format!(
                "The resource '{}' already exists in location '{old}' in resource group '{}'. A resource with the same name cannot be created in location '{place}'. Please select a new resource name.",
                id.name(),
                id.group().unwrap_or("")
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_group_name;

    #[test]
    fn group_names() {
        for good in ["rg", "MC_rg_c_eastus", "a.b(c)-d", "é"] {
            assert!(check_group_name(good).is_ok(), "{good}");
        }
        for bad in ["a!", "a b", "x.", "a/b"] {
            assert!(check_group_name(bad).is_err(), "{bad}");
        }
        assert!(check_group_name(&"x".repeat(91)).is_err());
    }
}
