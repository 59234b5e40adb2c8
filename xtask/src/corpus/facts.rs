//! Facts the packages do not hold, hand-written: one set for the base minor version, and for each other what is different there.
//!
//! `facts/<base>.{resources,defaults,shapes}` are complete. `facts/<minor>.{resources,defaults,shapes}` of another minor
//! version are optional: resources named there replace those of the base or are added, and so do shapes; lines of defaults
//! are added. What the base says of a field that the minor version does not have is left out.

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
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
    /// How Go's types hold fields.
    pub shapes: Shapes,
}

/// How Go's types hold a field, by `<type>.<field>`, where it is not as the published schema suggests.
pub struct Shapes(BTreeMap<String, String>);

impl Shapes {
    /// The words; checked.
    const WORDS: [&str; 4] = ["value", "null", "pointer", "omitted"];

    fn read(texts: [&str; 2], definitions: &Map<String, Value>) -> anyhow::Result<Self> {
        let mut shapes = BTreeMap::new();
        let [base, other] = texts;
        let lines = base.lines().filter(|line| field_exists(line, definitions)).chain(other.lines());
        for line in lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (path, word) = line.split_once(' ').with_context(|| line.to_owned())?;
            if !Self::WORDS.contains(&word) || !field_exists(line, definitions) {
                bail!("no shape of a field: {line}");
            }
            shapes.insert(path.to_owned(), word.to_owned());
        }
        Ok(Self(shapes))
    }

    /// The word for a field; none where the schema says it.
    pub fn of(&self, name: &str, field: &str) -> Option<&str> {
        self.0.get(&format!("{name}.{field}")).map(String::as_str)
    }
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
            shapes: Shapes::read([&base("shapes")?, &other("shapes")?.unwrap_or_default()], definitions)?,
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
    let path = line.split(' ').next().unwrap_or_default();
    match path.rsplit_once('.') {
        Some((name, field)) if !line.starts_with('#') => definitions
            .get(&format!("io.k8s.{name}"))
            .is_some_and(|known| known["properties"].get(field).is_some()),
        _ => true,
    }
}
