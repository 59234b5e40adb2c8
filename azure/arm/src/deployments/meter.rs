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

/// Values nested deeper than this are not made: whoever reads or prints them goes down with them.
const NESTING_MAX: u32 = 128;

fn weight(value: &Value, left: u32) -> Result<u64, String> {
    let left = || left.checked_sub(1).ok_or_else(too_deep);
    Ok(match value {
        Value::String(text) => 1 + text.len() as u64 / 16,
        Value::Array(list) => {
            let left = left()?;
            list.iter().try_fold(1, |sum, one| Ok::<u64, String>(sum + weight(one, left)?))?
        }
        Value::Object(map) => {
            let left = left()?;
            let pair = |sum, (name, one): (&String, &Value)| {
                Ok::<u64, String>(sum + name.len() as u64 / 16 + weight(one, left)?)
            };
            map.iter().try_fold(1, pair)?
        }
        _ => 1,
    })
}

fn too_deep() -> String {
    "The template language expressions are nested too deeply, or refer to themselves".to_owned()
}

impl Meter {
    /// Goes one step down.
    pub(crate) fn step(&self) -> Result<Step<'_>, String> {
        let step = Step(self);
        if self.depth.fetch_add(1, Ordering::Relaxed) >= DEPTH_MAX {
            return Err(too_deep());
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
        self.pays(&value)?;
        Ok(value)
    }

    /// Pays for a value that is copied.
    pub(crate) fn pays(&self, value: &Value) -> Result<(), String> {
        self.pay(weight(value, NESTING_MAX)?)
    }
}
