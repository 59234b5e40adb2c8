//! Words that do not belong here, and what to say instead.

use super::{Fault, Source};

/// Pattern, where it is allowed, what to do instead.
const FORBIDDEN: [(&str, &[&str], &str); 7] = [
    ("todo!(", &[], "build it, or answer with an error that names it"),
    ("unimplemented!(", &[], "build it, or answer with an error that names it"),
    ("dbg!(", &[], "use tracing"),
    ("#[ignore", &[], "a test runs or says SKIPPED with the reason"),
    ("unsafe {", &["base/linux/"], "wrap it in base/linux"),
    ("SystemTime::now", &["base/kit/"], "take a kit::Clock"),
    (
        "thread::sleep",
        &["apps/", "test/", "base/linux/", "xtask/", "node/node-agent/src/init.rs"],
        "wait for a condition",
    ),
];

pub(super) fn check(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        let path = source.path.display().to_string();
        if path == "xtask/src/tidy/words.rs" {
            continue;
        }
        if path.ends_with("src/lib.rs") && !source.text.starts_with("//!") {
            faults.push(Fault(format!("{path} does not begin with what the crate is for (`//!`)")));
        }
        for (number, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (pattern, allowed, instead) in FORBIDDEN {
                let fine = allowed.iter().any(|prefix| path.starts_with(prefix))
                    || (source.is_test() && pattern.starts_with("thread"));
                if code.contains(pattern) && !fine {
                    faults.push(Fault(format!("{path}:{}: `{pattern}`: {instead}", number + 1)));
                }
            }
        }
    }
    faults
}
