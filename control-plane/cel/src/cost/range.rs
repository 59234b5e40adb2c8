//! From the least to the most.

/// A size or a cost: at least and at most. Sums and products that do not fit stay at the largest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Range {
    pub(super) const ZERO: Range = Range { min: 0, max: 0 };
    pub(super) const ONE: Range = Range { min: 1, max: 1 };
    pub(super) const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

    pub(super) fn new(min: u64, max: u64) -> Self {
        Self { min, max }
    }

    pub(super) fn exactly(value: u64) -> Self {
        Self { min: value, max: value }
    }

    pub(super) fn add(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn multiply(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(super) fn scale(self, factor: f64) -> Range {
        // The cast keeps what is too large at the largest number.
        let scaled = |value: u64| (value as f64 * factor).ceil() as u64;
        Range { min: scaled(self.min), max: scaled(self.max) }
    }

    pub(super) fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
