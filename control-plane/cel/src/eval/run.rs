//! Walks the tree.

use super::charge;
use super::{Bindings, Budget};
use crate::deep::deep;
use crate::error::EvalError;
use crate::expr::{Call, Expr, ExprKind};
use crate::library::{self, Given};
use crate::syntax::ast::Literal;
use crate::types::ObjectType;
use crate::value::{Map, Text, Value};
use std::sync::Arc;

pub(crate) struct Runtime<'r, 'a> {
    pub bindings: &'r Bindings<'a>,
    pub budget: &'r mut Budget,
    /// Variables of the macros around, innermost last.
    pub locals: Vec<Value<'a>>,
}

impl<'a> Runtime<'_, 'a> {
    pub fn eval(&mut self, expr: &'a Expr) -> Given<'a> {
        deep(|| self.kind(&expr.kind, expr))
    }

    fn kind(&mut self, kind: &'a ExprKind, expr: &'a Expr) -> Given<'a> {
        match kind {
            ExprKind::Const(literal) => Ok(constant(literal)),
            ExprKind::TypeName(of) => Ok(Value::Type(of.clone())),
            ExprKind::Variable(name) => self.variable(name),
            ExprKind::Local(at) => self.local(*at),
            ExprKind::Select { operand, field, has: false } => self.select(operand, field),
            ExprKind::Select { operand, field, has: true } => self.has(operand, field),
            ExprKind::OptionalSelect { operand, field } => self.optional_select(operand, field),
            ExprKind::Call(call) => self.call(call),
            ExprKind::And(both) => self.either(both, false),
            ExprKind::Or(both) => self.either(both, true),
            ExprKind::Conditional(three) => self.conditional(three),
            ExprKind::List(items) => self.list(items, expr.is_constant()),
            ExprKind::Map(entries) => self.map(entries, expr.is_constant()),
            ExprKind::Struct { object, fields } => self.structure(object, fields),
            ExprKind::Fold(fold) => self.fold(fold),
            ExprKind::OptionalMap { target, value, flat } => self.optional_map(target, value, *flat),
        }
    }

    fn variable(&mut self, name: &str) -> Given<'a> {
        self.budget.charge(1)?;
        let bound = self.bindings.get(name).cloned();
        bound.ok_or_else(|| EvalError::failed(format!("no such attribute(s): {name}")))
    }

    fn local(&mut self, at: usize) -> Given<'a> {
        self.budget.charge(1)?;
        self.locals.get(at).cloned().ok_or_else(|| EvalError::failed("no such attribute(s)"))
    }

    /// What is reached from a name costs one for each step; anything else costs one more.
    fn step(&mut self, operand: &'a Expr) -> Given<'a> {
        let value = self.eval(operand)?;
        let from_name = match &operand.kind {
            ExprKind::Variable(_)
            | ExprKind::Local(_)
            | ExprKind::Select { has: false, .. }
            | ExprKind::OptionalSelect { .. } => true,
            ExprKind::Call(call) => matches!(call.function.name, "_[_]" | "_[?_]"),
            _ => false,
        };
        self.budget.charge(if from_name { 1 } else { 2 })?;
        Ok(value)
    }

    fn select(&mut self, operand: &'a Expr, field: &str) -> Given<'a> {
        let value = self.step(operand)?;
        match &value {
            Value::Optional(_) => optional_field(&value, field, self.budget),
            value => match get(value, field, self.budget)? {
                Some(found) => found,
                None => unset(value, field).ok_or_else(|| EvalError::no_key(field)),
            },
        }
    }

    fn optional_select(&mut self, operand: &'a Expr, field: &str) -> Given<'a> {
        let value = self.step(operand)?;
        optional_field(&value, field, self.budget)
    }

    fn has(&mut self, operand: &'a Expr, field: &str) -> Given<'a> {
        let value = self.eval(operand)?;
        let present = match &value {
            Value::Optional(_) => {
                matches!(optional_field(&value, field, self.budget)?, Value::Optional(Some(_)))
            }
            value => get(value, field, self.budget)?.is_some(),
        };
        Ok(Value::Bool(present))
    }

    fn call(&mut self, call: &'a Call) -> Given<'a> {
        let mut args = Vec::with_capacity(call.args.len());
        let name = call.function.name;
        match (name, call.args.as_slice()) {
            ("_[_]" | "_[?_]", [container, key]) => {
                let container = self.step(container)?;
                let key = self.eval(key)?;
                return if name == "_[_]" {
                    library::index(&container, &key)
                } else {
                    library::optional_index(&container, &key)
                };
            }
            ("or" | "orValue", [first, _]) => {
                let first = self.eval(first)?;
                if let Value::Optional(Some(inside)) = &first {
                    self.budget.charge(1)?;
                    return Ok(if name == "or" { first } else { (**inside).clone() });
                }
                args.push(first);
            }
            _ => {}
        }
        for arg in call.args.iter().skip(args.len()) {
            args.push(self.eval(arg)?);
        }
        // A list that is written out is looked up, not searched.
        let free = name == "@in" && call.args.get(1).is_some_and(Expr::is_constant);
        let overload = match call.overloads.as_slice() {
            [one] if one.accepts(call.style, &args) => Some(*one),
            _ => call.function.overloads.iter().find(|overload| overload.accepts(call.style, &args)),
        };
        let overload = overload.ok_or_else(EvalError::no_overload)?;
        let compiled = call.regex.as_ref().and_then(|regex| library::regex::run(name, regex, &args));
        let result = match compiled {
            Some(result) => result?,
            None => (overload.run)(self.budget, &args)?,
        };
        if !free {
            // With several overloads left, upstream does not know by which rule to count.
            let counted =
                if call.overloads.len() == 1 || matches!(name, "_==_" | "_!=_") { overload.id } else { "" };
            self.budget.charge(charge::call(name, counted, &args, &result))?;
        }
        Ok(result)
    }

    /// `&&` and `||`: the side that decides alone hides what is wrong with the other.
    fn either(&mut self, both: &'a [Expr; 2], decisive: bool) -> Given<'a> {
        let [left, right] = both;
        let first = match self.truth(left) {
            Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
            Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
            other => other,
        };
        match (first, self.truth(right)) {
            (_, Err(EvalError::CostLimit)) => Err(EvalError::CostLimit),
            (_, Ok(value)) if value == decisive => Ok(Value::Bool(decisive)),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(value)) => Ok(Value::Bool(value)),
        }
    }

    pub(super) fn truth(&mut self, expr: &'a Expr) -> Result<bool, EvalError> {
        self.eval(expr)?.as_bool().ok_or_else(EvalError::no_overload)
    }

    fn conditional(&mut self, three: &'a [Expr; 3]) -> Given<'a> {
        let [condition, yes, no] = three;
        if self.truth(condition)? { self.eval(yes) } else { self.eval(no) }
    }

    fn list(&mut self, items: &'a [(Expr, bool)], constant: bool) -> Given<'a> {
        let mut made = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.eval(item)?, optional) {
                (Value::Optional(inside), true) => made.extend(inside.map(|value| (*value).clone())),
                (_, true) => return Err(EvalError::no_overload()),
                (value, false) => made.push(value),
            }
        }
        if !constant {
            self.budget.charge(charge::LIST)?;
        }
        Ok(Value::list(made))
    }

    fn map(&mut self, entries: &'a [(Expr, Expr, bool)], constant: bool) -> Given<'a> {
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            if !matches!(key, Value::String(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_)) {
                return Err(EvalError::failed("unsupported key type"));
            }
            let value = match (self.eval(value)?, optional) {
                (Value::Optional(Some(inside)), true) => (*inside).clone(),
                (Value::Optional(None), true) => continue,
                (_, true) => return Err(EvalError::no_overload()),
                (value, false) => value,
            };
            self.budget.work(made.len() as u64)?;
            if made.iter().any(|(known, _)| crate::value::compare::equal_keys(known, &key)) {
                return Err(EvalError::failed(format!("Failed with repeated key: {}", library::shown(&key))));
            }
            made.push((key, value));
        }
        if !constant {
            self.budget.charge(charge::MAP)?;
        }
        Ok(Value::Map(Map::made(made)))
    }

    fn structure(&mut self, object: &Arc<ObjectType>, fields: &'a [(String, Expr, bool)]) -> Given<'a> {
        let mut made = Vec::with_capacity(fields.len());
        for (field, value, optional) in fields {
            let name = Value::String(Text::Borrowed(field));
            match (self.eval(value)?, optional) {
                (Value::Optional(Some(inside)), true) => made.push((name, (*inside).clone())),
                (Value::Optional(None), true) => {}
                (_, true) => return Err(EvalError::no_overload()),
                (value, false) => made.push((name, value)),
            }
        }
        self.budget.charge(charge::STRUCT)?;
        Ok(Value::Map(Map::structure(made, object.clone())))
    }

    fn optional_map(&mut self, target: &'a Expr, value: &'a Expr, flat: bool) -> Given<'a> {
        let inside = match self.eval(target)? {
            Value::Optional(Some(inside)) => (*inside).clone(),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            _ => return Err(EvalError::no_overload()),
        };
        self.budget.charge(2)?;
        self.locals.push(inside);
        let result = self.eval(value);
        self.locals.pop();
        let result = result?;
        Ok(if flat { result } else { Value::some(result) })
    }
}

fn constant(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Borrowed(text)),
        Literal::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
    }
}

/// A field; `None` when there is no such. Outer errors are for values that have no fields.
fn get<'a>(value: &Value<'a>, field: &str, budget: &mut Budget) -> Result<Option<Given<'a>>, EvalError> {
    match value {
        Value::Map(map) => Ok(map.field(field)),
        Value::Record(record) => Ok(record.field(field, budget)),
        _ => Err(EvalError::no_overload()),
    }
}

fn unset<'a>(value: &Value<'a>, field: &str) -> Option<Value<'a>> {
    match value {
        Value::Map(map) => map.unset(field),
        _ => None,
    }
}

fn optional_field<'a>(value: &Value<'a>, field: &str, budget: &mut Budget) -> Given<'a> {
    let found = match value {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inside)) => get(inside, field, budget)?,
        other => get(other, field, budget)?,
    };
    match found {
        Some(value) => Ok(Value::some(value?)),
        None => Ok(Value::Optional(None)),
    }
}
