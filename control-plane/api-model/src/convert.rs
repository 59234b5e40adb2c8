//! Conversion between served versions of the same kind, and between the two groups of events.
//!
//! Lossless both ways: what an older version has no field for travels in upstream's annotations.

mod autoscaler;

use serde_json::Value;

/// Why an object has no form in another version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no conversion from {from} to {to}")]
pub struct ConvertError {
    /// The kind.
    pub kind: String,
    /// `apiVersion` it has.
    pub from: String,
    /// `apiVersion` wanted.
    pub to: String,
}

/// Rewrites `object` for `api_version` (`autoscaling/v1`). An object of that version already is left alone.
pub fn convert(object: &mut Value, api_version: &str) -> Result<(), ConvertError> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, from) = (text("kind"), text("apiVersion"));
    if from == api_version {
        return Ok(());
    }
    match (kind.as_str(), from.as_str(), api_version) {
        ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1") => autoscaler::to_v1(object),
        ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2") => autoscaler::to_v2(object),
        ("Event", "v1", "events.k8s.io/v1") => rename(object, &EVENT, false),
        ("Event", "events.k8s.io/v1", "v1") => rename(object, &EVENT, true),
        _ => return Err(ConvertError { kind, from, to: api_version.to_owned() }),
    }
    if let Value::Object(map) = object {
        map.insert("apiVersion".to_owned(), api_version.into());
    }
    Ok(())
}

/// Fields of an event: core's name, the new group's name.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn rename(object: &mut Value, names: &[(&str, &str)], back: bool) {
    let Value::Object(map) = object else { return };
    for (old, new) in names {
        let (from, to) = if back { (new, old) } else { (old, new) };
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}
