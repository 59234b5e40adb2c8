//! The binary form: what is read can be written and is read again as the same; what is made is read as it was.

#![no_main]

use api_model::protobuf::{decode, encode};
use lazurite_fuzz::{Choices, Stray, model, object};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if data.first() == Some(&1) {
        let mut choices = Choices(&data[1..]);
        let resource = choices.resource();
        let made = object(resource, &mut choices, Stray::Values);
        let Ok(bytes) = encode(model(), &made) else { return };
        let read = decode(model(), &bytes).expect("it was written here");
        stable(&read);
        return;
    }
    let bytes = if data.starts_with(b"k8s\0") { data.to_vec() } else { [b"k8s\0", data].concat() };
    if let Ok(read) = decode(model(), &bytes) {
        stable(&read);
    }
});

fn stable(read: &serde_json::Value) {
    // Not everything that is read fits its type (a base64 text in a list of another form); but what is written comes back.
    let Ok(bytes) = encode(model(), read) else { return };
    assert_eq!(decode(model(), &bytes).as_ref(), Ok(read));
}
