//! A registry's `policies`: what is kept of what is deleted. The others are shown with their defaults, and refused where
//! they ask for what is not built.

use arm::ArmError;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::deleted::DAYS;

/// The policies that are kept as they are when nothing is said: name, what they are, and whether they say when they were
/// changed.
fn defaults() -> [(&'static str, Value, bool); 6] {
    [
        ("quarantinePolicy", json!({"status": "disabled"}), false),
        ("trustPolicy", json!({"type": "Notary", "status": "disabled"}), false),
        ("retentionPolicy", json!({"days": 7, "status": "disabled"}), true),
        ("exportPolicy", json!({"status": "enabled"}), false),
        ("azureADAuthenticationAsArmPolicy", json!({"status": "enabled"}), false),
        ("softDeletePolicy", json!({"retentionDays": DAYS.0, "status": "disabled"}), true),
    ]
}

fn invalid(target: &str, message: String) -> ArmError {
    ArmError::invalid_parameter(target, message)
}

/// What is asked for, with what nobody said, checked. `before` is what was there.
pub(super) fn settled(asked: &Value, before: &Value, now: Timestamp) -> Result<Value, ArmError> {
    let mut policies = match asked {
        Value::Null => json!({}),
        Value::Object(_) => asked.clone(),
        _ => return Err(invalid("policies", "The policies are not an object.".to_owned())),
    };
    for (name, default, has_time) in defaults() {
        let target = format!("policies.{name}");
        let mut policy = match &policies[name] {
            Value::Null => json!({}),
            given @ Value::Object(_) => given.clone(),
            _ => return Err(invalid(&target, format!("The policy {name} is not an object."))),
        };
        for (member, value) in default.as_object().into_iter().flatten() {
            if policy[member].is_null() {
                policy[member] = value.clone();
            }
        }
        let status = policy["status"].as_str().unwrap_or_default().to_ascii_lowercase();
        if !["enabled", "disabled"].contains(&status.as_str()) {
            let message =
                format!("The status {} is not valid: it is 'enabled' or 'disabled'.", policy["status"]);
            return Err(invalid(&format!("{target}.status"), message));
        }
        policy["status"] = json!(status);
        if has_time {
            let old = &before[name];
            let same = |member: &&String| old[member.as_str()] == policy[member.as_str()];
            let unchanged = default.as_object().is_some_and(|all| all.keys().all(|member| same(&member)));
            let time = old["lastUpdatedTime"].as_str().filter(|_| unchanged).map(str::to_owned);
            policy["lastUpdatedTime"] = json!(time.unwrap_or_else(|| now.to_string()));
        }
        policies[name] = policy;
    }
    check(&policies)?;
    Ok(policies)
}

fn check(policies: &Value) -> Result<(), ArmError> {
    let enabled = |name: &str| policies[name]["status"] == json!("enabled");
    let days = &policies["softDeletePolicy"]["retentionDays"];
    if !days.as_i64().is_some_and(|days| (DAYS.1..=DAYS.2).contains(&days)) {
        return Err(invalid(
            "policies.softDeletePolicy.retentionDays",
            format!(
                "The retention days {days} of the soft delete policy are not valid: they are {} to {}.",
                DAYS.1, DAYS.2
            ),
        ));
    }
    if enabled("softDeletePolicy") && enabled("retentionPolicy") {
        return Err(invalid(
            "policies.softDeletePolicy.status",
            "The soft delete policy and the retention policy cannot both be enabled.".to_owned(),
        ));
    }
    for (name, what) in [
        ("retentionPolicy", "The retention policy for untagged manifests"),
        ("trustPolicy", "Content trust"),
        ("quarantinePolicy", "The quarantine of images"),
    ] {
        if enabled(name) {
            return Err(ArmError::not_implemented(format_args!("{what} of a registry")));
        }
    }
    if !enabled("exportPolicy") {
        return Err(ArmError::not_implemented(format_args!("A registry whose images may not leave it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_checked() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let later: Timestamp = "2026-02-02T03:04:05Z".parse().unwrap();
        let made = settled(&Value::Null, &Value::Null, now).unwrap();
        assert_eq!(
            made["softDeletePolicy"],
            json!({"retentionDays": 7, "status": "disabled", "lastUpdatedTime": "2026-01-02T03:04:05Z"})
        );
        assert_eq!(settled(&made, &made, later).unwrap(), made, "nothing was changed");
        let asked = json!({"softDeletePolicy": {"status": "Enabled", "retentionDays": 30}});
        let changed = settled(&asked, &made, later).unwrap();
        assert_eq!(changed["softDeletePolicy"]["status"], "enabled");
        assert_eq!(changed["softDeletePolicy"]["lastUpdatedTime"], "2026-02-02T03:04:05Z");
        assert_eq!(changed["retentionPolicy"], made["retentionPolicy"]);
        for (wrong, code) in [
            (json!([]), "InvalidParameter"),
            (json!({"softDeletePolicy": 5}), "InvalidParameter"),
            (json!({"softDeletePolicy": {"status": "on"}}), "InvalidParameter"),
            (json!({"softDeletePolicy": {"retentionDays": 0}}), "InvalidParameter"),
            (json!({"softDeletePolicy": {"retentionDays": 91}}), "InvalidParameter"),
            (json!({"softDeletePolicy": {"retentionDays": "7"}}), "InvalidParameter"),
            (
                json!({"softDeletePolicy": {"status": "enabled"}, "retentionPolicy": {"status": "enabled"}}),
                "InvalidParameter",
            ),
            (json!({"retentionPolicy": {"status": "enabled"}}), "NotImplemented"),
            (json!({"exportPolicy": {"status": "disabled"}}), "NotImplemented"),
        ] {
            let refused = settled(&wrong, &made, later).unwrap_err();
            assert_eq!(refused.code, code, "{wrong}");
        }
    }
}
