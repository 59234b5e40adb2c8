//! Macros over lists and maps. They cost what upstream's rewriting into loops costs.

use super::charge;
use super::run::Runtime;
use crate::error::EvalError;
use crate::expr::{Expr, Fold};
use crate::library::Given;
use crate::syntax::ast::FoldKind;
use crate::value::{Map, Value};

/// The variables of one round; the second when there are two.
type Round<'a> = (Value<'a>, Option<Result<Value<'a>, EvalError>>);

impl<'a> Runtime<'_, 'a> {
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Given<'a> {
        let range = self.eval(&fold.range)?;
        match fold.kind {
            FoldKind::All => self.quantified(fold, &range, false),
            FoldKind::Exists => self.quantified(fold, &range, true),
            FoldKind::ExistsOne => self.exactly_one(fold, &range),
            FoldKind::Map | FoldKind::Filter => self.collected(fold, &range),
            FoldKind::TransformMap | FoldKind::TransformEntry => self.transformed(fold, &range),
        }
    }

    /// Runs a round with its variables in place.
    fn round<T>(
        &mut self,
        (first, second): Round<'a>,
        run: impl FnOnce(&mut Self) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let mark = self.locals.len();
        self.locals.push(first);
        if let Some(second) = second {
            self.locals.push(second?);
        }
        let result = run(self);
        self.locals.truncate(mark);
        result
    }

    fn quantified(&mut self, fold: &'a Fold, range: &Value<'a>, decisive: bool) -> Given<'a> {
        // The loop's condition: reading the result, and for `exists` turning it around.
        let condition = if decisive { 3 } else { 2 };
        let mut failed = None;
        for round in rounds(range, fold.two)? {
            self.budget.charge(condition + 1)?;
            match round.and_then(|round| self.round(round, |runtime| runtime.truth(&fold.step))) {
                Ok(value) if value == decisive => {
                    self.budget.charge(condition + 1)?;
                    return Ok(Value::Bool(decisive));
                }
                Ok(_) => {}
                Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        self.budget.charge(1)?;
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn exactly_one(&mut self, fold: &'a Fold, range: &Value<'a>) -> Given<'a> {
        let mut count = 0u64;
        for round in rounds(range, fold.two)? {
            let holds = self.round(round?, |runtime| runtime.truth(&fold.step))?;
            self.budget.charge(if holds { 2 } else { 1 })?;
            count += u64::from(holds);
        }
        self.budget.charge(2)?;
        Ok(Value::Bool(count == 1))
    }

    fn collected(&mut self, fold: &'a Fold, range: &Value<'a>) -> Given<'a> {
        let mut made = Vec::new();
        for round in rounds(range, fold.two)? {
            let round = round?;
            let item = round.0.clone();
            let kept = self.round(round, |runtime| {
                let holds = match (&fold.condition, fold.kind) {
                    (Some(condition), _) => runtime.truth(condition)?,
                    (None, FoldKind::Filter) => runtime.truth(&fold.step)?,
                    (None, _) => true,
                };
                match (holds, fold.kind) {
                    (false, _) => Ok(None),
                    (true, FoldKind::Filter) => Ok(Some(item)),
                    (true, _) => runtime.eval(&fold.step).map(Some),
                }
            })?;
            // Reading the result; adding a list of one to it.
            self.budget.charge(match (&kept, fold.kind) {
                (None, _) => 1,
                (Some(_), FoldKind::Filter) => 3 + charge::LIST,
                (Some(_), _) => 2 + charge::LIST,
            })?;
            made.extend(kept);
        }
        self.budget.charge(1)?;
        Ok(Value::list(made))
    }

    fn transformed(&mut self, fold: &'a Fold, range: &Value<'a>) -> Given<'a> {
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        for round in rounds(range, fold.two)? {
            let round = round?;
            let key = round.0.clone();
            let result = self.round(round, |runtime| kept(runtime, fold.condition.as_ref(), &fold.step))?;
            self.budget.charge(3)?;
            let new = match (result, fold.kind) {
                (None, _) => continue,
                (Some(value), FoldKind::TransformMap) => vec![(key, Ok(value))],
                (Some(Value::Map(map)), _) => map.entries(),
                (Some(_), _) => return Err(EvalError::no_overload()),
            };
            for (key, value) in new {
                if fold.kind == FoldKind::TransformEntry {
                    self.budget.work(made.len() as u64)?;
                    if made.iter().any(|(known, _)| crate::value::compare::equal_keys(known, &key)) {
                        let key = crate::library::shown(&key);
                        return Err(EvalError::failed(format!("insert failed: key {key} already exists")));
                    }
                }
                made.push((key, value?));
            }
        }
        self.budget.charge(1)?;
        Ok(Value::Map(Map::made(made)))
    }
}

fn kept<'a>(
    runtime: &mut Runtime<'_, 'a>,
    condition: Option<&'a Expr>,
    step: &'a Expr,
) -> Result<Option<Value<'a>>, EvalError> {
    match condition {
        Some(condition) if !runtime.truth(condition)? => Ok(None),
        _ => runtime.eval(step).map(Some),
    }
}

/// One after the other, not all at once: a long list is looked at only as far as it needs.
fn rounds<'v, 'a>(
    range: &'v Value<'a>,
    two: bool,
) -> Result<Box<dyn Iterator<Item = Result<Round<'a>, EvalError>> + 'v>, EvalError> {
    match (range, two) {
        (Value::List(list), false) => Ok(Box::new(list.iter().map(|item| item.map(|item| (item, None))))),
        (Value::List(list), true) => {
            Ok(Box::new(list.iter().zip(0i64..).map(|(item, at)| Ok((Value::Int(at), Some(item))))))
        }
        (Value::Map(map), false) => Ok(Box::new(map.keys().into_iter().map(|key| Ok((key, None))))),
        (Value::Map(map), true) => {
            Ok(Box::new(map.entries().into_iter().map(|(key, value)| Ok((key, Some(value))))))
        }
        _ => Err(EvalError::no_overload()),
    }
}
