//! Names of properties that are no identifiers, and the identifiers that stand for them.

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The identifier by which expressions reach a property (`foo.bar` is `foo__dot__bar`); `None` when they cannot.
pub fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let first = name.chars().next()?;
    if !(first.is_ascii_alphabetic() || first == '_') {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            out.push_str("__underscores__");
            rest = after;
            continue;
        }
        match c {
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
        rest = rest.get(c.len_utf8()..)?;
    }
    Some(out)
}

/// The property that an identifier stands for.
pub fn unescape(identifier: &str) -> String {
    if let Some(inside) = identifier.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && RESERVED.contains(&inside)
    {
        return inside.to_owned();
    }
    let pairs = [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];
    let (mut out, mut rest) = (String::new(), identifier);
    'next: while let Some(c) = rest.chars().next() {
        for (escaped, plain) in pairs {
            if let Some(after) = rest.strip_prefix(escaped) {
                out.push_str(plain);
                rest = after;
                continue 'next;
            }
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{escape, unescape};

    #[test]
    fn names_come_back() {
        let cases = [
            ("foo", "foo"),
            ("foo.bar", "foo__dot__bar"),
            ("x-prop", "x__dash__prop"),
            ("a/b", "a__slash__b"),
            ("redact__d", "redact__underscores__d"),
            ("namespace", "__namespace__"),
            ("int", "int"),
        ];
        for (name, escaped) in cases {
            assert_eq!(escape(name).as_deref(), Some(escaped));
            assert_eq!(unescape(escaped), name);
        }
        for bad in ["", "1a", "a b", "$ref", "é"] {
            assert_eq!(escape(bad), None, "{bad}");
        }
    }
}
