//! `$filter` of the resource manager and of Graph: what is read prints and reads again, and what is denied twice is said.

#![no_main]

use arm::front::filter::{self, Clause};
use entra::Filter;
use lazurite_fuzz::Choices;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::sync::OnceLock;

const WORDS: [&str; 40] = [
    "displayName",
    "appId",
    "tags",
    "number",
    "at",
    "list",
    "x/name",
    "x",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "gt",
    "le",
    "in",
    "startswith",
    "contains",
    "tags/any",
    "list/any",
    "(",
    ")",
    ",",
    ":",
    "'a'",
    "'it''s'",
    "true",
    "null",
    "3",
    "'B'",
    "2026-01-02T03:04:05Z",
    "tagName",
    "tagValue",
    "resourceType",
    "atScope",
    "assignedTo",
    "ge",
    "lt",
    "'2026-01-02'",
    "é",
];

fn objects() -> &'static [Value; 4] {
    static OBJECTS: OnceLock<[Value; 4]> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        [
            json!({}),
            json!({"displayName": "it's", "appId": "b", "number": 3, "at": "2026-01-02T03:04:05Z", "tags": ["a", "B", "é"],
                "list": [{"name": "a"}, {"name": null}, 4]}),
            json!({"displayName": "a", "number": -1, "at": "2025-01-02T03:04:05Z", "tags": [], "list": [{"name": "b", "tags": ["a"]}]}),
            json!({"DISPLAYNAME": ["a"], "number": "3", "at": null, "x": {"name": "a"}, "tags": "a"}),
        ]
    })
}

/// A filter of words, some of them in the shape of a filter.
fn made(choices: &mut Choices<'_>, depth: usize) -> String {
    let inner = |choices: &mut Choices<'_>| made(choices, depth.saturating_sub(1));
    match choices.byte() % if depth == 0 { 4 } else { 10 } {
        0 => {
            let count = choices.below(6);
            (0..count).map(|_| *choices.of(&WORDS)).collect::<Vec<_>>().join(" ")
        }
        1 => format!(
            "{} {} {}",
            choices.of(&WORDS[..8]),
            choices.of(&["eq", "ne", "GT", "ge", "lt", "le"]),
            choices.of(&WORDS[24..31])
        ),
        2 => format!(
            "{}({},{})",
            choices.of(&["startswith", "endsWith", "contains"]),
            choices.of(&WORDS[..8]),
            choices.of(&["'a'", "''", "'IT'"])
        ),
        3 => format!(
            "{} in ({},{})",
            choices.of(&WORDS[..8]),
            choices.of(&WORDS[24..30]),
            choices.of(&WORDS[24..30])
        ),
        4 | 5 => format!("{} and {}", inner(choices), inner(choices)),
        6 => format!("{} or {}", inner(choices), inner(choices)),
        7 => format!("({})", inner(choices)),
        8 => format!("not {}", inner(choices)),
        _ => format!("{}/any(x:{})", choices.of(&["tags", "list", "x/tags"]), inner(choices)),
    }
}

fn graph(text: &str) {
    let Some(filter) = Filter::read(text) else { return };
    if text.trim().is_empty() {
        assert!(objects().iter().all(|object| filter.fits(object)));
        return;
    }
    // Near its limits a filter that is wrapped may be too deep.
    let lower = text.to_ascii_lowercase();
    let is_shallow = lower.matches('(').count() + lower.matches("not").count() < 26;
    let fits = |text: &str| match Filter::read(text) {
        Some(filter) => Some(objects().iter().map(|object| filter.fits(object)).collect::<Vec<_>>()),
        None => {
            assert!(!is_shallow, "{text} is refused");
            None
        }
    };
    let plain: Vec<bool> = objects().iter().map(|object| filter.fits(object)).collect();
    let denied: Vec<bool> = plain.iter().map(|fits| !fits).collect();
    let every = |truth: bool| vec![truth; plain.len()];
    for (wrapped, expected) in [
        (format!("({text})"), plain.clone()),
        (format!("not ({text})"), denied),
        (format!("not (not ({text}))"), plain.clone()),
        (format!("({text}) and ({text})"), plain.clone()),
        (format!("({text}) or ({text})"), plain.clone()),
        (format!("({text}) or not ({text})"), every(true)),
        (format!("({text}) and not ({text})"), every(false)),
    ] {
        let found = fits(&wrapped);
        assert!(
            found.is_none() || found.as_ref() == Some(&expected),
            "{wrapped}: {found:?}, not {expected:?}"
        );
    }
}

const COMPARISONS: [&str; 6] = ["eq", "ne", "ge", "le", "gt", "lt"];

fn printed(clause: &Clause) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    if COMPARISONS.contains(&clause.op.as_str()) {
        return format!("{} {} {}", clause.field, clause.op, quoted(&clause.value));
    }
    format!("{}({},{})", clause.op, quoted(&clause.field), quoted(&clause.value))
}

fn manager(text: &str) {
    let clauses = match filter::parse(Some(text)) {
        Ok(clauses) => clauses,
        Err(error) => {
            assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "InvalidFilterInQueryString"));
            return;
        }
    };
    let again = clauses.iter().map(printed).collect::<Vec<_>>().join(" and ");
    assert_eq!(filter::parse(Some(&again)).as_ref(), Ok(&clauses), "{text} is {again}");
    for clause in &clauses {
        let with = |op: &str| Clause { op: op.to_owned(), ..clause.clone() };
        assert_ne!(with("eq").is("a"), with("ne").is("a"));
        for at in ["2026-01-02T03:04:05Z", "2020-01-01T00:00:00.5Z"] {
            let holds = |op: &str| filter::compare_time(&with(op), at);
            if filter::time(&clause.value).is_none() {
                assert!(!COMPARISONS.iter().any(|op| holds(op)));
                continue;
            }
            assert!(holds("ge") != holds("lt") && holds("gt") != holds("le") && holds("eq") != holds("ne"));
            assert_eq!(holds("eq"), holds("ge") && holds("le"));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    graph(&text);
    manager(&text);
    let text = made(&mut Choices(data), 5);
    graph(&text);
    manager(&text);
});
