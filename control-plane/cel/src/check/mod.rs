//! Resolves names and types.

mod call;
mod literals;
mod unify;

use std::sync::{Arc, LazyLock};

use crate::deep::deep;
use crate::environment::Environment;
use crate::expr::{Expr, ExprKind, Fold};
use crate::library;
use crate::shape::{FieldShape, Shape};
use crate::source::{CompileError, Issues};
use crate::syntax::ast::{self, FoldKind, Kind, Literal, Node};
use crate::types::{JSON_PATCH, ObjectType, Type};
use unify::Mapping;

/// Checks the tree of `text`.
pub(crate) fn check(environment: &Environment, text: &str, node: &Node) -> Result<Expr, CompileError> {
    let mut issues = Issues::new(text);
    let mut checker =
        Checker { environment, issues: &mut issues, mapping: Mapping::default(), locals: Vec::new() };
    let mut expr = checker.node(node);
    let mapping = checker.mapping;
    expr.settle(&|ty| mapping.settled(ty));
    issues.into_result()?;
    Ok(expr)
}

struct Checker<'e, 't, 'i> {
    environment: &'e Environment,
    issues: &'i mut Issues<'t>,
    mapping: Mapping,
    locals: Vec<(String, Type)>,
}

impl Checker<'_, '_, '_> {
    fn node(&mut self, node: &Node) -> Expr {
        deep(|| self.kind(node))
    }

    fn kind(&mut self, node: &Node) -> Expr {
        let offset = node.offset;
        let (kind, ty) = match &node.kind {
            Kind::Literal(literal) => (ExprKind::Const(literal.clone()), literal_type(literal)),
            Kind::Ident(name) => self.identifier(name, offset),
            Kind::Select { operand, field, test } => match self.qualified(node) {
                Some(found) if !test => found,
                _ => self.select(operand, field, *test, offset),
            },
            Kind::Call { function, target, args } => self.call(function, target.as_deref(), args, offset),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.structure(name, fields, offset),
            Kind::Fold(fold) => self.fold(fold, offset),
            Kind::OptionalMap { target, variable, value, flat } => {
                self.optional_map(target, variable, value, *flat, offset)
            }
        };
        Expr { kind, ty, offset }
    }

    fn boxed(&mut self, node: &Node) -> Box<Expr> {
        Box::new(self.node(node))
    }

    fn lookup(&self, name: &str) -> Option<(ExprKind, Type)> {
        if let Some(at) = self.locals.iter().rposition(|(known, _)| known == name) {
            return self.locals.get(at).map(|(_, ty)| (ExprKind::Local(at), ty.clone()));
        }
        if let Some(ty) = self.environment.variable_type(name) {
            return Some((ExprKind::Variable(name.to_owned()), ty));
        }
        let ty = library::type_named(name)?;
        Some((ExprKind::TypeName(ty.clone()), Type::Type(Arc::new(ty))))
    }

    fn identifier(&mut self, name: &str, offset: u32) -> (ExprKind, Type) {
        let bare = name.strip_prefix('.').unwrap_or(name);
        if let Some(found) = self.lookup(bare) {
            return found;
        }
        self.undeclared(bare, offset);
        (ExprKind::Const(Literal::Null), Type::Error)
    }

    fn undeclared(&mut self, name: &str, offset: u32) {
        self.issues.at(offset, format!("undeclared reference to '{name}' (in container '')"));
    }

    /// `a.b` when that is the name of something.
    fn qualified(&mut self, node: &Node) -> Option<(ExprKind, Type)> {
        let name = crate::syntax::spelled(node)?;
        let first = name.split('.').next().unwrap_or_default();
        if self.locals.iter().any(|(known, _)| known == first) {
            return None;
        }
        self.lookup(&name)
    }

    fn select(&mut self, operand: &Node, field: &str, has: bool, offset: u32) -> (ExprKind, Type) {
        let operand = self.boxed(operand);
        let found = self.mapping.resolved(&operand.ty);
        let ty = match &found {
            Type::Optional(inside) => {
                Type::optional(self.field_type(&self.mapping.resolved(inside), field, offset))
            }
            other => self.field_type(other, field, offset),
        };
        let ty = if has { Type::Bool } else { ty };
        (ExprKind::Select { operand, field: field.to_owned(), has }, ty)
    }

    fn field_type(&mut self, of: &Type, field: &str, offset: u32) -> Type {
        match of {
            Type::Dyn | Type::Error | Type::Param(_) => Type::Dyn,
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(field) => field.shape.type_of(),
                None if object.open => Type::Dyn,
                None => {
                    self.issues.at(offset, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            other => {
                let other = self.mapping.settled(other);
                self.issues.at(offset, format!("type '{other}' does not support field selection"));
                Type::Error
            }
        }
    }

    fn list(&mut self, items: &[(Node, bool)]) -> (ExprKind, Type) {
        let mut of = None;
        let mut checked = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let expr = self.node(item);
            let ty = self.unless_optional(&expr, *optional);
            of = Some(self.joined(of, ty, expr.offset));
            checked.push((expr, *optional));
        }
        let of = of.unwrap_or_else(|| self.mapping.fresh());
        (ExprKind::List(checked), Type::list(of))
    }

    /// The type of an element; of a `?` one what it holds.
    fn unless_optional(&mut self, expr: &Expr, optional: bool) -> Type {
        if !optional {
            return expr.ty.clone();
        }
        let inside = self.mapping.fresh();
        let wanted = Type::optional(inside.clone());
        if !self.mapping.assignable(&wanted, &expr.ty) {
            self.mismatch(&wanted, &expr.ty, expr.offset);
        }
        inside
    }

    fn mismatch(&mut self, wanted: &Type, found: &Type, offset: u32) {
        let (wanted, found) = (self.mapping.settled(wanted), self.mapping.settled(found));
        self.issues.at(offset, format!("expected type '{wanted}' but found '{found}'"));
    }

    /// Elements are of one type.
    fn joined(&mut self, before: Option<Type>, next: Type, offset: u32) -> Type {
        let Some(before) = before else { return next };
        if !self.mapping.assignable(&before, &next) {
            self.mismatch(&before, &next, offset);
            return before;
        }
        if self.mapping.resolved(&next).is_dyn() { next } else { before }
    }

    fn map(&mut self, entries: &[ast::Entry]) -> (ExprKind, Type) {
        let (mut keys, mut values) = (None, None);
        let mut checked = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, value) = (self.node(&entry.key), self.node(&entry.value));
            keys = Some(self.joined(keys, key.ty.clone(), key.offset));
            let ty = self.unless_optional(&value, entry.optional);
            values = Some(self.joined(values, ty, value.offset));
            checked.push((key, value, entry.optional));
        }
        let key = keys.unwrap_or_else(|| self.mapping.fresh());
        let value = values.unwrap_or_else(|| self.mapping.fresh());
        (ExprKind::Map(checked), Type::Map(Arc::new(key), Arc::new(value)))
    }

    fn structure(&mut self, name: &str, fields: &[ast::Field], offset: u32) -> (ExprKind, Type) {
        let Some(object) = self.environment.object_named(name) else {
            self.undeclared(name, offset);
            return (ExprKind::Const(Literal::Null), Type::Error);
        };
        let mut checked = Vec::with_capacity(fields.len());
        for ast::Field { offset, name, value, optional } in fields {
            let value = self.node(value);
            let ty = self.unless_optional(&value, *optional);
            let wanted = self.field_type(&Type::Object(object.clone()), name, *offset);
            if !self.mapping.assignable(&wanted, &ty) {
                let (wanted, ty) = (self.mapping.settled(&wanted), self.mapping.settled(&ty));
                let text =
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{ty}'");
                self.issues.at(*offset, text);
            }
            checked.push((name.clone(), value, *optional));
        }
        (ExprKind::Struct { object: object.clone(), fields: checked }, Type::Object(object))
    }

    fn fold(&mut self, fold: &ast::Fold, offset: u32) -> (ExprKind, Type) {
        let range = self.node(&fold.range);
        let (key, item) = match self.mapping.resolved(&range.ty) {
            Type::List(item) => (Type::Int, (*item).clone()),
            Type::Map(key, value) => ((*key).clone(), (*value).clone()),
            Type::Dyn | Type::Error | Type::Param(_) => (Type::Dyn, Type::Dyn),
            other => {
                let other = self.mapping.settled(&other);
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issues.at(range.offset, text);
                (Type::Error, Type::Error)
            }
        };
        let mark = self.locals.len();
        let is_map = matches!(self.mapping.resolved(&range.ty), Type::Map(..));
        let single = if is_map { key.clone() } else { item.clone() };
        match &fold.second {
            Some(second) => {
                self.locals.push((fold.variable.clone(), key.clone()));
                self.locals.push((second.clone(), item));
            }
            None => self.locals.push((fold.variable.clone(), single.clone())),
        }
        let condition = fold.condition.as_ref().map(|condition| self.node(condition));
        let step = self.node(&fold.step);
        self.locals.truncate(mark);
        if let Some(condition) = &condition {
            self.truth(condition, "_?_:_", "list(dyn), list(dyn)", offset);
        }
        let ty = match fold.kind {
            FoldKind::All => self.truth(&step, "_&&_", "bool", offset),
            FoldKind::Exists => self.truth(&step, "_||_", "bool", offset),
            FoldKind::ExistsOne => self.truth(&step, "_?_:_", "int, int", offset),
            FoldKind::Filter => {
                self.truth(&step, "_?_:_", "list(dyn), list(dyn)", offset);
                Type::list(single)
            }
            FoldKind::Map => Type::list(step.ty.clone()),
            FoldKind::TransformMap => Type::Map(Arc::new(key), Arc::new(step.ty.clone())),
            FoldKind::TransformEntry => {
                let wanted = Type::Map(Arc::new(self.mapping.fresh()), Arc::new(self.mapping.fresh()));
                if !self.mapping.assignable(&wanted, &step.ty) {
                    self.mismatch(&wanted, &step.ty, step.offset);
                }
                wanted
            }
        };
        let two = fold.second.is_some();
        (ExprKind::Fold(Box::new(Fold { kind: fold.kind, range, two, condition, step })), ty)
    }

    /// A macro's step that has to be true or false; the operator that upstream's rewriting would use does not fit else.
    fn truth(&mut self, step: &Expr, operator: &str, beside: &str, offset: u32) -> Type {
        if !self.mapping.assignable(&Type::Bool, &step.ty) {
            let found = self.mapping.settled(&step.ty);
            let signature =
                if operator == "_?_:_" { format!("{found}, {beside}") } else { format!("{beside}, {found}") };
            self.issues.at(
                offset,
                format!("found no matching overload for '{operator}' applied to '({signature})'"),
            );
        }
        Type::Bool
    }

    fn optional_map(
        &mut self,
        target: &Node,
        variable: &str,
        value: &Node,
        flat: bool,
        offset: u32,
    ) -> (ExprKind, Type) {
        let target = self.boxed(target);
        let inside = self.mapping.fresh();
        if !self.mapping.assignable(&Type::optional(inside.clone()), &target.ty) {
            let found = self.mapping.settled(&target.ty);
            self.issues
                .at(offset, format!("found no matching overload for 'hasValue' applied to '{found}.()'"));
        }
        self.locals.push((variable.to_owned(), inside));
        let value = self.boxed(value);
        self.locals.pop();
        let ty = if flat { value.ty.clone() } else { Type::optional(value.ty.clone()) };
        (ExprKind::OptionalMap { target, value, flat }, ty)
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// The objects that mutating policies make: `Object`, `Object.spec`, …, and `JSONPatch`.
pub(crate) fn policy_object(name: &str) -> Option<Arc<ObjectType>> {
    static OPERATION: LazyLock<Arc<ObjectType>> = LazyLock::new(|| {
        let field = |name: &str, shape: Arc<Shape>| {
            (name.to_owned(), FieldShape { property: name.to_owned(), shape })
        };
        let texts = ["op", "path", "from"].map(|name| field(name, Shape::any_text()));
        let fields = texts.into_iter().chain([field("value", Shape::any())]).collect();
        Arc::new(ObjectType { name: JSON_PATCH.to_owned(), fields, open: false })
    });
    if name == JSON_PATCH {
        return Some(OPERATION.clone());
    }
    let known = name == "Object" || name.starts_with("Object.");
    known.then(|| Arc::new(ObjectType { name: name.to_owned(), fields: Default::default(), open: true }))
}
