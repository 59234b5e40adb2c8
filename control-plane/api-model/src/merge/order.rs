//! The order of a merged list: first as the patch wants, the rest as it stood.

use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// What identifies an item: the value of its key, or the item itself.
pub(super) type Identity<'a> = Cow<'a, str>;

/// The identity of an item; an item without the key has the one of `null`.
pub(super) fn identity<'a>(item: &'a Value, key: Option<&str>) -> Identity<'a> {
    match key.map_or(Some(item), |key| item.get(key)) {
        Some(Value::String(text)) => Cow::Borrowed(text),
        // Texts never begin so, hence `1` and `"1"` are two.
        Some(other) => Cow::Owned(format!("\0{other}")),
        None => Cow::Borrowed("\0null"),
    }
}

/// Where each identity stands first.
pub(super) fn places<'a>(items: &'a [Value], key: Option<&str>) -> HashMap<Identity<'a>, usize> {
    let mut places = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        places.entry(identity(item, key)).or_insert(index);
    }
    places
}

/// Orders `items`: those in `wanted` as it lists them; the others, as they stood in `before`, each in front of the first wanted one that
/// stood behind it.
pub(super) fn arrange(
    items: Vec<Value>,
    wanted: &[Value],
    before: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let (wanted, before) = (places(wanted, key), places(before, key));
    let (mut named, mut others) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        let id = identity(&item, key);
        let stood = before.get(&id).copied();
        match wanted.get(&id).copied() {
            Some(place) => named.push((place, stood, item)),
            None => others.push((stood.unwrap_or(usize::MAX), stood, item)),
        }
    }
    named.sort_by_key(|(place, ..)| *place);
    others.sort_by_key(|(place, ..)| *place);
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, ours, item) in named {
        let stands_before =
            |theirs: &Option<usize>| matches!((theirs, ours), (Some(theirs), Some(ours)) if *theirs < ours);
        while let Some((_, _, other)) = others.next_if(|(_, theirs, _)| stands_before(theirs)) {
            result.push(other);
        }
        result.push(item);
    }
    result.extend(others.map(|(.., item)| item));
    result
}
