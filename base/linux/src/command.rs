//! External commands with typed failures.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Command as Std, Stdio};

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started, most often because it is not installed.
    #[error("failed to start `{argv}`")]
    Start {
        /// Program and arguments.
        argv: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("`{argv}` ended with {status}: {}", stderr.trim())]
    Failed {
        /// Program and arguments.
        argv: String,
        /// Exit status as text.
        status: String,
        /// Its standard error.
        stderr: String,
    },
}

/// A command to run to its end; input and output are whole texts.
#[derive(Debug)]
pub struct Command {
    argv: Vec<String>,
    input: Option<String>,
    environment: Vec<(String, String)>,
}

impl Command {
    /// Program and arguments.
    pub fn new<S: AsRef<str>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            input: None,
            environment: Vec::new(),
        }
    }

    /// What it reads on standard input; nothing otherwise.
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// A variable of its environment, beside those of this process.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it on this thread (and so in this thread's namespaces); its standard output on success.
    pub fn run(self) -> Result<String, CommandError> {
        let (stdout, stderr, status) = self.output()?;
        if status.success() {
            return Ok(stdout);
        }
        Err(CommandError::Failed { argv: self.argv.join(" "), status: status.to_string(), stderr })
    }

    /// Runs it: standard output, standard error and status, whatever it is.
    pub fn output(&self) -> Result<(String, String, std::process::ExitStatus), CommandError> {
        let start = |source| CommandError::Start { argv: self.argv.join(" "), source };
        let mut parts = self.argv.iter().map(OsStr::new);
        let program = parts.next().unwrap_or_default();
        let mut child = Std::new(program)
            .args(parts)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let input = child.stdin.take();
        let output = std::thread::scope(|scope| {
            if let (Some(mut pipe), Some(text)) = (input, &self.input) {
                // A thread, because a child may answer before it has read everything.
                scope.spawn(move || pipe.write_all(text.as_bytes()));
            }
            child.wait_with_output()
        })
        .map_err(start)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((text(output.stdout), text(output.stderr), output.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_run_and_what_it_said() {
        let error = Command::new(["sh", "-c", "echo no >&2; exit 3"]).run().unwrap_err();
        assert_eq!(error.to_string(), "`sh -c echo no >&2; exit 3` ended with exit status: 3: no");
        let echoed = Command::new(["cat"]).input("hello").run().unwrap();
        assert_eq!(echoed, "hello");
    }
}
