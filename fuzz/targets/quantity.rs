//! Quantities: the canonical text is the same quantity, and canonical, upstream's one exception apart: what was a binary
//! quantity and is no multiple of 1,024 loses its suffix (`62.5Ki` becomes `64000`) and is a decimal one from then on (`64k`).

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
    let settled = again.to_string();
    assert!(
        shown == settled || !shown.ends_with(|last: char| last.is_alphabetic()),
        "{text} {shown} {settled}"
    );
    assert_eq!(Quantity::parse(&settled).expect("it was written here").to_string(), settled, "{text}");
    if let Some(Ok(second)) = parts.next().map(Quantity::parse) {
        assert_eq!(first.cmp(&second), second.cmp(&first).reverse());
    }
});
