//! What can be called: the language's own functions and the libraries that Kubernetes adds.
//!
//! Each row is a name, upstream's name of the overload (costs go by it), how it is called, its types, and what it does.

pub(crate) mod authz;
mod convert;
pub(crate) mod format;
mod lists;
mod network;
mod numbers;
mod operators;
mod optional;
mod printing;
mod quantity;
pub(crate) mod regex;
mod semver;
mod sets;
mod signature;
mod strings;
mod times;
mod urls;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::error::EvalError;
use crate::eval::Budget;
use crate::types::Type;
use crate::value::Value;

pub(crate) use convert::type_named;
pub(crate) use operators::{index, optional_index};
pub(crate) use printing::shown;

/// What a call gives.
pub(crate) type Given<'a> = Result<Value<'a>, EvalError>;

/// What an overload does with values of its types.
pub(crate) type Run = for<'a> fn(&mut Budget, &[Value<'a>]) -> Given<'a>;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `f(a, b)`.
    Global,
    /// `a.f(b)`.
    Member,
}

/// A row of a library.
pub(crate) struct Row(pub &'static str, pub &'static str, pub Style, pub &'static str, pub Run);

/// One way of calling a function.
#[derive(Debug)]
pub(crate) struct Overload {
    pub id: &'static str,
    pub style: Style,
    pub params: Vec<Type>,
    pub result: Type,
    /// How many types stand open.
    pub open: u32,
    pub run: Run,
}

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    pub name: &'static str,
    pub overloads: Vec<Overload>,
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let libraries: [&[Row]; 18] = [
        operators::ROWS,
        numbers::ROWS,
        convert::ROWS,
        strings::ROWS,
        printing::ROWS,
        times::ROWS,
        lists::ROWS,
        sets::ROWS,
        regex::ROWS,
        urls::ROWS,
        network::IP_ROWS,
        network::CIDR_ROWS,
        quantity::ROWS,
        semver::ROWS,
        format::ROWS,
        optional::ROWS,
        authz::ROWS,
        authz::BUILDERS,
    ];
    let mut functions: HashMap<&'static str, Function> = HashMap::new();
    for Row(name, id, style, text, run) in libraries.into_iter().flatten() {
        let Some(signature) = signature::parse(text) else { continue };
        let function = functions.entry(name).or_insert_with(|| Function { name, overloads: Vec::new() });
        let signature::Signature { params, result, open } = signature;
        function.overloads.push(Overload { id, style: *style, params, result, open, run: *run });
    }
    functions
});

/// The function of a name.
pub(crate) fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

impl Overload {
    /// Whether values are of its types, not looking into lists and maps.
    pub fn accepts(&self, style: Style, args: &[Value<'_>]) -> bool {
        self.style == style
            && self.params.len() == args.len()
            && self.params.iter().zip(args).all(|(param, arg)| fits(param, arg))
    }
}

fn fits(param: &Type, arg: &Value<'_>) -> bool {
    match (param, arg) {
        (Type::Dyn | Type::Param(_), _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::List(_), Value::List(_))
        | (Type::Map(..), Value::Map(_) | Value::Record(_))
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Type(_), Value::Type(_)) => true,
        (Type::Opaque(name), Value::Opaque(opaque)) => opaque.name() == *name,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_signature() {
        for function in FUNCTIONS.values() {
            assert!(!function.overloads.is_empty());
        }
        let all: [&[Row]; 17] = [
            operators::ROWS,
            numbers::ROWS,
            convert::ROWS,
            strings::ROWS,
            printing::ROWS,
            times::ROWS,
            lists::ROWS,
            sets::ROWS,
            regex::ROWS,
            urls::ROWS,
            network::IP_ROWS,
            network::CIDR_ROWS,
            quantity::ROWS,
            semver::ROWS,
            format::ROWS,
            optional::ROWS,
            authz::BUILDERS,
        ];
        for Row(name, id, _, text, _) in all.into_iter().flatten().chain(authz::ROWS) {
            assert!(signature::parse(text).is_some(), "{name} {id}: {text}");
        }
    }
}
