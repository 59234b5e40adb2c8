//! From text to tokens.

use super::ast::Literal;
use super::literal::unescape;
use crate::source::Issues;

/// A token with its first character's place in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub offset: u32,
    /// As it is written.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Ident,
    Literal(Literal),
    /// Too large or badly escaped; noted already.
    Broken,
    Symbol(&'static str),
    End,
}

/// Longest first.
const SYMBOLS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "+", "*", "/",
    "%", "!", "?", ":", "=",
];

struct Lexer<'t, 'i> {
    chars: Vec<char>,
    at: usize,
    issues: &'i mut Issues<'t>,
    tokens: Vec<Token>,
}

/// The tokens; what is none is noted.
pub(super) fn tokens<'t>(text: &'t str, issues: &mut Issues<'t>) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, issues, tokens: Vec::new() };
    while lexer.next() {}
    let offset = u32::try_from(lexer.chars.len()).unwrap_or(u32::MAX);
    lexer.tokens.push(Token { kind: TokenKind::End, offset, text: "<EOF>".to_owned() });
    lexer.tokens
}

impl Lexer<'_, '_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn written(&self, start: usize) -> String {
        self.chars.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        let text = self.written(start);
        self.tokens.push(Token { kind, offset: u32::try_from(start).unwrap_or(u32::MAX), text });
    }

    fn wrong(&mut self, start: usize, message: String) {
        self.issues.at(u32::try_from(start).unwrap_or(u32::MAX), message);
    }

    fn next(&mut self) -> bool {
        let Some(&c) = self.chars.get(self.at) else { return false };
        let start = self.at;
        match c {
            ' ' | '\t' | '\r' | '\n' | '\x0c' => self.at += 1,
            '/' if self.peek(1) == '/' => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.at += 1;
                }
            }
            '"' | '\'' => self.quoted(start, false, false),
            'a'..='z' | 'A'..='Z' | '_' => self.word(start),
            '0'..='9' => self.number(start),
            '.' if self.peek(1).is_ascii_digit() => self.number(start),
            _ => self.symbol(start),
        }
        true
    }

    fn symbol(&mut self, start: usize) {
        let two: String = [self.peek(0), self.peek(1)].iter().collect();
        let found = SYMBOLS.iter().find(|symbol| two.starts_with(**symbol)).filter(|symbol| **symbol != "=");
        if let Some(symbol) = found {
            self.at += symbol.len();
            self.push(TokenKind::Symbol(symbol), start);
            return;
        }
        self.at += 1;
        let text = self.written(start);
        self.wrong(start, format!("Syntax error: token recognition error at: '{text}'"));
    }

    /// A name, or the prefix of a text.
    fn word(&mut self, start: usize) {
        let (mut raw, mut bytes, mut ahead) = (false, false, 0);
        loop {
            match self.peek(ahead) {
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes => bytes = true,
                _ => break,
            }
            ahead += 1;
        }
        if ahead > 0 && matches!(self.peek(ahead), '"' | '\'') {
            self.at += ahead;
            self.quoted(start, raw, bytes);
            return;
        }
        while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == '_' {
            self.at += 1;
        }
        let kind = match self.written(start).as_str() {
            "true" => TokenKind::Literal(Literal::Bool(true)),
            "false" => TokenKind::Literal(Literal::Bool(false)),
            "null" => TokenKind::Literal(Literal::Null),
            "in" => TokenKind::Symbol("in"),
            _ => TokenKind::Ident,
        };
        self.push(kind, start);
    }

    fn quoted(&mut self, start: usize, raw: bool, bytes: bool) {
        let quote = self.peek(0);
        let width = if self.peek(1) == quote && self.peek(2) == quote { 3 } else { 1 };
        self.at += width;
        let inside = self.at;
        loop {
            let Some(&c) = self.chars.get(self.at) else { return self.unterminated(start) };
            if c == '\n' && width == 1 {
                return self.unterminated(start);
            }
            if c == quote && (width == 1 || (self.peek(1) == quote && self.peek(2) == quote)) {
                break;
            }
            self.at += if c == '\\' && !raw { 2 } else { 1 };
        }
        let text: String = self.chars.get(inside..self.at).unwrap_or_default().iter().collect();
        self.at += width;
        let literal = unescape(&text, raw, bytes).and_then(|found| {
            if bytes {
                return Ok(Literal::Bytes(found));
            }
            String::from_utf8(found).map(Literal::String).map_err(|_| "invalid utf-8".to_owned())
        });
        match literal {
            Ok(literal) => self.push(TokenKind::Literal(literal), start),
            Err(why) => {
                self.wrong(start, why);
                self.push(TokenKind::Broken, start);
            }
        }
    }

    fn unterminated(&mut self, start: usize) {
        self.at = self.at.min(self.chars.len());
        let text = self.written(start);
        self.wrong(start, format!("Syntax error: token recognition error at: '{text}'"));
    }

    fn digits(&mut self, radix: u32) {
        while self.peek(0).is_digit(radix) {
            self.at += 1;
        }
    }

    fn number(&mut self, start: usize) {
        let hex =
            self.peek(0) == '0' && matches!(self.peek(1), 'x' | 'X') && self.peek(2).is_ascii_hexdigit();
        if hex {
            self.at += 2;
        }
        self.digits(if hex { 16 } else { 10 });
        let mut double = false;
        if !hex {
            if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
                (double, self.at) = (true, self.at + 1);
                self.digits(10);
            }
            let sign = usize::from(matches!(self.peek(1), '+' | '-'));
            if matches!(self.peek(0), 'e' | 'E') && self.peek(1 + sign).is_ascii_digit() {
                (double, self.at) = (true, self.at + 1 + sign);
                self.digits(10);
            }
        }
        let written = self.written(start);
        if double {
            let value = written.parse().unwrap_or(f64::NAN);
            return self.push(TokenKind::Literal(Literal::Double(value)), start);
        }
        let (digits, radix) =
            if hex { (written.get(2..).unwrap_or_default(), 16) } else { (written.as_str(), 10) };
        let value = u64::from_str_radix(digits, radix);
        if matches!(self.peek(0), 'u' | 'U') {
            self.at += 1;
            match value {
                Ok(value) => self.push(TokenKind::Literal(Literal::Uint(value)), start),
                Err(_) => self.too_large(start, "invalid uint literal"),
            }
            return;
        }
        // One more than the largest is the smallest behind a minus sign; the parser sees to it.
        match value {
            Ok(value) if value <= 1 << 63 => {
                self.push(TokenKind::Literal(Literal::Int(i64::try_from(value).unwrap_or(i64::MIN))), start);
            }
            _ => self.too_large(start, "invalid int literal"),
        }
    }

    fn too_large(&mut self, start: usize, why: &str) {
        self.wrong(start, why.to_owned());
        self.push(TokenKind::Broken, start);
    }
}
