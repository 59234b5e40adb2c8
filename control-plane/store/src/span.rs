//! Which keys a read or a watch is about.

use std::ops::Bound;

/// A stretch of the ordered keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// All keys that begin so; the empty prefix is all keys.
    Prefix(String),
    /// One key.
    One(String),
    /// From a key on (included) up to another (not included), or to the end.
    Between {
        /// The first key.
        from: String,
        /// The key after the last; none is the end.
        until: Option<String>,
    },
}

impl Span {
    /// Whether a key is in it.
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Self::One(one) => key == one,
            Self::Between { from, until } => {
                key >= from.as_str() && until.as_ref().is_none_or(|until| key < until.as_str())
            }
        }
    }

    /// The least key it could hold.
    pub fn first(&self) -> &str {
        match self {
            Self::Prefix(first) | Self::One(first) | Self::Between { from: first, .. } => first,
        }
    }

    /// Where to begin when only keys after `start_after` are wanted. In order from there, the keys in the span come first: the
    /// first one that is not in it is behind all that are.
    pub(crate) fn start<'a>(&'a self, start_after: Option<&'a str>) -> Bound<&'a str> {
        match start_after {
            Some(after) if after >= self.first() => Bound::Excluded(after),
            _ => Bound::Included(self.first()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_span() {
        let between = Span::Between { from: "b".into(), until: Some("d".into()) };
        let open = Span::Between { from: "b".into(), until: None };
        let table = [
            ("a", false, false, false, false),
            ("b", true, true, false, false),
            ("cc", true, true, true, false),
            ("c", true, true, true, true),
            ("d", false, true, false, false),
        ];
        for (key, in_between, in_open, in_prefix, is_one) in table {
            assert_eq!(between.contains(key), in_between, "{key}");
            assert_eq!(open.contains(key), in_open, "{key}");
            assert_eq!(Span::Prefix("c".into()).contains(key), in_prefix, "{key}");
            assert_eq!(Span::One("c".into()).contains(key), is_one, "{key}");
        }
    }
}
