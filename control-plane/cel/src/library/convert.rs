//! From one type to another.

use super::Style::Global;
use super::{Row, Run};
use crate::error::EvalError;
use crate::types::Type;
use crate::value::{Opaque, Value, time};

/// The doubles between which whole numbers lie.
const INT_LIMIT: f64 = 9_223_372_036_854_775_808.0;
const UINT_LIMIT: f64 = 18_446_744_073_709_551_616.0;

fn cannot(value: &Value<'_>, to: &str) -> EvalError {
    EvalError::failed(format!("type conversion error from '{}' to '{to}'", value.type_of().name()))
}

fn range() -> EvalError {
    EvalError::failed("range error converting to integer")
}

const TO_INT: Run = |_, args| match args {
    [Value::Int(n)] => Ok(Value::Int(*n)),
    [Value::Uint(n)] => i64::try_from(*n).map(Value::Int).map_err(|_| EvalError::failed("integer overflow")),
    [Value::Double(n)] if n.is_finite() && *n > -INT_LIMIT && *n < INT_LIMIT => Ok(Value::Int(*n as i64)),
    [Value::Double(_)] => Err(EvalError::failed("integer overflow")),
    [Value::String(text)] => text.as_str().parse().map(Value::Int).map_err(|_| invalid("int", text.as_str())),
    [Value::Timestamp(at)] => Ok(Value::Int(at.as_second())),
    [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
    _ => Err(range()),
};
const TO_UINT: Run = |_, args| match args {
    [Value::Uint(n)] => Ok(Value::Uint(*n)),
    [Value::Int(n)] => {
        u64::try_from(*n).map(Value::Uint).map_err(|_| EvalError::failed("unsigned integer overflow"))
    }
    [Value::Double(n)] if n.is_finite() && *n >= 0.0 && *n < UINT_LIMIT => Ok(Value::Uint(*n as u64)),
    [Value::Double(_)] => Err(EvalError::failed("unsigned integer overflow")),
    [Value::String(text)] => {
        text.as_str().parse().map(Value::Uint).map_err(|_| invalid("uint", text.as_str()))
    }
    _ => Err(range()),
};
const TO_DOUBLE: Run = |_, args| match args {
    [Value::Double(n)] => Ok(Value::Double(*n)),
    [Value::Int(n)] => Ok(Value::Double(*n as f64)),
    [Value::Uint(n)] => Ok(Value::Double(*n as f64)),
    [Value::String(text)] => {
        text.as_str().parse().map(Value::Double).map_err(|_| invalid("double", text.as_str()))
    }
    _ => Err(range()),
};
const TO_STRING: Run = |_, args| match args {
    [Value::String(text)] => Ok(Value::String(text.clone())),
    [Value::Bytes(bytes)] => std::str::from_utf8(bytes)
        .map(Value::text)
        .map_err(|_| EvalError::failed("invalid UTF-8 in bytes, cannot convert to string")),
    [value @ Value::Opaque(opaque)] => match &**opaque {
        Opaque::Ip(address) => Ok(Value::text(address.to_string())),
        Opaque::Cidr(network) => Ok(Value::text(network.to_string())),
        _ => Err(cannot(value, "string")),
    },
    [value] => Ok(Value::text(super::printing::shown(value))),
    _ => Err(EvalError::no_overload()),
};
const TO_BYTES: Run = |_, args| match args {
    [Value::Bytes(bytes)] => Ok(Value::Bytes(bytes.clone())),
    [Value::String(text)] => Ok(Value::Bytes(text.as_str().as_bytes().into())),
    _ => Err(EvalError::no_overload()),
};
const TO_BOOL: Run = |_, args| match args {
    [Value::Bool(value)] => Ok(Value::Bool(*value)),
    [value @ Value::String(text)] => match text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        _ => Err(cannot(value, "bool")),
    },
    _ => Err(EvalError::no_overload()),
};
const TO_TIMESTAMP: Run = |_, args| match args {
    [Value::Timestamp(at)] => Ok(Value::Timestamp(*at)),
    [Value::Int(seconds)] => jiff::Timestamp::from_second(*seconds)
        .map(Value::Timestamp)
        .map_err(|_| EvalError::failed("timestamp overflow")),
    [value @ Value::String(text)] => time::parse_timestamp(text.as_str())
        .map(Value::Timestamp)
        .ok_or_else(|| cannot(value, "google.protobuf.Timestamp")),
    _ => Err(EvalError::no_overload()),
};
const TO_DURATION: Run = |_, args| match args {
    [Value::Duration(nanos)] => Ok(Value::Duration(*nanos)),
    [value @ Value::String(text)] => time::parse_duration(text.as_str())
        .map(Value::Duration)
        .ok_or_else(|| cannot(value, "google.protobuf.Duration")),
    _ => Err(EvalError::no_overload()),
};
const SAME: Run = |_, args| args.first().cloned().ok_or_else(EvalError::no_overload);
const TYPE: Run =
    |_, args| args.first().map(|value| Value::Type(value.type_of())).ok_or_else(EvalError::no_overload);

fn invalid(to: &str, text: &str) -> EvalError {
    EvalError::failed(format!("type conversion error from 'string' to '{to}': {text:?}"))
}

pub(super) const ROWS: &[Row] = &[
    Row("int", "int64_to_int64", Global, "int -> int", TO_INT),
    Row("int", "uint64_to_int64", Global, "uint -> int", TO_INT),
    Row("int", "double_to_int64", Global, "double -> int", TO_INT),
    Row("int", "string_to_int64", Global, "string -> int", TO_INT),
    Row("int", "timestamp_to_int64", Global, "timestamp -> int", TO_INT),
    Row("int", "duration_to_int64", Global, "duration -> int", TO_INT),
    Row("uint", "uint64_to_uint64", Global, "uint -> uint", TO_UINT),
    Row("uint", "int64_to_uint64", Global, "int -> uint", TO_UINT),
    Row("uint", "double_to_uint64", Global, "double -> uint", TO_UINT),
    Row("uint", "string_to_uint64", Global, "string -> uint", TO_UINT),
    Row("double", "double_to_double", Global, "double -> double", TO_DOUBLE),
    Row("double", "int64_to_double", Global, "int -> double", TO_DOUBLE),
    Row("double", "uint64_to_double", Global, "uint -> double", TO_DOUBLE),
    Row("double", "string_to_double", Global, "string -> double", TO_DOUBLE),
    Row("string", "string_to_string", Global, "string -> string", TO_STRING),
    Row("string", "bool_to_string", Global, "bool -> string", TO_STRING),
    Row("string", "int64_to_string", Global, "int -> string", TO_STRING),
    Row("string", "uint64_to_string", Global, "uint -> string", TO_STRING),
    Row("string", "double_to_string", Global, "double -> string", TO_STRING),
    Row("string", "bytes_to_string", Global, "bytes -> string", TO_STRING),
    Row("string", "timestamp_to_string", Global, "timestamp -> string", TO_STRING),
    Row("string", "duration_to_string", Global, "duration -> string", TO_STRING),
    Row("string", "ip_to_string", Global, "ip -> string", TO_STRING),
    Row("string", "cidr_to_string", Global, "cidr -> string", TO_STRING),
    Row("bytes", "bytes_to_bytes", Global, "bytes -> bytes", TO_BYTES),
    Row("bytes", "string_to_bytes", Global, "string -> bytes", TO_BYTES),
    Row("bool", "bool_to_bool", Global, "bool -> bool", TO_BOOL),
    Row("bool", "string_to_bool", Global, "string -> bool", TO_BOOL),
    Row("timestamp", "timestamp_to_timestamp", Global, "timestamp -> timestamp", TO_TIMESTAMP),
    Row("timestamp", "int64_to_timestamp", Global, "int -> timestamp", TO_TIMESTAMP),
    Row("timestamp", "string_to_timestamp", Global, "string -> timestamp", TO_TIMESTAMP),
    Row("duration", "duration_to_duration", Global, "duration -> duration", TO_DURATION),
    Row("duration", "string_to_duration", Global, "string -> duration", TO_DURATION),
    Row("dyn", "to_dyn", Global, "A -> dyn", SAME),
    Row("type", "type", Global, "A -> type(A)", TYPE),
];

/// The type a name means as a value.
pub(crate) fn type_named(name: &str) -> Option<Type> {
    use std::sync::Arc;
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Dyn),
        "map" => Type::Map(Arc::new(Type::Dyn), Arc::new(Type::Dyn)),
        "type" => Type::Type(Arc::new(Type::Dyn)),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "net.IP" => Type::Opaque(crate::value::opaque::IP),
        "net.CIDR" => Type::Opaque(crate::value::opaque::CIDR),
        "kubernetes.Quantity" => Type::Opaque(crate::value::opaque::QUANTITY),
        "kubernetes.URL" => Type::Opaque(crate::value::opaque::URL),
        "kubernetes.Semver" => Type::Opaque(crate::value::opaque::SEMVER),
        _ => return None,
    })
}
