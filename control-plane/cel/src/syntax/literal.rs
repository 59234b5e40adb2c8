//! Texts and bytes between quotes.

/// What stands between the quotes, escapes resolved. `bytes`: `\x` and octal escapes are bytes, not characters.
pub(super) fn unescape(inside: &str, raw: bool, bytes: bool) -> Result<Vec<u8>, String> {
    if raw || !inside.contains('\\') {
        return Ok(inside.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        let Some(escape) = rest.next() else { return Err("found '\\' as last character".to_owned()) };
        let simple = match escape {
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            '\\' | '\'' | '"' | '`' | '?' => Some(escape),
            _ => None,
        };
        if let Some(c) = simple {
            push(&mut out, c);
            continue;
        }
        let (digits, radix, first) = match escape {
            'x' | 'X' => (2, 16, None),
            'u' if !bytes => (4, 16, None),
            'U' if !bytes => (8, 16, None),
            '0'..='3' => (2, 8, Some(escape)),
            _ => return Err("unable to unescape string".to_owned()),
        };
        let code = number(&mut rest, digits, radix, first).ok_or("unable to unescape string")?;
        match u8::try_from(code) {
            Ok(byte) if bytes => out.push(byte),
            _ => push(&mut out, char::from_u32(code).ok_or("invalid unicode code point")?),
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn number(rest: &mut std::str::Chars<'_>, digits: usize, radix: u32, first: Option<char>) -> Option<u32> {
    let mut code = match first {
        Some(digit) => digit.to_digit(radix)?,
        None => 0,
    };
    for _ in 0..digits {
        code = code.checked_mul(radix)?.checked_add(rest.next()?.to_digit(radix)?)?;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes_are_resolved() {
        let cases: &[(&str, bool, &[u8])] = &[
            (r"a\nb", false, b"a\nb"),
            (r"\u00e9", false, "é".as_bytes()),
            (r"\xe9", false, "é".as_bytes()),
            (r"\xe9", true, &[0xe9]),
            (r"\101\x41\`", false, b"AA`"),
        ];
        for (text, bytes, wanted) in cases {
            assert_eq!(unescape(text, false, *bytes).as_deref(), Ok(*wanted), "{text}");
        }
        for bad in [r"\", r"\q", r"\u12", r"\UFFFFFFFF", r"\ud800"] {
            assert!(unescape(bad, false, false).is_err(), "{bad}");
        }
    }
}
