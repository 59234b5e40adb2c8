//! Connections on which nothing is said: forgotten after a time, their ends told by a reset or left alone.
//!
//! Does not: keep the time of connections that stand when the rules are replaced; from then on the kernel's own
//! holds for them. Datagrams have the kernel's times.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::wanted::Idle;

/// The objects that `lines` speaks of.
pub(super) fn objects(seconds: &BTreeSet<u32>) -> String {
    let mut text = String::new();
    for seconds in seconds {
        let _ = write!(
            text,
            "\tct timeout idle_{seconds} {{
\t\tprotocol tcp
\t\tl3proto ip
\t\tpolicy = {{ established : {seconds} }}
\t}}
"
        );
    }
    text
}

/// Lines for new connections that match: what is in the middle of a forgotten one ends here, the others are timed.
pub(super) fn lines(matched: &str, idle: Idle, of_whom: &str) -> [String; 2] {
    let end = if idle.reset { "reject with tcp reset" } else { "drop" };
    [
        format!(
            "{matched} tcp flags & (fin | syn | rst | ack) != syn counter {end} comment \"idle-timeout{of_whom}\""
        ),
        format!("{matched} meta l4proto tcp ct timeout set \"idle_{}\"", idle.after_s),
    ]
}
