//! One way to print an error with its causes.

use std::error::Error;
use std::fmt;

/// Prints `outer: middle: inner`. Errors in this project never include their source's text in their own
/// [`Display`](fmt::Display), so nothing is said twice.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Chain;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to start `{name}`")]
    struct Outer {
        name: &'static str,
        #[source]
        source: std::io::Error,
    }

    #[test]
    fn every_level_speaks_once() {
        let error = Outer { name: "store", source: std::io::Error::other("disk is full") };
        assert_eq!(Chain(&error).to_string(), "failed to start `store`: disk is full");
    }
}
