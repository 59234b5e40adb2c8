//! Calls: which overloads fit.

use super::Checker;
use super::literals;
use crate::expr::{Call, Expr, ExprKind};
use crate::library::{self, Function, Overload, Style};
use crate::syntax::ast::{Literal, Node};
use crate::syntax::spelled;
use crate::types::Type;

impl Checker<'_, '_, '_> {
    pub(super) fn call(
        &mut self,
        name: &str,
        target: Option<&Node>,
        args: &[Node],
        offset: u32,
    ) -> (ExprKind, Type) {
        if name == "_?._" {
            return self.optional_select(args, offset);
        }
        if let Some(target) = target {
            let qualified = spelled(target).map(|of| format!("{of}.{name}"));
            if let Some(function) = qualified.as_deref().and_then(library::function) {
                let args = args.iter().map(|arg| self.node(arg)).collect();
                return self.overload(function, Style::Global, args, offset);
            }
        }
        let checked: Vec<Expr> = target.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        let bare = name.strip_prefix('.').unwrap_or(name);
        let Some(function) = library::function(bare) else {
            self.undeclared(bare, offset);
            return (ExprKind::Const(Literal::Null), Type::Error);
        };
        let style = if target.is_some() { Style::Member } else { Style::Global };
        self.overload(function, style, checked, offset)
    }

    fn optional_select(&mut self, args: &[Node], offset: u32) -> (ExprKind, Type) {
        let (Some(operand), Some(field)) = (args.first(), args.get(1)) else {
            return (ExprKind::Const(Literal::Null), Type::Error);
        };
        let operand = Box::new(self.node(operand));
        let crate::syntax::ast::Kind::Literal(Literal::String(field)) = &field.kind else {
            return (ExprKind::Const(Literal::Null), Type::Error);
        };
        let of = match self.mapping.resolved(&operand.ty) {
            Type::Optional(inside) => self.mapping.resolved(&inside),
            other => other,
        };
        let ty = Type::optional(self.field_type(&of, field, offset));
        (ExprKind::OptionalSelect { operand, field: field.clone() }, ty)
    }

    fn overload(
        &mut self,
        function: &'static Function,
        style: Style,
        args: Vec<Expr>,
        offset: u32,
    ) -> (ExprKind, Type) {
        let mut found: Vec<&'static Overload> = Vec::new();
        let mut result: Option<Type> = None;
        for overload in function
            .overloads
            .iter()
            .filter(|overload| overload.style == style && overload.params.len() == args.len())
        {
            let base = self.mapping.reserve(overload.open);
            let wanted: Vec<Type> = overload.params.iter().map(|param| shifted(param, base)).collect();
            let given: Vec<&Type> = args.iter().map(|arg| &arg.ty).collect();
            if !self.mapping.assignable_all(&wanted, &given) {
                continue;
            }
            found.push(overload);
            let ty = self.mapping.resolved(&shifted(&overload.result, base));
            result = Some(match result {
                Some(before) if before != ty => Type::Dyn,
                _ => ty,
            });
        }
        let Some(ty) = result else {
            self.no_overload(function.name, style, &args, offset);
            return (ExprKind::Const(Literal::Null), Type::Error);
        };
        literals::check(function.name, &args, self.issues);
        (made(function, style, found, args), ty)
    }

    fn no_overload(&mut self, name: &str, style: Style, args: &[Expr], offset: u32) {
        let mut types = args.iter().map(|arg| self.mapping.settled(&arg.ty).to_string());
        let signature = match style {
            Style::Member => {
                let target = types.next().unwrap_or_default();
                format!("{target}.({})", types.collect::<Vec<_>>().join(", "))
            }
            Style::Global => format!("({})", types.collect::<Vec<_>>().join(", ")),
        };
        self.issues.at(offset, format!("found no matching overload for '{name}' applied to '{signature}'"));
    }
}

/// Operators that do not evaluate all operands are nodes of their own.
fn made(
    function: &'static Function,
    style: Style,
    overloads: Vec<&'static Overload>,
    args: Vec<Expr>,
) -> ExprKind {
    let args = match (function.name, <[Expr; 2]>::try_from(args)) {
        ("_&&_", Ok(both)) => return ExprKind::And(Box::new(both)),
        ("_||_", Ok(both)) => return ExprKind::Or(Box::new(both)),
        (_, Ok(both)) => Vec::from(both),
        ("_?_:_", Err(args)) => match <[Expr; 3]>::try_from(args) {
            Ok(three) => return ExprKind::Conditional(Box::new(three)),
            Err(args) => args,
        },
        (_, Err(args)) => args,
    };
    let pattern = match (function.name, args.get(1).map(|arg| &arg.kind)) {
        ("matches" | "find" | "findAll", Some(ExprKind::Const(Literal::String(pattern)))) => Some(pattern),
        _ => None,
    };
    let regex = pattern.and_then(|pattern| library::regex::compile(pattern).ok());
    ExprKind::Call(Box::new(Call { function, style, overloads, args, regex }))
}

/// A signature's open types as ones of this call alone.
fn shifted(ty: &Type, base: u32) -> Type {
    use std::sync::Arc;
    match ty {
        Type::Param(number) => Type::Param(base + number),
        Type::List(item) => Type::list(shifted(item, base)),
        Type::Optional(value) => Type::optional(shifted(value, base)),
        Type::Type(of) => Type::Type(Arc::new(shifted(of, base))),
        Type::Map(key, value) => Type::Map(Arc::new(shifted(key, base)), Arc::new(shifted(value, base))),
        other => other.clone(),
    }
}
