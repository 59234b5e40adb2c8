//! What a request is told besides its answer: warnings for the client, annotations for the audit log.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Characters of all warnings of one request together; longer ones are cut, later ones dropped, as upstream.
const WARNINGS_MAX_CHARS: usize = 4 * 1024;
/// What one warning may keep when there are too many.
const WARNING_CUT_CHARS: usize = 256;

#[derive(Debug, Default)]
struct Inner {
    warnings: Vec<String>,
    chars: usize,
    annotations: BTreeMap<String, String>,
}

/// Collected while a request is worked on; shared by everything that works on it.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Inner>);

impl Notes {
    /// Says something to the client, once.
    pub fn warn(&self, text: impl Into<String>) {
        let mut inner = self.0.lock();
        let mut text: String = text.into();
        if text.is_empty() || inner.warnings.contains(&text) {
            return;
        }
        let room = WARNINGS_MAX_CHARS.saturating_sub(inner.chars);
        if text.chars().count() > room {
            text = text.chars().take(room.min(WARNING_CUT_CHARS)).collect();
        }
        if text.is_empty() {
            return;
        }
        inner.chars += text.chars().count();
        inner.warnings.push(text);
    }

    /// Adds to the audit log's record of the request. The first value of a key stays.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.0.lock().annotations.entry(key.into()).or_insert_with(|| value.into());
    }

    /// The warnings so far; they are taken away.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().warnings)
    }

    /// The annotations so far.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.0.lock().annotations.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Notes;

    #[test]
    fn warnings_are_said_once_and_are_bounded() {
        let notes = Notes::default();
        notes.warn("a");
        notes.warn("a");
        notes.warn("b");
        assert_eq!(notes.take_warnings(), ["a", "b"]);
        notes.warn("x".repeat(4090));
        notes.warn("y".repeat(100));
        let kept: usize = notes.take_warnings().iter().map(String::len).sum();
        assert!(kept <= 4096, "{kept}");
        notes.annotate("k", "first");
        notes.annotate("k", "second");
        assert_eq!(notes.annotations()["k"], "first");
    }
}
