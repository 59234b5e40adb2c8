//! What calls may cost, and how large what they give may be.

use super::{Estimate, Range};
use crate::eval::charge::{CHARACTER, PATTERN_CHARACTER, QUESTION};
use crate::expr::Call;
use crate::shape::Shape;
use crate::syntax::ast::Literal;
use crate::types::Type;

/// Characters of the longest named format's expression, as upstream assumes.
const FORMAT_PATTERN_MAX: f64 = 64.0;

pub(super) fn estimate<'e>(call: &Call, args: &[Estimate<'e>]) -> Estimate<'e> {
    let mut own: Option<Range> = None;
    let mut size: Option<Range> = None;
    for overload in &call.overloads {
        let (cost, given) = of_overload(call, overload.id, args);
        own = Some(own.map_or(cost, |own| own.union(cost)));
        size = match (size, given) {
            (Some(a), Some(b)) => Some(a.union(b)),
            (a, b) => a.or(b),
        };
    }
    let below = args.iter().fold(Range::ZERO, |sum, arg| sum.add(arg.cost));
    let mut estimate = Estimate { cost: below.add(own.unwrap_or(Range::ZERO)), size, ..Estimate::default() };
    match (call.function.name, args) {
        ("dyn", [arg]) => estimate = Estimate { cost: estimate.cost, ..arg.clone() },
        ("_[_]", [container, _]) => {
            estimate.shape = container.shape.and_then(Shape::element).map(|shape| &**shape);
            estimate.size = container.items;
        }
        ("_+_", [left, right]) => {
            estimate.items = left.items.zip(right.items).map(|(left, right)| left.union(right))
        }
        _ => {}
    }
    estimate
}

fn of_overload(call: &Call, overload: &str, args: &[Estimate<'_>]) -> (Range, Option<Range>) {
    let size = |at: usize| args.get(at).map_or(Range::UNKNOWN, Estimate::size_or_unknown);
    let plain = |cost: Range| (cost, None);
    match call.function.name {
        "check" => plain(Range::exactly(QUESTION)),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => plain(search(call, args)),
        "url" => plain(size(0).scale(CHARACTER)),
        "lowerAscii" | "upperAscii" | "substring" | "trim" => (size(0).scale(CHARACTER), Some(size(0))),
        "replace" => (size(0).scale(2.0 * CHARACTER), Some(replaced(size(0), size(1), size(2)))),
        "split" => {
            let most = match call.args.get(2).map(|arg| &arg.kind) {
                Some(crate::expr::ExprKind::Const(Literal::Int(count))) => {
                    u64::try_from(*count).unwrap_or(u64::MAX)
                }
                _ => size(0).max,
            };
            (size(0).scale(2.0 * CHARACTER), Some(Range::new(0, most)))
        }
        "join" => {
            let mut total = args.first().map_or(Range::UNKNOWN, |list| size(0).multiply(list.item_size()));
            if args.len() > 1 {
                total = total.add(
                    size(1)
                        .multiply(Range::new(size(0).min.saturating_sub(1), size(0).max.saturating_sub(1))),
                );
            }
            (total.scale(CHARACTER), Some(total))
        }
        "find" | "findAll" => (pattern(size(0), size(1)), Some(Range::new(0, size(0).max))),
        "containsIP" | "containsCIDR" => plain(contains(call.function.name, overload, size(1))),
        "validate" => plain(size(1).scale(CHARACTER).scale(FORMAT_PATTERN_MAX * PATTERN_CHARACTER)),
        "sets.contains" | "sets.intersects" => plain(size(0).multiply(size(1)).add(Range::ONE)),
        "sets.equivalent" => plain(size(0).multiply(size(1)).scale(2.0).add(Range::ONE)),
        "format" => plain(size(0).scale(CHARACTER)),
        _ => by_overload(overload, &size),
    }
}

fn by_overload(overload: &str, size: &impl Fn(usize) -> Range) -> (Range, Option<Range>) {
    match overload {
        "string_to_bytes" => {
            (size(0).scale(CHARACTER), Some(Range::new(size(0).min, size(0).max.saturating_mul(4))))
        }
        "bytes_to_string" => (size(0).scale(CHARACTER), Some(Range::new(size(0).min / 4, size(0).max))),
        "starts_with_string" | "ends_with_string" => (size(1).scale(CHARACTER), None),
        "in_list" => (size(1), None),
        "matches" | "matches_string" => (pattern(size(0), size(1)), None),
        "contains_string" => (size(0).scale(CHARACTER).multiply(size(1).scale(CHARACTER)), None),
        "add_list" => (Range::ONE, Some(size(0).add(size(1)))),
        "add_string" | "add_bytes" => {
            let sum = size(0).add(size(1));
            (sum.scale(CHARACTER), Some(sum))
        }
        "equals"
        | "not_equals"
        | "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes" => {
            let most = size(0).max.min(size(1).max);
            (Range::new(u64::from(most > 0), most).scale(CHARACTER), None)
        }
        _ => (Range::ONE, None),
    }
}

/// Looking at every item of a list, or every character of a text.
fn search(call: &Call, args: &[Estimate<'_>]) -> Range {
    let Some((target, ty)) = args.first().zip(call.args.first().map(|arg| &arg.ty)) else {
        return Range::ONE;
    };
    let size = target.size_or_unknown();
    match ty {
        Type::List(item) if matches!(**item, Type::String | Type::Bytes) => {
            size.multiply(Range::ONE.add(target.item_size().scale(CHARACTER)))
        }
        Type::List(_) => size,
        _ => size.scale(CHARACTER),
    }
}

fn pattern(text: Range, pattern: Range) -> Range {
    text.add(Range::ONE).scale(CHARACTER).multiply(pattern.scale(PATTERN_CHARACTER))
}

fn contains(function: &str, overload: &str, other: Range) -> Range {
    // Four or sixteen bytes.
    let network = Range::new(4, 16);
    let mut cost = network.add(network).scale(CHARACTER);
    if function == "containsCIDR" {
        cost = cost.add(network.scale(CHARACTER)).add(Range::ONE);
    }
    if overload.ends_with("_string") {
        cost = cost.add(other.scale(CHARACTER));
    }
    cost
}

/// How long a text is with one part of it replaced by another.
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let (mut count, mut kept) = (Range::ZERO, Range::ZERO);
    if old.min == 0 {
        (count.max, kept.max) = (text.max.saturating_add(1), text.max);
    } else if new.max <= old.min {
        kept.max = text.max;
    } else {
        count.max = text.max.div_ceil(old.min);
    }
    if old.max == 0 {
        (count.min, kept.min) = (text.min.saturating_add(1), text.min);
    } else if old.max <= new.min {
        kept.min = text.min;
    } else {
        count.min = text.min.div_ceil(old.max);
    }
    count.multiply(new).add(kept)
}
