//! Template functions that need nothing but their arguments. Names are in lower case: the language does not mind case.

mod addresses;
mod dates;
mod lists;
mod logic;
mod texts;

use serde_json::Value;

pub(crate) use dates::instant;
pub(crate) use lists::member;

/// Text of a value, as `string()` and `concat()` make it.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The arguments of a call.
pub(crate) struct Arguments<'a>(pub &'a [Value]);

static NULL: Value = Value::Null;

impl Arguments<'_> {
    fn get(&self, index: usize) -> &Value {
        self.0.get(index).unwrap_or(&NULL)
    }

    fn text(&self, index: usize) -> String {
        self.0.get(index).map(text).unwrap_or_default()
    }

    fn number(&self, index: usize) -> Result<i64, String> {
        number(self.get(index))
    }

    /// A count: not negative.
    fn count(&self, index: usize) -> Result<usize, String> {
        usize::try_from(self.number(index)?)
            .map_err(|_| format!("The value '{}' must not be negative", self.get(index)))
    }
}

fn number(value: &Value) -> Result<i64, String> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
        .ok_or_else(|| format!("'{value}' is not an integer"))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// What a function made.
type Made = Result<Value, String>;

/// How many arguments each function takes: at least, at most.
fn arity(name: &str) -> Option<(usize, usize)> {
    const MANY: usize = usize::MAX;
    Some(match name {
        "true" | "false" | "null" => (0, 0),
        "newguid" => (0, 0),
        "createarray" | "createobject" => (0, MANY),
        "concat" | "uniquestring" | "guid" | "min" | "max" | "format" => (1, MANY),
        "and" | "or" => (1, MANY),
        "coalesce" | "union" | "intersection" => (1, MANY),
        "tryget" => (2, MANY),
        "tolower"
        | "toupper"
        | "trim"
        | "string"
        | "int"
        | "bool"
        | "not"
        | "empty"
        | "length"
        | "array"
        | "first"
        | "last"
        | "items"
        | "objectkeys"
        | "flatten"
        | "shallowmerge"
        | "json"
        | "float"
        | "base64"
        | "base64tostring"
        | "base64tojson"
        | "datauri"
        | "datauritostring"
        | "uricomponent"
        | "uricomponenttostring"
        | "parsecidr"
        | "datetimetoepoch"
        | "datetimefromepoch"
        | "fail" => (1, 1),
        "startswith" | "endswith" | "indexof" | "lastindexof" | "uri" | "equals" | "less"
        | "lessorequals" | "greater" | "greaterorequals" | "contains" | "take" | "skip" | "range" | "add"
        | "sub" | "mul" | "div" | "mod" | "indexfromend" | "tryindexfromend" | "cidrhost" | "split" => (2, 2),
        "join" => (2, 2),
        "replace" | "cidrsubnet" => (3, 3),
        "substring" | "padleft" => (2, 3),
        "datetimeadd" => (2, 3),
        _ => return None,
    })
}

/// Calls a function; `None`: there is none of this name here.
pub(crate) fn call(name: &str, a: &[Value]) -> Option<Made> {
    let (least, most) = arity(name)?;
    if a.len() < least || a.len() > most {
        let wanted = if least == most { format!("{least}") } else { format!("at least {least}") };
        return Some(Err(format!(
            "Unable to evaluate template language function '{name}': function requires {wanted} argument(s) while {} were provided. Please see https://aka.ms/arm-functions for usage details.",
            a.len()
        )));
    }
    let arguments = Arguments(a);
    texts::call(name, &arguments)
        .or_else(|| logic::call(name, &arguments))
        .or_else(|| lists::call(name, &arguments))
        .or_else(|| dates::call(name, &arguments))
        .or_else(|| addresses::call(name, &arguments))
}

#[cfg(test)]
mod tests;
