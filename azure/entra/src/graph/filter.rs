//! `$filter`: OData's expressions as Graph takes them.
//!
//! `and`, `or`, `not`, brackets; `eq ne gt ge lt le`, `in (…)`; `startswith`, `endswith`, `contains`;
//! `list/any(x:…)` over texts or objects. Texts compare without regard to case, as in Graph. Not built: arithmetic,
//! `all`, `has`.

use serde_json::Value;

use super::Fault;

/// An expression may nest so deep.
const DEPTH_MAX: usize = 32;
/// So many `any` may stand inside one another: each goes through its whole list for every entry of the one around it.
const ANY_MAX: usize = 2;

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Compare(String, &'static str, Value),
    In(String, Vec<Value>),
    Call(&'static str, String, String),
    Any(String, String, Box<Expression>),
}

/// A filter that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    expression: Option<Expression>,
    /// What it asks about, for a check against the kind's properties.
    pub properties: Vec<String>,
    /// Whether it is one of those that Graph answers only with `ConsistencyLevel: eventual` and `$count=true`.
    pub advanced: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
    Colon,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            '(' => found.push(Token::Open),
            ')' => found.push(Token::Close),
            ',' => found.push(Token::Comma),
            ':' => found.push(Token::Colon),
            '\'' => {
                let mut inner = String::new();
                loop {
                    match chars.next()? {
                        '\'' if chars.peek() == Some(&'\'') => {
                            chars.next();
                            inner.push('\'');
                        }
                        '\'' => break,
                        other => inner.push(other),
                    }
                }
                found.push(Token::Text(inner));
            }
            _ => {
                let mut word = String::from(c);
                // A colon within a word is of a time (`2026-01-01T00:00:00Z`), one after a name is of `any(x:…)`.
                while let Some(next) = chars.next_if(|n| {
                    !" (),'".contains(*n) && (*n != ':' || word.starts_with(|c: char| c.is_ascii_digit()))
                }) {
                    word.push(next);
                }
                found.push(Token::Word(word));
            }
        }
    }
    Some(found)
}

const COMPARISONS: [&str; 6] = ["eq", "ne", "gt", "ge", "lt", "le"];
const CALLS: [&str; 3] = ["startswith", "endswith", "contains"];

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    /// Names bound by `any`.
    bound: Vec<String>,
    properties: Vec<String>,
    advanced: bool,
}

impl Parser {
    fn word_is(&mut self, wanted: &str) -> bool {
        let is = |t: &Token| matches!(t, Token::Word(w) if w.eq_ignore_ascii_case(wanted));
        self.tokens.next_if(is).is_some()
    }

    fn take(&mut self, wanted: &Token) -> Option<()> {
        self.tokens.next_if(|t| t == wanted).map(|_| ())
    }

    fn or(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut parts = vec![self.and()?];
        while self.word_is("or") {
            parts.push(self.and()?);
        }
        self.depth -= 1;
        Some(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn and(&mut self) -> Option<Expression> {
        let mut parts = vec![self.one()?];
        while self.word_is("and") {
            parts.push(self.one()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) })
    }

    fn one(&mut self) -> Option<Expression> {
        if self.word_is("not") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return None;
            }
            self.advanced = true;
            let inner = self.one()?;
            self.depth -= 1;
            return Some(Expression::Not(Box::new(inner)));
        }
        if self.take(&Token::Open).is_some() {
            let inner = self.or()?;
            self.take(&Token::Close)?;
            return Some(inner);
        }
        let Token::Word(word) = self.tokens.next()? else { return None };
        if self.tokens.peek() == Some(&Token::Open) {
            self.tokens.next();
            return self.call(&word);
        }
        let field = self.field(&word);
        if self.word_is("in") {
            return self.list(field);
        }
        let Token::Word(operator) = self.tokens.next()? else { return None };
        let operator = COMPARISONS.into_iter().find(|c| c.eq_ignore_ascii_case(&operator))?;
        self.advanced |= operator == "ne";
        let value = self.value()?;
        Some(Expression::Compare(field, operator, value))
    }

    fn call(&mut self, word: &str) -> Option<Expression> {
        if let Some(list) = word.strip_suffix("/any") {
            if self.bound.len() >= ANY_MAX {
                return None;
            }
            let list = self.field(list);
            let Token::Word(name) = self.tokens.next()? else { return None };
            self.take(&Token::Colon)?;
            self.bound.push(name.clone());
            let inner = self.or()?;
            self.bound.pop();
            self.take(&Token::Close)?;
            return Some(Expression::Any(list, name, Box::new(inner)));
        }
        let name = CALLS.into_iter().find(|c| c.eq_ignore_ascii_case(word))?;
        self.advanced |= name != "startswith";
        let Token::Word(field) = self.tokens.next()? else { return None };
        let field = self.field(&field);
        self.take(&Token::Comma)?;
        let Token::Text(text) = self.tokens.next()? else { return None };
        self.take(&Token::Close)?;
        Some(Expression::Call(name, field, text.to_lowercase()))
    }

    fn list(&mut self, field: String) -> Option<Expression> {
        self.take(&Token::Open)?;
        let mut values = vec![self.value()?];
        while self.take(&Token::Comma).is_some() {
            values.push(self.value()?);
        }
        self.take(&Token::Close)?;
        Some(Expression::In(field, values))
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.tokens.next()? {
            Token::Text(text) => Value::from(text),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => word.parse::<i64>().map_or_else(|_| Value::from(word), Value::from),
            },
            _ => return None,
        })
    }

    fn field(&mut self, word: &str) -> String {
        let first = word.split('/').next().unwrap_or(word);
        if !self.bound.iter().any(|b| b == first) {
            self.properties.push(first.to_owned());
        }
        word.to_owned()
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.eq_ignore_ascii_case(other),
        _ => one == other,
    }
}

fn ordered(have: &Value, operator: &str, wanted: &Value) -> bool {
    let order = match (have, wanted) {
        (Value::String(have), Value::String(wanted)) => {
            match (have.parse::<jiff::Timestamp>(), wanted.parse()) {
                (Ok(have), Ok(wanted)) => have.cmp(&wanted),
                _ => have.to_lowercase().cmp(&wanted.to_lowercase()),
            }
        }
        _ => match (have.as_i64(), wanted.as_i64()) {
            (Some(have), Some(wanted)) => have.cmp(&wanted),
            _ => return false,
        },
    };
    match operator {
        "gt" => order.is_gt(),
        "ge" => order.is_ge(),
        "lt" => order.is_lt(),
        _ => order.is_le(),
    }
}

/// What names mean: the object, and what `any` binds.
struct Scope<'a> {
    object: &'a Value,
    bound: Vec<(&'a str, &'a Value)>,
}

impl<'a> Scope<'a> {
    fn find(&self, field: &str) -> &'a Value {
        let (first, rest) = field.split_once('/').unwrap_or((field, ""));
        let bound = self.bound.iter().rev().find(|(name, _)| *name == first);
        let mut value = bound.map_or_else(|| member(self.object, first), |(_, value)| value);
        for part in rest.split('/').filter(|p| !p.is_empty()) {
            value = member(value, part);
        }
        value
    }

    fn fits(&mut self, expression: &'a Expression) -> bool {
        match expression {
            Expression::And(parts) => parts.iter().all(|p| self.fits(p)),
            Expression::Or(parts) => parts.iter().any(|p| self.fits(p)),
            Expression::Not(inner) => !self.fits(inner),
            Expression::Compare(field, "eq", wanted) => equal(self.find(field), wanted),
            Expression::Compare(field, "ne", wanted) => !equal(self.find(field), wanted),
            Expression::Compare(field, operator, wanted) => ordered(self.find(field), operator, wanted),
            Expression::In(field, values) => values.iter().any(|v| equal(self.find(field), v)),
            Expression::Call(name, field, wanted) => {
                let have = self.find(field).as_str().map(str::to_lowercase);
                have.is_some_and(|have| match *name {
                    "startswith" => have.starts_with(wanted),
                    "endswith" => have.ends_with(wanted),
                    _ => have.contains(wanted),
                })
            }
            Expression::Any(list, name, inner) => {
                let items = self.find(list).as_array().map_or(&[][..], Vec::as_slice);
                items.iter().any(|item| {
                    self.bound.push((name, item));
                    let fits = self.fits(inner);
                    self.bound.pop();
                    fits
                })
            }
        }
    }
}

/// A member of an object; names differ in case between clients.
fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    const NOTHING: &Value = &Value::Null;
    let found = object.get(name).or_else(|| {
        object.as_object()?.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    });
    found.unwrap_or(NOTHING)
}

impl Filter {
    /// Reads a filter; nothing when it is none.
    pub fn read(text: &str) -> Option<Self> {
        Self::parse(Some(text)).ok()
    }

    /// Reads a filter; none lets everything through.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Fault> {
        let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Ok(Self::default()) };
        let invalid = || Fault::bad(format!("Invalid filter clause: Syntax error in '{text}'."));
        let tokens = tokens(text).ok_or_else(invalid)?.into_iter().peekable();
        let mut parser =
            Parser { tokens, depth: 0, bound: Vec::new(), properties: Vec::new(), advanced: false };
        let expression = parser.or().ok_or_else(invalid)?;
        if parser.tokens.next().is_some() {
            return Err(invalid());
        }
        Ok(Self { expression: Some(expression), properties: parser.properties, advanced: parser.advanced })
    }

    /// Whether an object, as it is shown, fits.
    pub fn fits(&self, object: &Value) -> bool {
        let mut scope = Scope { object, bound: Vec::new() };
        self.expression.as_ref().is_none_or(|expression| scope.fits(expression))
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use serde_json::json;

    #[test]
    fn filters_that_tools_send() {
        let object = json!({"displayName": "it's and so", "appId": "a", "servicePrincipalNames": ["a", "api://a"], "accountEnabled": true,
            "createdDateTime": "2026-01-02T03:04:05Z", "mail": null, "passwordCredentials": [{"displayName": "rbac", "keyId": "k"}], "number": 3});
        let table = [
            ("servicePrincipalNames/any(c:c eq 'API://A')", true),
            ("servicePrincipalNames/any(c:c eq 'b')", false),
            ("servicePrincipalNames/any(c:startsWith(c,'api:'))", true),
            ("passwordCredentials/any(p:p/displayName eq 'rbac' and p/keyId eq 'k')", true),
            ("passwordCredentials/any(p:p/displayName eq 'rbac' and p/keyId eq 'x')", false),
            ("startswith(displayName,'It''s')", true),
            ("endswith(displayName, 'so') or appId eq 'b'", true),
            ("not startswith(displayName,'it')", false),
            ("displayName eq 'it''s and so' and appId eq 'a'", true),
            ("displayName eq 'x' and appId eq 'a'", false),
            ("displayName eq 'x' or (appId eq 'a' and number gt 2)", true),
            ("accountEnabled eq true", true),
            ("appId in ('x','A')", true),
            ("appId ne 'a'", false),
            ("mail eq null", true),
            ("createdDateTime ge 2026-01-02T00:00:00Z", true),
            ("createdDateTime lt 2026-01-02T00:00:00+00:00", false),
            ("number le 2", false),
        ];
        for (text, expected) in table {
            assert_eq!(Filter::parse(Some(text)).unwrap().fits(&object), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}a eq 1{}", "(".repeat(5_000), ")".repeat(5_000));
        let nots = format!("{}a eq 1", "not ".repeat(5_000));
        let loops = format!("{}a eq 1{}", "a/any(x:".repeat(20), ")".repeat(20));
        for text in [
            "nonsense",
            "a eq",
            "a eq 'x",
            "a eq 'x' and",
            "(a eq 'x'",
            "a xx 'x'",
            "a eq 'x')",
            "f(a,'x')",
            &deep,
            &nots,
            &loops,
        ] {
            assert!(Filter::parse(Some(text)).is_err(), "{text}");
        }
    }
}
