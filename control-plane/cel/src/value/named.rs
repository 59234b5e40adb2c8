//! Objects that an expression makes: whether their types are called as their places are.

use super::Value;

impl Value<'_> {
    /// What is wrong with the type names of objects within an object that was made: what stands in the field `spec` of an `Object` is an
    /// `Object.spec`, also within lists and maps. Upstream's words, since nothing else ties these types together.
    pub fn misnamed(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Value::Map(map) = self
            && let Some(object) = map.object_type()
        {
            check(self, &mut object.name.clone(), &mut wrong);
        }
        wrong
    }

    /// Whether it is an object of this type.
    pub fn is_object(&self, name: &str) -> bool {
        matches!(self, Value::Map(map) if map.object_type().is_some_and(|object| object.name == name))
    }
}

fn check(value: &Value<'_>, path: &mut String, wrong: &mut Vec<String>) {
    match value {
        Value::Map(map) => {
            let object = map.object_type();
            if let Some(object) = &object
                && object.name != *path
            {
                wrong.push(format!(
                    "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                    object.name
                ));
            }
            // What is borrowed from JSON holds nothing that was made.
            if map.raw().is_some() {
                return;
            }
            let mark = path.len();
            for (key, value) in map.entries() {
                let Ok(value) = value else { continue };
                if object.is_some() {
                    path.push('.');
                    path.push_str(key.as_str().unwrap_or_default());
                }
                check(&value, path, wrong);
                path.truncate(mark);
            }
        }
        Value::List(list) => list.iter().flatten().for_each(|item| check(&item, path, wrong)),
        _ => {}
    }
}
