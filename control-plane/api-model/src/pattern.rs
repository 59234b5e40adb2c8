//! Regular expressions in the notation of RE2, which the API speaks, for an engine whose notation differs in details.
//!
//! Guarantees: linear time, bounded memory; a pattern that RE2 refuses may be accepted, one that it accepts means the same here.

use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

/// Bytes of a compiled pattern at most.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// A pattern of a schema: compiled when the first value is held against it, and once in the process, however many schemas have it.
/// (A definition with pods in it has the pattern of quantities a hundred times.)
#[derive(Debug)]
pub struct Pattern {
    source: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

/// Patterns that some schema has.
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Known {
    patterns: HashMap<Box<str>, Weak<Pattern>>,
    /// At this size those that nobody has any more are let go.
    sweep_at: usize,
}

impl Pattern {
    /// The pattern with that source.
    pub fn shared(source: &str) -> Arc<Self> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.patterns.get(source).and_then(Weak::upgrade) {
            return found;
        }
        if known.patterns.len() >= known.sweep_at {
            known.patterns.retain(|_, pattern| pattern.strong_count() > 0);
            known.sweep_at = 2 * known.patterns.len() + 64;
        }
        let made = Arc::new(Self { source: source.into(), compiled: OnceLock::new() });
        known.patterns.insert(source.into(), Arc::downgrade(&made));
        made
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether a text contains it. Every text does when the pattern is none.
    pub fn is_in(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.source).ok());
        compiled.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }
}

/// Compiles a pattern.
///
/// # Errors
/// What is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::Syntax(text) => {
                text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
            _ => "expression too large".to_owned(),
        })
}

/// The same pattern as the engine writes it: classes like `\d` mean ASCII, braces that repeat nothing and brackets inside classes
/// mean themselves.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = tail;
        match c {
            '\\' => rest = escape(tail, in_class, &mut out),
            '[' if in_class => {
                // A named class begins here, or it is a bracket.
                if tail.starts_with(':') && tail.contains(":]") {
                    let end = tail.find(":]").map_or(0, |at| at + 2);
                    out.push('[');
                    out.push_str(tail.get(..end).unwrap_or_default());
                    rest = tail.get(end..).unwrap_or_default();
                } else {
                    out.push_str("\\[");
                }
            }
            '[' => {
                in_class = true;
                out.push('[');
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && tail.starts_with('-') => out.push_str("\\-"),
            '{' if !in_class && !repeats(tail) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether `{` begins a repetition: `{2}`, `{2,}`, `{2,3}`.
fn repeats(tail: &str) -> bool {
    let Some((inside, _)) = tail.split_once('}') else { return false };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

fn escape<'p>(tail: &'p str, in_class: bool, out: &mut String) -> &'p str {
    let Some(c) = tail.chars().next() else {
        out.push('\\');
        return tail;
    };
    let after = tail.get(c.len_utf8()..).unwrap_or_default();
    let class = match c {
        'd' => Some((false, "0-9")),
        'D' => Some((true, "0-9")),
        'w' => Some((false, "0-9A-Za-z_")),
        'W' => Some((true, "0-9A-Za-z_")),
        's' => Some((false, r"\t\n\x0c\r ")),
        'S' => Some((true, r"\t\n\x0c\r ")),
        _ => None,
    };
    match (class, c) {
        (Some((false, set)), _) if in_class => out.push_str(set),
        (Some((negated, set)), _) => {
            out.push('[');
            if negated {
                out.push('^');
            }
            out.push_str(set);
            out.push(']');
        }
        (None, 'b' | 'B') if !in_class => {
            out.push_str("(?-u:\\");
            out.push(c);
            out.push(')');
        }
        (None, 'Q') => {
            let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(literal));
            return after;
        }
        (None, c) if !c.is_alphanumeric() && c.is_ascii() && !matches!(c, '<' | '>') => {
            out.push('\\');
            out.push(c);
        }
        (None, '<' | '>') => out.push(c),
        (None, c) => {
            out.push('\\');
            out.push(c);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_mean_what_re2_means() {
        let cases = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^\w$", "é", false),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[[]$", "[", true),
            (r"^{a}$", "{a}", true),
            (r"^a{2}$", "aa", true),
            (r"^a{2,}$", "aaa", true),
            (r"^\{\{.*\}\}$", "{{x}}", true),
            (r"^[a&&b]$", "&", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^[^\s]+$", "ab", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\/x\-y$", "/x-y", true),
            (r"(?i)^A$", "a", true),
            (r"^[]a]$", "]", true),
            (r"\bfoo\b", "a foo b", true),
        ];
        for (pattern, text, wanted) in cases {
            let regex = compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            assert_eq!(regex.is_match(text), wanted, "{pattern} {text}");
        }
        for bad in ["(", "a**", "[", r"\", "(?<", "a{99999}"] {
            let _ = compile(bad);
        }
        assert!(compile("(").is_err());
        assert!(compile("*a").is_err());
    }
}
