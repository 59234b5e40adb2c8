//! Where in an expression something is wrong, and how that is shown.

use std::fmt;

/// Errors shown at most; what follows is as a rule caused by them.
pub(crate) const ISSUES_MAX: usize = 100;

/// Something wrong at a place of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 0.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself.
    snippet: String,
}

/// Why an expression does not compile.
///
/// It shows itself as upstream does: one `ERROR: <input>:line:column: what` for each issue, each with the line it is in and a mark below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong, by place.
    pub issues: Vec<Issue>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR: <input>:{}:{}: {}", self.line, self.column + 1, self.message)?;
        if self.snippet.is_empty() {
            return Ok(());
        }
        f.write_str("\n | ")?;
        self.snippet.chars().try_for_each(|c| write!(f, "{}", if c == '\t' { ' ' } else { c }))?;
        f.write_str("\n | ")?;
        // A dot under a wide character is as wide.
        let mut marks = self.snippet.chars();
        for _ in 0..self.column {
            let wide = marks.next().is_some_and(|c| !c.is_ascii());
            f.write_str(if wide { "．" } else { "." })?;
        }
        f.write_str(if marks.next().is_some_and(|c| !c.is_ascii()) { "＾" } else { "^" })
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, issue) in self.issues.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{issue}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// Collects issues of one text.
pub(crate) struct Issues<'t> {
    text: &'t str,
    found: Vec<Issue>,
}

impl<'t> Issues<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes an issue at a character of the text.
    pub fn at(&mut self, offset: u32, message: impl Into<String>) {
        if self.found.len() >= ISSUES_MAX {
            return;
        }
        let (mut line, mut column, mut start) = (1, 0, 0);
        for (at, (byte, c)) in self.text.char_indices().enumerate() {
            if at >= offset as usize {
                break;
            }
            column += 1;
            if c == '\n' {
                (line, column, start) = (line + 1, 0, byte + 1);
            }
        }
        let snippet =
            self.text.get(start..).unwrap_or_default().split('\n').next().unwrap_or_default().to_owned();
        self.found.push(Issue { line, column, message: message.into(), snippet });
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error, when there is one.
    pub fn into_result(mut self) -> Result<(), CompileError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|issue| (issue.line, issue.column));
        Err(CompileError { issues: self.found })
    }
}
