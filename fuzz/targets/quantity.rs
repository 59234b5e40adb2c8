//! Quantities: the canonical text is the same quantity, and canonical.

#![no_main]

use api_model::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(2, ',');
    let Ok(first) = Quantity::parse(parts.next().unwrap_or_default()) else { return };
    let shown = first.to_string();
    let again = Quantity::parse(&shown).expect("it was written here");
    assert_eq!(first.cmp(&again), std::cmp::Ordering::Equal, "{text} {shown}");
    assert_eq!(shown, again.to_string(), "{text}");
    if let Some(Ok(second)) = parts.next().map(Quantity::parse) {
        assert_eq!(first.cmp(&second), second.cmp(&first).reverse());
    }
});
