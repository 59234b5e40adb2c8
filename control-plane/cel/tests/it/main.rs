//! Expressions and what becomes of them.

mod compile;
mod costs;
mod evaluate;
mod hostile;
mod typed;
