//! Facts the packages do not hold, hand-written: one set for the base minor version, and for each other what is different there.
//!
//! `facts/<base>.{resources,defaults,pointers}` are complete. `facts/<minor>.{resources,defaults,pointers}` of another minor
//! version are optional: resources named there replace those of the base or are added; lines of defaults and pointers are
//! added. A default of the base for a field that the minor version does not have is left out.

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use std::path::Path;

use super::resources;

/// The minor version whose facts are complete, and of which the crate with the field numbers is made.
pub const BASE: &str = "1.35";

/// The facts of one minor version, as if they had been written in full.
pub struct Facts {
    /// Groups and resources.
    pub resources: String,
    /// Defaults, one a line.
    pub defaults: String,
    /// Optional scalars whose zero is a value, one a line.
    pub pointers: String,
}

impl Facts {
    /// Reads them from `folder`.
    pub fn read(folder: &Path, minor: &str, definitions: &Map<String, Value>) -> anyhow::Result<Self> {
        let base = |name: &str| text(folder, BASE, name)?.with_context(|| format!("no {BASE}.{name}"));
        let other = |name: &str| if minor == BASE { Ok(None) } else { text(folder, minor, name) };
        let mut defaults = base("defaults")?;
        if minor != BASE {
            let known = |line: &&str| field_exists(line, definitions);
            defaults = defaults.lines().filter(known).fold(String::new(), |text, line| text + line + "\n");
        }
        Ok(Self {
            resources: resources::merged(&base("resources")?, &other("resources")?.unwrap_or_default())?,
            defaults: defaults + &other("defaults")?.unwrap_or_default(),
            pointers: base("pointers")? + &other("pointers")?.unwrap_or_default(),
        })
    }
}

fn text(folder: &Path, minor: &str, name: &str) -> anyhow::Result<Option<String>> {
    let path = folder.join(format!("{minor}.{name}"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => bail!("reading {}: {error}", path.display()),
    }
}

/// Whether the field a line begins with is one of the definitions; comments are.
fn field_exists(line: &str, definitions: &Map<String, Value>) -> bool {
    let path = line.split(" = ").next().unwrap_or_default().split(" := ").next().unwrap_or_default();
    match path.rsplit_once('.') {
        Some((name, field)) if !line.starts_with('#') => definitions
            .get(&format!("io.k8s.{name}"))
            .is_some_and(|known| known["properties"].get(field).is_some()),
        _ => true,
    }
}
