//! `managedClusters/maintenanceConfigurations`: when a cluster may be worked on without being asked.
//!
//! Guarantees: what is kept is what AKS would take. Does not: do anything at those times; nothing here upgrades by itself.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::Value;

use crate::clusters::API_VERSIONS;
use crate::fault::Fault;
use crate::json::{list, number, text};

/// The type.
pub struct MaintenanceConfigurations;

/// The names AKS knows: of the weekly one, and of those with a window.
const WEEKLY: &str = "default";
const WINDOWED: [&str; 2] = ["aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SCHEDULES: [&str; 4] = ["daily", "weekly", "absoluteMonthly", "relativeMonthly"];
/// Hours a window may last.
const HOURS: std::ops::RangeInclusive<i64> = 4..=24;

fn check(name: &str, properties: &Value) -> Result<(), Fault> {
    let windowed = WINDOWED.iter().any(|one| one.eq_ignore_ascii_case(name));
    if !windowed && !name.eq_ignore_ascii_case(WEEKLY) {
        return Err(Fault::parameter(
            "maintenanceConfigurationName",
            format!("'{name}' is not one of {WEEKLY}, {}", WINDOWED.join(", ")),
        ));
    }
    let window = properties.get("maintenanceWindow").filter(|window| !window.is_null());
    match (windowed, window) {
        (true, Some(window)) => check_window(window),
        (true, None) => Err(Fault::parameter("maintenanceWindow", format!("'{name}' needs a window"))),
        (false, Some(_)) => Err(Fault::parameter("maintenanceWindow", format!("'{name}' has no window"))),
        (false, None) => list(properties, "/timeInWeek").iter().try_for_each(check_day),
    }
}

fn check_day(slot: &Value) -> Result<(), Fault> {
    let day = text(slot, "/day").unwrap_or_default();
    if !DAYS.contains(&day) {
        return Err(Fault::parameter("timeInWeek.day", format!("'{day}' is no day of the week")));
    }
    let in_day = |hour: &Value| hour.as_i64().is_some_and(|hour| (0..24).contains(&hour));
    match list(slot, "/hourSlots").iter().find(|hour| !in_day(hour)) {
        Some(hour) => Err(Fault::parameter("timeInWeek.hourSlots", format!("'{hour}' is not from 0 to 23"))),
        None => Ok(()),
    }
}

fn check_window(window: &Value) -> Result<(), Fault> {
    let schedule = window.get("schedule").and_then(Value::as_object);
    let kinds =
        schedule.into_iter().flatten().filter(|(_, value)| !value.is_null()).map(|(kind, _)| kind.as_str());
    let kinds: Vec<&str> = kinds.collect();
    let [kind] = kinds.as_slice() else {
        return Err(Fault::parameter(
            "maintenanceWindow.schedule",
            format!("it has {} of {}, and needs one", kinds.len(), SCHEDULES.join(", ")),
        ));
    };
    if !SCHEDULES.contains(kind) {
        return Err(Fault::parameter(
            "maintenanceWindow.schedule",
            format!("'{kind}' is not one of {}", SCHEDULES.join(", ")),
        ));
    }
    let hours = number(window, "/durationHours").unwrap_or(0);
    if !HOURS.contains(&hours) {
        return Err(Fault::parameter(
            "maintenanceWindow.durationHours",
            format!("{hours} is not from {} to {}", HOURS.start(), HOURS.end()),
        ));
    }
    let start = text(window, "/startTime").unwrap_or_default();
    if !is_time(start) {
        return Err(Fault::parameter(
            "maintenanceWindow.startTime",
            format!("'{start}' is no time of the form HH:mm"),
        ));
    }
    Ok(())
}

fn is_time(written: &str) -> bool {
    let part =
        |part: &str, below: u8| part.len() == 2 && part.parse::<u8>().is_ok_and(|number| number < below);
    written.split_once(':').is_some_and(|(hours, minutes)| part(hours, 24) && part(minutes, 60))
}

#[async_trait]
impl ResourceType for MaintenanceConfigurations {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            created: http::StatusCode::OK,
            ..TypeDescriptor::new(
                "Microsoft.ContainerService/managedClusters/maintenanceConfigurations",
                API_VERSIONS,
            )
        }
    }

    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        check(request.id.name(), request.properties())?;
        Ok(Written::Done(request.resource()))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_configuration_is_a_week_or_a_window() {
        let window = |hours: i64, start: &str, schedule: Value| json!({ "maintenanceWindow": { "schedule": schedule, "durationHours": hours, "startTime": start } });
        let weekly = json!({ "weekly": { "intervalWeeks": 1, "dayOfWeek": "Friday" }, "daily": null });
        for (name, properties, expected) in [
            ("default", json!({ "timeInWeek": [{ "day": "Monday", "hourSlots": [1, 23] }] }), None),
            ("default", json!({ "timeInWeek": [{ "day": "Someday" }] }), Some("timeInWeek.day")),
            (
                "default",
                json!({ "timeInWeek": [{ "day": "Monday", "hourSlots": [24] }] }),
                Some("timeInWeek.hourSlots"),
            ),
            ("default", window(8, "00:00", weekly.clone()), Some("maintenanceWindow")),
            ("other", json!({}), Some("maintenanceConfigurationName")),
            ("aksManagedAutoUpgradeSchedule", json!({}), Some("maintenanceWindow")),
            ("aksManagedAutoUpgradeSchedule", window(8, "00:00", weekly.clone()), None),
            (
                "aksManagedNodeOSUpgradeSchedule",
                window(3, "00:00", weekly.clone()),
                Some("maintenanceWindow.durationHours"),
            ),
            (
                "aksManagedNodeOSUpgradeSchedule",
                window(8, "24:00", weekly),
                Some("maintenanceWindow.startTime"),
            ),
            (
                "aksManagedNodeOSUpgradeSchedule",
                window(8, "00:00", json!({})),
                Some("maintenanceWindow.schedule"),
            ),
        ] {
            let found = check(name, &properties).err().and_then(|fault| fault.target);
            assert_eq!(found.as_deref(), expected, "{name} {properties}");
        }
    }
}
