//! Types as the rows of the libraries write them: `string, list(T) -> optional(T)`.

use std::sync::Arc;

use crate::types::Type;
use crate::value::opaque;

pub(super) struct Signature {
    pub params: Vec<Type>,
    pub result: Type,
    pub open: u32,
}

pub(super) fn parse(text: &str) -> Option<Signature> {
    let (params, result) = text.split_once("->")?;
    let mut rest = params.trim();
    let mut list = Vec::new();
    while !rest.is_empty() {
        let (ty, after) = one(rest)?;
        list.push(ty);
        rest = after.trim_start_matches([',', ' ']);
    }
    let (result, after) = one(result.trim())?;
    let open =
        text.bytes().filter(u8::is_ascii_uppercase).map(|b| u32::from(b - b'A') + 1).max().unwrap_or(0);
    after.is_empty().then_some(Signature { params: list, result, open })
}

fn one(text: &str) -> Option<(Type, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let (name, rest) = text.split_at_checked(length)?;
    let inside = |rest: &'_ str| -> Option<usize> { rest.starts_with('(').then_some(1) };
    let single = |rest| -> Option<(Type, &str)> {
        let (ty, after) = one(rest)?;
        Some((ty, after.strip_prefix(')')?))
    };
    let ty = match name {
        "list" | "optional" | "type" => {
            let (ty, after) = single(rest.get(inside(rest)?..)?)?;
            let ty = Arc::new(ty);
            let ty = match name {
                "list" => Type::List(ty),
                "optional" => Type::Optional(ty),
                _ => Type::Type(ty),
            };
            return Some((ty, after));
        }
        "map" => {
            let (key, after) = one(rest.get(inside(rest)?..)?)?;
            let (value, after) = single(after.trim_start_matches([',', ' ']))?;
            return Some((Type::Map(Arc::new(key), Arc::new(value)), after));
        }
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "quantity" => Type::Opaque(opaque::QUANTITY),
        "ip" => Type::Opaque(opaque::IP),
        "cidr" => Type::Opaque(opaque::CIDR),
        "url" => Type::Opaque(opaque::URL),
        "semver" => Type::Opaque(opaque::SEMVER),
        "format" => Type::Opaque(opaque::FORMAT),
        "authorizer" => Type::Opaque(opaque::AUTHORIZER),
        "pathcheck" => Type::Opaque(opaque::PATH_CHECK),
        "groupcheck" => Type::Opaque(opaque::GROUP_CHECK),
        "resourcecheck" => Type::Opaque(opaque::RESOURCE_CHECK),
        "decision" => Type::Opaque(opaque::DECISION),
        _ => match name.as_bytes() {
            [letter @ b'A'..=b'Z'] => Type::Param(u32::from(letter - b'A')),
            _ => return None,
        },
    };
    Some((ty, rest))
}
