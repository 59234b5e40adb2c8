//! What a scale set's model may say: refusals of what is wrong and of what is not built, and defaults.

use arm::{ArmError, Resource};
use serde_json::Value;

use super::images;
use crate::json::{default, flag, list, text};
use crate::network::uses;

const SPOT: &str = "Spot";

fn wrong(target: &str, value: &str) -> ArmError {
    ArmError::invalid_parameter(target, format!("The value of parameter {target} is invalid: '{value}'."))
}

/// One of these words, or nothing said.
fn one_of(properties: &Value, pointer: &str, target: &str, words: &[&str]) -> Result<(), ArmError> {
    match text(properties, pointer) {
        Some(given) if !words.iter().any(|word| word.eq_ignore_ascii_case(given)) => {
            Err(wrong(target, given))
        }
        _ => Ok(()),
    }
}

/// Whether the set's machines may be taken away when others need the place.
pub(super) fn is_spot(set: &Resource) -> bool {
    text(&set.properties, "/virtualMachineProfile/priority").is_some_and(|p| p.eq_ignore_ascii_case(SPOT))
}

/// Whether a machine that is taken away is deleted; else it is deallocated.
pub(super) fn evicted_are_deleted(set: &Resource) -> bool {
    text(&set.properties, "/virtualMachineProfile/evictionPolicy")
        .is_some_and(|policy| policy.eq_ignore_ascii_case("Delete"))
}

/// Refuses what a model says wrongly, then what is not built here.
pub(super) fn check(made: &Resource, existing: Option<&Resource>) -> Result<(), ArmError> {
    let properties = &made.properties;
    one_of(properties, "/orchestrationMode", "orchestrationMode", &["Uniform", "Flexible"])?;
    one_of(properties, "/upgradePolicy/mode", "upgradePolicy.mode", &["Automatic", "Manual", "Rolling"])?;
    let profile = "/virtualMachineProfile";
    one_of(properties, &format!("{profile}/priority"), "priority", &["Regular", "Low", SPOT])?;
    one_of(properties, &format!("{profile}/evictionPolicy"), "evictionPolicy", &["Deallocate", "Delete"])?;
    if text(properties, &format!("{profile}/evictionPolicy")).is_some() && !is_spot(made) {
        return Err(ArmError::bad_request(
            "OperationNotAllowed",
            "Eviction policy can be set only on Azure Spot Virtual Machines. For more information, see \
             http://aka.ms/AzureSpot/errormessages",
        ));
    }
    if let Some(reference) = properties.pointer("/virtualMachineProfile/storageProfile/imageReference") {
        images::require(reference)?;
    }
    if let Some(existing) = existing {
        check_same(made, existing)?;
    }
    check_built(made)
}

/// What a scale set is born with.
fn check_same(made: &Resource, existing: &Resource) -> Result<(), ArmError> {
    for (pointer, name) in [
        ("/orchestrationMode", "orchestrationMode"),
        ("/virtualMachineProfile/priority", "priority"),
        ("/virtualMachineProfile/osProfile/computerNamePrefix", "osProfile.computerNamePrefix"),
    ] {
        let (new, old) = (text(&made.properties, pointer), text(&existing.properties, pointer));
        if let (Some(new), Some(old)) = (new, old)
            && !new.eq_ignore_ascii_case(old)
        {
            return Err(ArmError::conflict(
                "PropertyChangeNotAllowed",
                format!("Changing property '{name}' is not allowed."),
            )
            .target(name));
        }
    }
    Ok(())
}

fn check_built(made: &Resource) -> Result<(), ArmError> {
    let properties = &made.properties;
    let not_built = |what: &str| Err(ArmError::not_implemented(what));
    let is = |pointer: &str, word: &str| {
        text(properties, pointer).is_some_and(|given| given.eq_ignore_ascii_case(word))
    };
    if is("/orchestrationMode", "Flexible") {
        return not_built("A scale set with the orchestration mode 'Flexible'");
    }
    if is("/upgradePolicy/mode", "Rolling") {
        return not_built("A scale set with the upgrade policy 'Rolling'");
    }
    if flag(properties, "/upgradePolicy/automaticOSUpgradePolicy/enableAutomaticOSUpgrade") {
        return not_built("The upgrade of a scale set's images by itself");
    }
    if flag(properties, "/automaticRepairsPolicy/enabled") {
        return not_built("The automatic repair of a scale set's machines");
    }
    let profile = "/virtualMachineProfile";
    if !list(properties, &format!("{profile}/applicationProfile/galleryApplications")).is_empty() {
        return not_built("A scale set with applications of a gallery");
    }
    if !list(properties, &format!("{profile}/storageProfile/dataDisks")).is_empty() {
        return not_built("A scale set with data disks");
    }
    let configurations = uses::interfaces(made).iter().flat_map(|i| list(i, "/properties/ipConfigurations"));
    if configurations
        .into_iter()
        .any(|ip| ip.pointer("/properties/publicIPAddressConfiguration").is_some_and(Value::is_object))
    {
        return not_built("A public address for each machine of a scale set");
    }
    Ok(())
}

/// What a model has when it does not say so.
pub(super) fn fill(made: &mut Resource) {
    if is_spot(made) {
        default(&mut made.properties, &["virtualMachineProfile", "evictionPolicy"], "Deallocate");
    }
    let disk = ["virtualMachineProfile", "storageProfile", "osDisk"];
    if made.properties.pointer("/virtualMachineProfile/storageProfile/osDisk").is_some() {
        for (name, value) in [("osType", "Linux"), ("createOption", "FromImage"), ("caching", "None")] {
            default(&mut made.properties, &[disk[0], disk[1], disk[2], name], value);
        }
    }
}
