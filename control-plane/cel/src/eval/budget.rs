//! What evaluating may cost.

use crate::error::EvalError;

/// What one evaluation may cost, in upstream's units.
pub const CALL_COST_MAX: u64 = 1_000_000;
/// Small steps inside functions of one evaluation, which upstream does not count, at most.
const WORK_MAX: u64 = 20_000_000;

/// What several evaluations together may cost, in upstream's units, and what they did.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: u64,
    spent: u64,
    call_limit: u64,
    call: u64,
    work: u64,
}

impl Budget {
    /// That much for all evaluations, and [`CALL_COST_MAX`] for each.
    pub fn new(limit: u64) -> Self {
        Self { limit, spent: 0, call_limit: CALL_COST_MAX, call: 0, work: 0 }
    }

    /// With another limit for each evaluation.
    #[must_use]
    pub fn per_call(mut self, limit: u64) -> Self {
        self.call_limit = limit;
        self
    }

    /// What all evaluations cost so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Whether all evaluations together cost more than they may.
    pub fn is_exhausted(&self) -> bool {
        self.spent > self.limit
    }

    /// Counts a cost.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.call = self.call.saturating_add(cost);
        self.spent = self.spent.saturating_add(cost);
        if self.call > self.call_limit || self.is_exhausted() { Err(EvalError::CostLimit) } else { Ok(()) }
    }

    /// Counts steps that have no cost but take time.
    pub(crate) fn work(&mut self, steps: u64) -> Result<(), EvalError> {
        self.work = self.work.saturating_add(steps);
        if self.work > WORK_MAX { Err(EvalError::CostLimit) } else { Ok(()) }
    }

    /// Begins an evaluation; what the one around it has cost so far is for [`Self::end`].
    pub(crate) fn begin(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.call), std::mem::take(&mut self.work))
    }

    /// Ends an evaluation.
    pub(crate) fn end(&mut self, (call, work): (u64, u64)) {
        self.call = call;
        self.work = self.work.saturating_add(work);
    }
}
