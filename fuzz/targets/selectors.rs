//! Label and field selectors.

#![no_main]

use api_model::selector::{FieldSelector, LabelSelector};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        let labels = json!({"a": "b", "app": "web", "x/y": "1"});
        let matched = selector.matches(labels.as_object());
        if selector.is_everything() {
            assert!(matched);
        }
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let matched = selector.matches(|field| (field == "metadata.name").then(|| "a".to_owned()));
        if selector.is_everything() {
            assert!(matched);
        }
        assert_eq!(matched, selector.matches(|field| (field == "metadata.name").then(|| "a".to_owned())));
    }
});
