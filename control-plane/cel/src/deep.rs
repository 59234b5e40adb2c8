//! Room for walking deep trees.

/// Bytes of stack below which more is taken.
const RESERVE_BYTES: usize = 128 << 10;
/// Bytes taken at a time.
const TAKEN_BYTES: usize = 1 << 20;

/// Runs with enough stack for one more level, wherever it is called from: the callers' threads have small stacks and use them, too.
pub(crate) fn deep<R>(run: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RESERVE_BYTES, TAKEN_BYTES, run)
}
