//! Calls that are no functions: `has`, the ones over lists and maps, and the ones over optional values.

use super::ast::{Fold, FoldKind, Kind, Node};
use super::parser::{Parser, Stop};

/// The call, or what the macro of that name and number of arguments makes of it.
pub(super) fn expand(
    parser: &mut Parser<'_, '_>,
    offset: u32,
    name: &str,
    target: Option<Node>,
    args: Vec<Node>,
) -> Result<Node, Stop> {
    let Some(target) = target else {
        if name == "has" && args.len() == 1 {
            return has(parser, offset, args);
        }
        return parser.call(offset, name, args);
    };
    let kind = match (name, args.len()) {
        ("all", 2 | 3) => FoldKind::All,
        ("exists", 2 | 3) => FoldKind::Exists,
        ("exists_one", 2) | ("existsOne", 2 | 3) => FoldKind::ExistsOne,
        ("map", 2 | 3) | ("transformList", 3 | 4) => FoldKind::Map,
        ("filter", 2) => FoldKind::Filter,
        ("transformMap", 3 | 4) => FoldKind::TransformMap,
        ("transformMapEntry", 3 | 4) => FoldKind::TransformEntry,
        ("optMap" | "optFlatMap", 2) => return optional(parser, offset, name == "optFlatMap", target, args),
        _ => {
            return parser.node(
                offset,
                Kind::Call { function: name.to_owned(), target: Some(Box::new(target)), args },
            );
        }
    };
    let two = match kind {
        FoldKind::Map => name == "transformList",
        FoldKind::TransformMap | FoldKind::TransformEntry => true,
        _ => args.len() == 3,
    };
    let conditional = args.len() == if two { 4 } else { 3 }
        && !matches!(kind, FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne);
    let mut args = args.into_iter();
    let mut next = || args.next().ok_or(Stop);
    let variable = variable(parser, next()?)?;
    let second = if two { Some(self::variable(parser, next()?)?) } else { None };
    if second.as_ref() == Some(&variable) {
        parser.issues.at(offset, format!("duplicate variable name: {variable}"));
        return Err(Stop);
    }
    let condition = if conditional { Some(next()?) } else { None };
    let step = next()?;
    parser.node(offset, Kind::Fold(Box::new(Fold { kind, range: target, variable, second, condition, step })))
}

fn has(parser: &mut Parser<'_, '_>, offset: u32, args: Vec<Node>) -> Result<Node, Stop> {
    match args.into_iter().next().map(|arg| arg.kind) {
        Some(Kind::Select { operand, field, test: false }) => {
            parser.node(offset, Kind::Select { operand, field, test: true })
        }
        _ => {
            parser.issues.at(offset, "invalid argument to has() macro");
            Err(Stop)
        }
    }
}

fn optional(
    parser: &mut Parser<'_, '_>,
    offset: u32,
    flat: bool,
    target: Node,
    args: Vec<Node>,
) -> Result<Node, Stop> {
    let mut args = args.into_iter();
    let name = args.next().ok_or(Stop)?;
    let variable = variable(parser, name)?;
    let value = Box::new(args.next().ok_or(Stop)?);
    parser.node(offset, Kind::OptionalMap { target: Box::new(target), variable, value, flat })
}

fn variable(parser: &mut Parser<'_, '_>, node: Node) -> Result<String, Stop> {
    match node.kind {
        Kind::Ident(name) if name != "__result__" && !name.starts_with('.') => Ok(name),
        Kind::Ident(name) if name == "__result__" => {
            parser.issues.at(node.offset, "iteration variable overwrites accumulator variable");
            Err(Stop)
        }
        _ => {
            parser.issues.at(node.offset, "argument must be a simple name");
            Err(Stop)
        }
    }
}
