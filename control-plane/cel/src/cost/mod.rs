//! What an expression may cost, before it is run: from the limits that schemas set on texts, lists and maps.
//!
//! Upstream refuses definitions by this estimate, so it follows upstream's rules, also where they are rough.

mod call;
mod range;

use crate::deep::deep;
use crate::environment::Environment;
use crate::eval::charge::{LIST, MAP, STRUCT};
use crate::expr::{Expr, ExprKind, Fold};
use crate::shape::Shape;
use crate::syntax::ast::{FoldKind, Literal};
use crate::types::Type;
pub use range::Range;

/// What is known of a part.
#[derive(Clone, Default)]
pub(super) struct Estimate<'e> {
    pub cost: Range,
    /// How large its value is, as `size()` counts.
    pub size: Option<Range>,
    /// How large the values in it are.
    pub items: Option<Range>,
    /// The part of a schema that describes it.
    pub shape: Option<&'e Shape>,
}

impl Estimate<'_> {
    pub fn size_or_unknown(&self) -> Range {
        self.size.unwrap_or(Range::UNKNOWN)
    }

    /// The size of an item of the list that it is.
    pub fn item_size(&self) -> Range {
        let by_shape = self.shape.and_then(Shape::element).map(|item| Range::new(0, item.max_elements));
        self.items.or(by_shape).unwrap_or(Range::UNKNOWN)
    }
}

/// The estimate for a whole expression.
pub(crate) fn estimate(environment: &Environment, expr: &Expr) -> Range {
    Estimator { environment, locals: Vec::new() }.node(expr).cost
}

struct Estimator<'e> {
    environment: &'e Environment,
    locals: Vec<Estimate<'e>>,
}

impl<'e> Estimator<'e> {
    fn node(&mut self, expr: &Expr) -> Estimate<'e> {
        let mut estimate = deep(|| self.kind(expr));
        if estimate.size.is_none() {
            estimate.size = match (estimate.shape, scalar(&expr.ty)) {
                (Some(shape), _) => Some(Range::new(0, shape.max_elements)),
                (None, true) => Some(Range::ONE),
                (None, false) => None,
            };
        }
        estimate
    }

    fn kind(&mut self, expr: &Expr) -> Estimate<'e> {
        match &expr.kind {
            ExprKind::Const(literal) => {
                Estimate { size: Some(Range::exactly(length(literal))), ..Estimate::default() }
            }
            ExprKind::TypeName(_) => Estimate { cost: Range::ONE, ..Estimate::default() },
            ExprKind::Variable(name) => Estimate {
                cost: Range::ONE,
                shape: self.environment.variable_shape(name),
                ..Estimate::default()
            },
            ExprKind::Local(at) => {
                let local = self.locals.get(*at).cloned().unwrap_or_default();
                Estimate { cost: Range::ONE, ..local }
            }
            ExprKind::Select { operand, field, has } => self.select(operand, field, *has),
            ExprKind::OptionalSelect { operand, field } => {
                let inside = self.node(operand);
                let shape = inside.shape.and_then(|shape| below(shape, field));
                Estimate { cost: inside.cost.add(Range::ONE), shape, ..Estimate::default() }
            }
            ExprKind::Call(call) => {
                let args: Vec<Estimate<'e>> = call.args.iter().map(|arg| self.node(arg)).collect();
                call::estimate(call, &args)
            }
            ExprKind::And(both) | ExprKind::Or(both) => {
                let [left, right] = [&both[0], &both[1]].map(|side| self.node(side).cost);
                Estimate { cost: Range::new(left.min, left.add(right).max), ..Estimate::default() }
            }
            ExprKind::Conditional(three) => {
                let [condition, yes, no] = [&three[0], &three[1], &three[2]].map(|part| self.node(part));
                Estimate {
                    cost: condition.cost.add(yes.cost.union(no.cost)),
                    size: Some(yes.size_or_unknown().union(no.size_or_unknown())),
                    items: yes.items.zip(no.items).map(|(yes, no)| yes.union(no)),
                    shape: None,
                }
            }
            ExprKind::List(_) | ExprKind::Map(_) | ExprKind::Struct { .. } => self.made(expr),
            ExprKind::Fold(fold) => self.fold(fold),
            ExprKind::OptionalMap { target, value, .. } => self.optional_map(target, value),
        }
    }

    fn select(&mut self, operand: &Expr, field: &str, has: bool) -> Estimate<'e> {
        let inside = self.node(operand);
        if has {
            return Estimate { cost: inside.cost, ..Estimate::default() };
        }
        // Of what has no type, upstream counts nothing.
        let own = if matches!(operand.ty, Type::Map(..) | Type::Object(_)) { 1 } else { 0 };
        let shape = inside.shape.and_then(|shape| below(shape, field));
        Estimate { cost: inside.cost.add(Range::exactly(own)), shape, ..Estimate::default() }
    }

    fn made(&mut self, expr: &Expr) -> Estimate<'e> {
        let mut cost = Range::ZERO;
        let mut items: Option<Range> = None;
        for child in expr.children() {
            let part = self.node(child);
            cost = cost.add(part.cost);
            let size = part.size_or_unknown();
            items = Some(items.map_or(size, |items| items.union(size)));
        }
        let (own, count) = match &expr.kind {
            ExprKind::List(items) => (LIST, items.len()),
            ExprKind::Map(entries) => (MAP, entries.len()),
            _ => (STRUCT, 1),
        };
        Estimate {
            cost: cost.add(Range::exactly(own)),
            size: Some(Range::exactly(count as u64)),
            items: Some(items.unwrap_or(Range::ZERO)),
            shape: None,
        }
    }

    fn fold(&mut self, fold: &Fold) -> Estimate<'e> {
        let range = self.node(&fold.range);
        let mark = self.locals.len();
        let is_map = matches!(fold.range.ty, Type::Map(..));
        let item = Estimate {
            size: range.items,
            shape: range.shape.and_then(Shape::element).map(|shape| &**shape),
            ..Estimate::default()
        };
        let key = Estimate {
            size: Some(if is_map && range.shape.is_some() { Range::ZERO } else { Range::ONE }),
            ..Estimate::default()
        };
        match (fold.two, is_map) {
            (true, _) => self.locals.extend([key, item]),
            (false, true) => self.locals.push(key),
            (false, false) => self.locals.push(item),
        }
        let condition =
            fold.condition.as_ref().map(|condition| self.node(condition).cost).unwrap_or_default();
        let step = self.node(&fold.step);
        self.locals.truncate(mark);
        let rate = rate(fold, condition, step.cost);
        let count = range.size_or_unknown();
        let loops = count.multiply(rate.round);
        let collects = matches!(
            fold.kind,
            FoldKind::Map | FoldKind::Filter | FoldKind::TransformMap | FoldKind::TransformEntry
        );
        let kept = if fold.kind == FoldKind::Filter { range.items } else { Some(step.size_or_unknown()) };
        Estimate {
            cost: range.cost.add(rate.once).add(loops),
            size: Some(if collects { count } else { Range::ONE }),
            items: kept.filter(|_| collects).map(|size| size.union(Range::ZERO)),
            shape: None,
        }
    }

    fn optional_map(&mut self, target: &Expr, value: &Expr) -> Estimate<'e> {
        let outer = self.node(target);
        self.locals.push(Estimate { cost: Range::ZERO, ..outer.clone() });
        let inner = self.node(value);
        self.locals.pop();
        let bound = outer.cost.add(inner.cost).add(Range::exactly(LIST + 2));
        Estimate { cost: outer.cost.add(Range::ONE).add(bound.union(Range::ONE)), ..Estimate::default() }
    }
}

/// What a macro costs once, and in each round.
struct Rate {
    once: Range,
    round: Range,
}

fn rate(fold: &Fold, condition: Range, step: Range) -> Rate {
    let one = Range::exactly;
    match fold.kind {
        FoldKind::All => Rate { once: one(1), round: Range::new(1, step.max.saturating_add(1)).add(one(2)) },
        FoldKind::Exists => {
            Rate { once: one(1), round: Range::new(1, step.max.saturating_add(1)).add(one(3)) }
        }
        FoldKind::ExistsOne => Rate { once: one(2), round: step.add(Range::new(1, 2)) },
        FoldKind::Filter => Rate { once: one(LIST + 1), round: step.add(Range::new(1, LIST + 3)) },
        FoldKind::Map => {
            let kept = step.add(one(LIST + 2));
            let round = if fold.condition.is_some() { condition.add(kept.union(one(1))) } else { kept };
            Rate { once: one(LIST + 1), round }
        }
        FoldKind::TransformMap | FoldKind::TransformEntry => {
            let kept = step.add(one(3));
            let round = if fold.condition.is_some() { condition.add(kept.union(one(1))) } else { kept };
            Rate { once: one(MAP + 1), round }
        }
    }
}

/// The shape of a field by the name expressions use, or of a map's values.
fn below<'e>(shape: &'e Shape, field: &str) -> Option<&'e Shape> {
    match &shape.kind {
        crate::shape::ShapeKind::Object(object) => object.fields.get(field).map(|field| &*field.shape),
        crate::shape::ShapeKind::Map(value) => Some(value),
        _ => None,
    }
}

fn scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(inside) => scalar(inside),
        _ => false,
    }
}

fn length(literal: &Literal) -> u64 {
    match literal {
        Literal::String(text) => text.chars().count() as u64,
        Literal::Bytes(bytes) => bytes.len() as u64,
        _ => 1,
    }
}
