//! What the top level of a tracked resource's body may hold.
//!
//! The resource manager reads a body before the provider does, as its own `ResourceDefinition`, and refuses a member that
//! has no place there: usually one that belongs into `properties`.

use crate::ArmError;

/// Members of a `ResourceDefinition`, in any case.
const MEMBERS: [&str; 18] = [
    "id",
    "name",
    "type",
    "location",
    "tags",
    "plan",
    "sku",
    "kind",
    "managedBy",
    "managedByExtended",
    "identity",
    "zones",
    "extendedLocation",
    "placement",
    "scale",
    "properties",
    "etag",
    "systemData",
];

/// Refuses an unknown member, with the place of its value. `text` is the body as it was sent, known to be an object.
pub(super) fn check(body: &serde_json::Value, text: &[u8]) -> Result<(), ArmError> {
    let unknown = |name: &&String| !MEMBERS.iter().any(|known| known.eq_ignore_ascii_case(name));
    let Some(name) = body.as_object().and_then(|map| map.keys().find(unknown)) else { return Ok(()) };
    let (line, position) = place(name, text);
    Err(ArmError::invalid_content(format_args!(
        "Could not find member '{name}' on object of type 'ResourceDefinition'. Path '{name}', line {line}, position {position}."
    )))
}

/// Line and column where the value of a member of the outermost object begins, both from 1.
fn place(name: &str, text: &[u8]) -> (usize, usize) {
    let (mut depth, mut in_text, mut escaped, mut began) = (0_usize, false, false, 0);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' if in_text => {
                in_text = false;
                let key = text.get(began..=at).and_then(|raw| serde_json::from_slice::<String>(raw).ok());
                let colon = text.iter().skip(at + 1).position(|b| !b.is_ascii_whitespace());
                let colon = colon.map(|after| at + 1 + after).filter(|at| text.get(*at) == Some(&b':'));
                if let Some(colon) = colon.filter(|_| depth == 1 && key.as_deref() == Some(name)) {
                    let before = text.get(..=colon).unwrap_or_default();
                    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
                    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
                    return (line, before.len() - start + 1);
                }
            }
            b'"' => (in_text, began) = (true, at),
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (1, 1)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_member_without_a_place_is_refused() {
        let table = [
            (
                r#"{"cloudConnectors":{}}"#,
                Some(
                    "member 'cloudConnectors' on object of type 'ResourceDefinition'. Path 'cloudConnectors', line 1, position 20.",
                ),
            ),
            (
                "{\n  \"tags\": {\"odd\": 1},\n  \"odd\" : 2}",
                Some("member 'odd' on object of type 'ResourceDefinition'. Path 'odd', line 3, position 10."),
            ),
            (
                r#"{"Location":"eastus","SKU":{"odd":"\\\"odd\\\":"},"plan":null,"properties":{"odd":{}}}"#,
                None,
            ),
        ];
        for (text, expected) in table {
            let body = serde_json::from_str(text).unwrap();
            let said = check(&body, text.as_bytes()).err().map(|error| error.message);
            match (said, expected) {
                (Some(said), Some(expected)) => assert!(said.contains(expected), "{said}"),
                (said, expected) => assert_eq!(said.as_deref(), expected, "{text}"),
            }
        }
    }
}
