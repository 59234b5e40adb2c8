//! Running a transcript.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::shape::{bare, code_of, printed, wrapped};

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

struct Shell<S> {
    bash: S,
    variables: BTreeMap<String, String>,
}

impl<S: Fn() -> Command> Shell<S> {
    fn run(&self, line: &str) -> Result<(i32, String, String)> {
        let output = (self.bash)()
            .args(["-c", line])
            .envs(&self.variables)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("failed to run `{line}`"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }
}

/// Runs a transcript with `bash`, a shell in a laboratory's environment. Every command is run, then all differences are
/// told at once. With `LAZURITE_WRITE_TRANSCRIPTS=1` the file is written anew from what was printed; read the difference
/// before you keep it.
pub fn play(bash: impl Fn() -> Command, path: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let writing = std::env::var_os("LAZURITE_WRITE_TRANSCRIPTS").is_some();
    let mut shell = Shell { bash, variables: BTreeMap::new() };
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
                if writing && code != 0 {
                    eprintln!("$ {command}\n{}", stderr.trim());
                }
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
