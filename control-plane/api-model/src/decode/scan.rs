//! What is wrong with a text that is no JSON, in the words of Go's scanner.

/// The first complaint; none when the text is JSON to this scanner.
pub(super) fn complaint(bytes: &[u8]) -> Option<String> {
    let mut scanner = Scanner { bytes, at: 0 };
    let found = scanner.value(0).and_then(|()| {
        scanner.space();
        match scanner.peek() {
            Some(byte) => Err(Complaint::Byte(byte, "after top-level value".to_owned())),
            None => Ok(()),
        }
    });
    match found {
        Ok(()) => None,
        Err(Complaint::End) => Some("unexpected end of JSON input".to_owned()),
        Err(Complaint::Deep) => Some("exceeded max depth".to_owned()),
        Err(Complaint::Byte(byte, context)) => Some(format!("invalid character {} {context}", quoted(byte))),
    }
}

/// How deep values may stand in each other; what reads them has the same bound.
const DEPTH_MAX: usize = 128;

enum Complaint {
    End,
    Deep,
    Byte(u8, String),
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A byte between single quotes, as Go shows it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        0..=31 | 127 => format!(r"'\x{byte:02x}'"),
        128..=160 | 173 => format!(r"'\u{:04x}'", u32::from(byte)),
        _ => format!("'{}'", char::from(byte)),
    }
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Result<u8, Complaint> {
        self.space();
        self.byte()
    }

    fn byte(&mut self) -> Result<u8, Complaint> {
        let byte = self.peek().ok_or(Complaint::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn value(&mut self, depth: usize) -> Result<(), Complaint> {
        if depth > DEPTH_MAX {
            return Err(Complaint::Deep);
        }
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.text(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            first @ (b'-' | b'0'..=b'9') => self.number(first),
            other => Err(Complaint::Byte(other, "looking for beginning of value".to_owned())),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Complaint> {
        let key = "looking for beginning of object key string";
        match self.next()? {
            b'}' => return Ok(()),
            b'"' => self.text()?,
            other => return Err(Complaint::Byte(other, key.to_owned())),
        }
        loop {
            match self.next()? {
                b':' => self.value(depth + 1)?,
                other => return Err(Complaint::Byte(other, "after object key".to_owned())),
            }
            match self.next()? {
                b'}' => return Ok(()),
                b',' => match self.next()? {
                    b'"' => self.text()?,
                    other => return Err(Complaint::Byte(other, key.to_owned())),
                },
                other => return Err(Complaint::Byte(other, "after object key:value pair".to_owned())),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Complaint> {
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            match self.next()? {
                b']' => return Ok(()),
                b',' => {}
                other => return Err(Complaint::Byte(other, "after array element".to_owned())),
            }
        }
    }

    fn text(&mut self) -> Result<(), Complaint> {
        loop {
            match self.byte()? {
                b'"' => return Ok(()),
                b'\\' => match self.byte()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.byte()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(Complaint::Byte(
                                    digit,
                                    r"in \u hexadecimal character escape".to_owned(),
                                ));
                            }
                        }
                    }
                    other => return Err(Complaint::Byte(other, "in string escape code".to_owned())),
                },
                control @ 0..=31 => return Err(Complaint::Byte(control, "in string literal".to_owned())),
                _ => {}
            }
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Complaint> {
        for wanted in word.bytes().skip(1) {
            let found = self.byte()?;
            if found != wanted {
                let context = format!("in literal {word} (expecting '{}')", char::from(wanted));
                return Err(Complaint::Byte(found, context));
            }
        }
        Ok(())
    }

    fn number(&mut self, mut first: u8) -> Result<(), Complaint> {
        if first == b'-' {
            first = self.byte()?;
            if !first.is_ascii_digit() {
                return Err(Complaint::Byte(first, "in numeric literal".to_owned()));
            }
        }
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<(), Complaint> {
        let found = self.byte()?;
        if !found.is_ascii_digit() {
            return Err(Complaint::Byte(found, context.to_owned()));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn complaints_are_those_of_go() {
        let cases: [(&str, Option<&str>); 16] = [
            ("", Some("unexpected end of JSON input")),
            ("{", Some("unexpected end of JSON input")),
            ("{}", None),
            ("{x", Some("invalid character 'x' looking for beginning of object key string")),
            ("{\"a\" 1}", Some("invalid character '1' after object key")),
            ("{\"a\":1 \"b\"}", Some("invalid character '\"' after object key:value pair")),
            ("{\"a\":1,}", Some("invalid character '}' looking for beginning of object key string")),
            ("[1 2]", Some("invalid character '2' after array element")),
            ("[1,]", Some("invalid character ']' looking for beginning of value")),
            ("trux", Some("invalid character 'x' in literal true (expecting 'e')")),
            ("-x", Some("invalid character 'x' in numeric literal")),
            ("1.x", Some("invalid character 'x' after decimal point in numeric literal")),
            ("1e+x", Some("invalid character 'x' in exponent of numeric literal")),
            ("\"\\q\"", Some("invalid character 'q' in string escape code")),
            ("\"\n\"", Some("invalid character '\\n' in string literal")),
            ("{} '", Some("invalid character '\\'' after top-level value")),
        ];
        for (text, expected) in cases {
            assert_eq!(complaint(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
