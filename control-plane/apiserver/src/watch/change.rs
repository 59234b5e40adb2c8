//! One change of one object, and the frames that announce it.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;

use super::entry::Entry;

/// How a watcher sees a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The object came to be, or came to match the filter.
    Added,
    /// It changed.
    Modified,
    /// It is gone, or no longer matches the filter.
    Deleted,
}

impl Kind {
    /// As in `type` of a watch event.
    pub fn text(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A change of an object, or its presence in a snapshot.
#[derive(Debug)]
pub struct Change {
    /// The object after it; none when it was deleted.
    pub now: Option<Arc<Entry>>,
    /// The object before it; none when it was made.
    pub before: Option<Arc<Entry>>,
    /// When it happened.
    pub revision: u64,
    gone: OnceLock<Arc<Entry>>,
    frames: Mutex<Frames>,
}

/// The events that were made of a change.
#[derive(Debug)]
enum Frames {
    /// Those that somebody asked for.
    Kept(Vec<(Kind, Bytes)>),
    /// None any more: the change is old, and who still asks is behind the others.
    Old,
}

impl Change {
    /// A change at `revision`.
    pub fn new(now: Option<Arc<Entry>>, before: Option<Arc<Entry>>, revision: u64) -> Self {
        let frames = Mutex::new(Frames::Kept(Vec::new()));
        Self { now, before, revision, gone: OnceLock::new(), frames }
    }

    /// An object of a snapshot.
    pub fn present(entry: Arc<Entry>) -> Self {
        let revision = entry.revision;
        Self::new(Some(entry), None, revision)
    }

    /// The object to show for this kind of event: what leaves a filter is shown as it was, bearing the
    /// revision at which it left.
    pub fn entry(&self, kind: Kind) -> Option<&Arc<Entry>> {
        match kind {
            Kind::Added | Kind::Modified => self.now.as_ref(),
            Kind::Deleted => {
                let before = self.before.as_ref()?;
                Some(self.gone.get_or_init(|| Arc::new(before.deleted_at(self.revision))))
            }
        }
    }

    /// The event as a line of JSON; made once, then shared by all watchers as long as it is new.
    pub fn frame(&self, kind: Kind) -> Bytes {
        let mut frames = self.frames.lock();
        if let Frames::Kept(kept) = &*frames
            && let Some((_, known)) = kept.iter().find(|(made, _)| *made == kind)
        {
            return known.clone();
        }
        let made = match self.entry(kind) {
            Some(entry) => frame(kind.text(), entry.len(), |out| entry.write(out)),
            None => Bytes::new(),
        };
        if let Frames::Kept(kept) = &mut *frames {
            kept.push((kind, made.clone()));
        }
        made
    }

    /// Lets the events go: they are as large as the object, and those who follow closely have them.
    pub fn forget_frames(&self) {
        *self.frames.lock() = Frames::Old;
    }
}

/// A watch event as a line of JSON; `write` writes the object's `length` bytes.
pub fn frame(kind: &str, length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(length + kind.len() + 24);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    write(&mut out);
    out.put_slice(b"}\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::header::Paths;

    #[test]
    fn an_event_is_shared_while_it_is_new_and_the_same_afterwards() {
        let value = Bytes::from_static(br#"{"kind":"A","metadata":{"name":"x"}}"#);
        let entry = Entry::new("/registry/core/as/x".into(), 16, value, 7, &Paths::default());
        let change = Change::new(Some(Arc::new(entry)), None, 7);
        let (first, again) = (change.frame(Kind::Added), change.frame(Kind::Added));
        assert_eq!(first.as_ptr(), again.as_ptr());
        change.forget_frames();
        let late = change.frame(Kind::Added);
        assert_eq!(late, first);
        assert_ne!(late.as_ptr(), first.as_ptr());
        assert_ne!(change.frame(Kind::Added).as_ptr(), late.as_ptr(), "nothing is kept");
    }
}
