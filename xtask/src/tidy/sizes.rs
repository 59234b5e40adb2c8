//! Small rooms: lines per file and per function, as a ratchet.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Fault, Source};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// What is longer than it should be; the numbers may only fall.
#[derive(Default, Deserialize)]
struct Ratchet {
    #[serde(default)]
    files: BTreeMap<String, usize>,
    #[serde(default)]
    functions: BTreeMap<String, usize>,
}

pub(super) fn check(root: &Path, sources: &[Source]) -> Result<Vec<Fault>> {
    let path = root.join("tidy.toml");
    let ratchet: Ratchet = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).context("tidy.toml is not as it should be")?,
        Err(_) => Ratchet::default(),
    };
    let (files, functions) = too_long(sources);
    let mut faults = Vec::new();
    for (name, lines) in files {
        if ratchet.files.get(&name).is_none_or(|allowed| lines > *allowed) {
            faults.push(Fault(format!("{name} has {lines} lines, {FILE_LINES_MAX} are allowed: split it")));
        }
    }
    for (name, lines) in functions {
        if ratchet.functions.get(&name).is_none_or(|allowed| lines > *allowed) {
            faults.push(Fault(format!(
                "{name} has {lines} lines, {FUNCTION_LINES_MAX} are allowed: split where control flow ends and work begins"
            )));
        }
    }
    Ok(faults)
}

pub(super) fn write(root: &Path, sources: &[Source]) -> Result<()> {
    let (files, functions) = too_long(sources);
    let mut text = String::from(
        "# What is longer than `cargo xtask tidy` allows. The numbers may only fall, the lists only shrink.\n",
    );
    for (table, entries) in [("files", files), ("functions", functions)] {
        let _ = writeln!(text, "\n[{table}]");
        for (name, lines) in entries {
            let _ = writeln!(text, "{name:?} = {lines}");
        }
    }
    std::fs::write(root.join("tidy.toml"), text).context("failed to write tidy.toml")
}

type Long = Vec<(String, usize)>;

fn too_long(sources: &[Source]) -> (Long, Long) {
    let (mut files, mut functions) = (Vec::new(), Vec::new());
    for source in sources {
        let name = source.path.display().to_string();
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            files.push((name.clone(), lines));
        }
        for (function, lines) in functions_of(&source.text) {
            if lines > FUNCTION_LINES_MAX && !source.is_test() {
                functions.push((format!("{name} {function}"), lines));
            }
        }
    }
    functions.sort();
    functions.dedup_by(|a, b| a.0 == b.0);
    (files, functions)
}

/// Functions and their lengths, by indentation: `rustfmt` closes a function in the column it began in.
fn functions_of(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let Some(name) = function_name(code) else { continue };
        // A trait's function without a body ends with its signature.
        let signature = lines[at..].iter().find(|line| line.ends_with(['{', ';', '}']));
        if signature.is_none_or(|end| end.ends_with(';')) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[at..].iter().position(|line| *line == close) else { continue };
        found.push((name.to_owned(), length + 1));
    }
    found
}

fn function_name(code: &str) -> Option<&str> {
    let mut rest = code;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_function_ends_where_its_column_closes() {
        let text = "pub async fn one() {\n    if x {\n    }\n}\ntrait A {\n    fn none(\n        &self,\n    );\n    fn two() {\n    }\n}\n";
        assert_eq!(super::functions_of(text), [("one".to_owned(), 4), ("two".to_owned(), 2)]);
    }
}
