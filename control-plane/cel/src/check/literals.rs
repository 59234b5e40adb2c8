//! Texts that a function could never read are refused before anything runs.

use crate::expr::{Expr, ExprKind};
use crate::library;
use crate::source::Issues;
use crate::syntax::ast::Literal;
use crate::value::time;

pub(super) fn check(function: &str, args: &[Expr], issues: &mut Issues<'_>) {
    let at = usize::from(matches!(function, "matches" | "find" | "findAll"));
    let Some(Expr { kind: ExprKind::Const(Literal::String(text)), offset, .. }) = args.get(at) else {
        return;
    };
    let fine = match function {
        "duration" => time::parse_duration(text).is_some(),
        "timestamp" => time::parse_timestamp(text).is_some(),
        "matches" | "find" | "findAll" => library::regex::compile(text).is_ok(),
        _ => true,
    };
    if !fine {
        issues.at(*offset, format!("invalid {function} argument"));
    }
}
