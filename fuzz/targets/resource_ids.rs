//! Resource ids: what is printed reads as the same id, case changes nothing, and parents lead to the root.

#![no_main]

use arm::ResourceId;
use lazurite_fuzz::Choices;
use libfuzzer_sys::fuzz_target;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

const WORDS: [&str; 16] = [
    "subscriptions",
    "SUBSCRIPTIONS",
    "resourceGroups",
    "resourcegroups",
    "providers",
    "Providers",
    "Microsoft.Network",
    "Microsoft.Authorization",
    "virtualNetworks",
    "subnets",
    "locks",
    "v",
    "",
    "é",
    "a b%2f",
    "..",
];

fn hash(id: &ResourceId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

fn same(one: &ResourceId, other: &ResourceId) {
    assert_eq!(one, other);
    assert!(one.cmp(other).is_eq());
    assert_eq!((hash(one), one.key()), (hash(other), other.key()));
}

/// What holds of an id that was read.
fn judge(id: &ResourceId) {
    let printed = id.to_string();
    let read = |text: &str| ResourceId::parse(text).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(read(&printed).to_string(), printed);
    for cased in [printed.to_ascii_uppercase(), printed.to_ascii_lowercase(), format!("{printed}//")] {
        same(&read(&cased), id);
    }
    let through_json = serde_json::to_value(id).and_then(serde_json::from_value::<ResourceId>);
    same(&through_json.expect("an id is a text"), id);
    let (kind, name) = (id.resource_type(), id.full_name());
    same(&id.clone().with_type_case(&kind.to_ascii_uppercase()), id);
    assert!(id.is_type(&kind.to_ascii_uppercase()));
    if !id.parts().is_empty() {
        assert_eq!(kind.split('/').count(), name.split('/').count() + 1);
        same(&id.scope().extension(&kind, &name), id);
        let child = id.child("kinds", "name");
        same(&child.parent().expect("a child has a parent"), id);
        assert!(child.is_within(id) && !id.is_within(&child));
        assert_eq!((child.top(), child.scope()), (id.top(), id.scope()));
        assert!(id.is_within(&id.top()) && id.top().is_within(&id.scope()));
    }
    let mut inner = id.clone();
    while let Some(outer) = inner.parent() {
        assert!(inner.is_within(&outer) && !outer.is_within(&inner), "{inner} {outer}");
        assert!(inner.to_string().starts_with(&outer.to_string()), "{inner} {outer}");
        assert!(id.is_within(&outer));
        assert!(outer.to_string().len() < inner.to_string().len());
        inner = outer;
    }
    same(&inner, &ResourceId::root());
}

fuzz_target!(|data: &[u8]| {
    if let Ok(id) = std::str::from_utf8(data).unwrap_or_default().parse() {
        judge(&id);
    }
    let mut choices = Choices(data);
    let mut text = String::new();
    while choices.more() && text.len() < 400 {
        text.push('/');
        text.push_str(*choices.of(&WORDS));
    }
    if let Ok(id) = text.parse() {
        judge(&id);
    }
});
