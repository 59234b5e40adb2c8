//! How much work one template may cause: expressions can double a value with every step, and variables can refer to
//! themselves.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde_json::Value;

/// Values inside values, expressions inside expressions and variables inside variables, all together.
const DEPTH_MAX: u32 = 160;
/// Values made, counted with all that is in them; a text counts for each 16 bytes.
const WORK_MAX: u64 = 4_000_000;
/// No text that a function makes is longer.
pub(crate) const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// What has been spent so far. Shared by all scopes of one template.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    depth: AtomicU32,
    spent: AtomicU64,
}

/// One step down; up again when dropped.
pub(crate) struct Step<'a>(&'a Meter);

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.depth.fetch_sub(1, Ordering::Relaxed);
    }
}

fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64 / 16,
        Value::Array(list) => 1 + list.iter().map(weight).sum::<u64>(),
        Value::Object(map) => 1 + map.iter().map(|(k, v)| k.len() as u64 / 16 + weight(v)).sum::<u64>(),
        _ => 1,
    }
}

impl Meter {
    /// Goes one step down.
    pub(crate) fn step(&self) -> Result<Step<'_>, String> {
        let step = Step(self);
        if self.depth.fetch_add(1, Ordering::Relaxed) >= DEPTH_MAX {
            return Err(
                "The template language expressions are nested too deeply, or refer to themselves".to_owned()
            );
        }
        self.pay(1)?;
        Ok(step)
    }

    fn pay(&self, work: u64) -> Result<(), String> {
        if self.spent.fetch_add(work, Ordering::Relaxed) >= WORK_MAX {
            return Err("The evaluation of the template's expressions exceeds the limit".to_owned());
        }
        Ok(())
    }

    /// Pays for a value that a function made.
    pub(crate) fn made(&self, value: Value) -> Result<Value, String> {
        if value.as_str().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!(
                "The template language expression literal limit exceeded. Limit: '{TEXT_BYTES_MAX}'"
            ));
        }
        self.pay(weight(&value))?;
        Ok(value)
    }
}
