//! Transcripts: what is typed into a shell, and the shape of what is printed, in one file.
//!
//! ```text
//! # a comment
//! GROUP=$(az group list --query "[0].name" -o tsv)      a variable for what follows
//! $ az group show -n "$GROUP"                           a command, and below it the shape of its output
//! {id: text, location: text, managedBy: null, …}
//! $ az group show -n none
//! ! 3 ResourceGroupNotFound                             one that fails: its exit code and the error's code
//! ```
//!
//! The shape of JSON is its members and the kinds of their values; that of a table its heading; other text stands for itself. Lists have the
//! shapes that their elements have. With `LAZURITE_WRITE_TRANSCRIPTS=1` the file is written anew from what was printed; read
//! the difference before you keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::Lab;

/// Columns of a line of a shape.
const WIDTH: usize = 150;

/// The shape of a JSON value.
pub fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(list) => {
            let shapes: BTreeSet<String> = list.iter().map(shape).collect();
            format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join(" | "))
        }
        Value::Object(map) => {
            let members: BTreeMap<String, String> =
                map.iter().map(|(name, value)| (key(name), shape(value))).collect();
            let members: Vec<String> =
                members.into_iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Names that are data: ids of resources and objects.
fn key(name: &str) -> String {
    if name.starts_with("/subscriptions/") { "<id>".to_owned() } else { name.to_owned() }
}

/// The shape of what a command printed.
fn printed(command: &str, text: &str) -> String {
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        return shape(&value);
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.iter().position(|w| *w == "-o").and_then(|at| words.get(at + 1)) {
        Some(&"table") => {
            text.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        }
        Some(&"tsv") => if text.trim().is_empty() { "nothing" } else { "text" }.to_owned(),
        _ if text.trim().is_empty() => "nothing".to_owned(),
        _ => {
            serde_json::from_str::<Value>(text).map_or_else(|_| text.trim().to_owned(), |value| shape(&value))
        }
    }
}

/// `(Code) Message` of az's standard error.
fn code_of(stderr: &str) -> String {
    let codes = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("ERROR: (")?.split_once(')').map(|(code, _)| code));
    codes.last().unwrap_or("").to_owned()
}

fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_inclusive(' ') {
        if line.len() + word.len() > WIDTH && !line.is_empty() {
            lines.push(line.trim_end().to_owned());
            line = "  ".to_owned();
        }
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines.join("\n")
}

fn bare(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line to run, with what is expected of it.
enum Step {
    /// Kept as it is: a comment or an empty line.
    Text(String),
    /// `NAME=$(…)`
    Set(String, String),
    /// `$ …`
    Run(String, String),
}

fn steps(text: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for line in text.lines() {
        let set = line
            .split_once("=$(")
            .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Step::Run(command.to_owned(), String::new()));
        } else if let Some((name, _)) = set {
            found.push(Step::Set(name.to_owned(), line.to_owned()));
        } else if line.trim().is_empty() || line.starts_with('#') {
            found.push(Step::Text(line.to_owned()));
        } else if let Some(Step::Run(_, expected)) = found.last_mut() {
            expected.push_str(line);
            expected.push('\n');
        }
    }
    found
}

struct Shell<'a> {
    lab: &'a Lab,
    variables: BTreeMap<String, String>,
}

impl Shell<'_> {
    fn run(&self, line: &str) -> Result<(i32, String, String)> {
        let output = self
            .lab
            .command(Path::new("/bin/bash"))
            .args(["-c", line])
            .envs(&self.variables)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("failed to run `{line}`"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }
}

/// Runs a transcript. Every command is run, then all differences are told at once.
pub fn play(lab: &Lab, path: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let writing = std::env::var_os("LAZURITE_WRITE_TRANSCRIPTS").is_some();
    let mut shell = Shell { lab, variables: BTreeMap::new() };
    let (mut differences, mut new, mut count) = (Vec::new(), String::new(), 0);
    for step in steps(&text) {
        match step {
            Step::Text(line) => new.push_str(&format!("{line}\n")),
            Step::Set(name, line) => {
                let (code, stdout, stderr) = shell.run(&format!("{line}; printf %s \"${name}\""))?;
                ensure!(code == 0 && !stdout.is_empty(), "`{line}` gave nothing: {stderr}");
                shell.variables.insert(name, stdout);
                new.push_str(&format!("{line}\n"));
            }
            Step::Run(command, expected) => {
                let (code, stdout, stderr) = shell.run(&command)?;
                let found = match code {
                    0 => printed(&command, &stdout),
                    _ => format!("! {code} {}", code_of(&stderr)).trim_end().to_owned(),
                };
                count += 1;
                if bare(&found) != bare(&expected) {
                    differences.push(format!(
                        "$ {command}\n  expected {}\n  found    {found}\n  {}",
                        bare(&expected),
                        stderr.trim()
                    ));
                }
                new.push_str(&format!("$ {command}\n{}\n", wrapped(&found)));
            }
        }
    }
    if writing {
        std::fs::write(path, new).with_context(|| format!("failed to write `{}`", path.display()))?;
        return Ok(());
    }
    eprintln!("{}: {count} commands", path.display());
    if differences.is_empty() {
        Ok(())
    } else {
        bail!("{} of {count} differ:\n{}", differences.len(), differences.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes_tell_members_and_kinds_and_no_data() {
        for (value, expected) in [
            (json!({"b": 1, "a": "x"}), "{a: text, b: number}"),
            (json!([{"a": null}, {"a": true}, {"a": false}]), "[{a: bool} | {a: null}]"),
            (json!({"/subscriptions/1": {}, "/subscriptions/2": {}}), "{<id>: {}}"),
            (json!([]), "[]"),
        ] {
            assert_eq!(shape(&value), expected);
        }
        assert_eq!(printed("az x -o table", "Name    State\n----  ---\n"), "Name State");
        assert_eq!(printed("az x -o tsv", "x\n"), "text");
        assert_eq!(printed("az x", "\"x\"\n"), "text");
        assert_eq!(code_of("WARNING: x\nERROR: (NotFound) It is not\nCode: NotFound"), "NotFound");
        assert_eq!(bare(&wrapped(&"word ".repeat(100))), bare(&"word ".repeat(100)));
    }
}
