//! The expression language of templates: `[concat('a', parameters('b').c[0])]`.

use serde_json::Value;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// A literal.
    Value(Value),
    /// `name(arguments)`
    Call(String, Vec<Expression>),
    /// `object.name`, `object['name']`, `object[0]`
    Member(Box<Expression>, Box<Expression>),
}

/// Nesting deeper than this is refused.
const DEPTH_MAX: usize = 64;
/// Members of members beyond this are refused.
const CHAIN_MAX: usize = 64;
/// The longest expression, as in the public cloud.
const LENGTH_BYTES_MAX: usize = 24_576;

/// Reads the text between the outer brackets.
pub(crate) fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > LENGTH_BYTES_MAX {
        return Err(format!(
            "The language expression length limit exceeded. Limit: '{LENGTH_BYTES_MAX}' and actual: '{}'",
            text.len()
        ));
    }
    let mut reader = Reader { rest: text, whole: text };
    let found = reader.expression(0)?;
    reader.blank();
    if reader.rest.is_empty() { Ok(found) } else { Err(reader.wrong()) }
}

struct Reader<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl Reader<'_> {
    fn wrong(&self) -> String {
        format!(
            "The language expression '{}' is not valid at position {}",
            self.whole,
            self.whole.len() - self.rest.len()
        )
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, sign: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        self.blank();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn text(&mut self) -> Result<String, String> {
        let mut value = String::new();
        loop {
            let Some(at) = self.rest.find('\'') else { return Err(self.wrong()) };
            value.push_str(&self.rest[..at]);
            self.rest = &self.rest[at + 1..];
            match self.rest.strip_prefix('\'') {
                Some(rest) => {
                    value.push('\'');
                    self.rest = rest;
                }
                None => return Ok(value),
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Expression, String> {
        if self.take('\'') {
            return Ok(Expression::Value(Value::from(self.text()?)));
        }
        self.blank();
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            let end = self.rest[1..]
                .find(|c: char| !(c.is_ascii_digit() || c == '.'))
                .map_or(self.rest.len(), |e| e + 1);
            let (number, rest) = self.rest.split_at(end);
            let value = serde_json::from_str(number).map_err(|_| self.wrong())?;
            self.rest = rest;
            return Ok(Expression::Value(value));
        }
        let mut name = self.word();
        if name.is_empty() {
            return Err(self.wrong());
        }
        // A function of the template's own: `namespace.name(…)`.
        let literal = ["true", "false", "null"].iter().any(|word| name.eq_ignore_ascii_case(word));
        if !literal && self.take('.') {
            let own = self.word();
            if own.is_empty() {
                return Err(self.wrong());
            }
            name = format!("{name}.{own}");
        }
        if !self.take('(') {
            return match name.to_ascii_lowercase().as_str() {
                "true" => Ok(Expression::Value(Value::Bool(true))),
                "false" => Ok(Expression::Value(Value::Bool(false))),
                "null" => Ok(Expression::Value(Value::Null)),
                _ => Err(self.wrong()),
            };
        }
        let mut arguments = Vec::new();
        if !self.take(')') {
            loop {
                arguments.push(self.expression(depth + 1)?);
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err(self.wrong());
                }
            }
        }
        Ok(Expression::Call(name.to_ascii_lowercase(), arguments))
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err(format!("The language expression '{}' is nested too deeply", self.whole));
        }
        let mut found = self.primary(depth)?;
        let mut members = 0;
        loop {
            members += 1;
            if members > CHAIN_MAX {
                return Err(format!("The language expression '{}' is nested too deeply", self.whole));
            }
            if self.take('.') {
                let name = self.word();
                if name.is_empty() {
                    return Err(self.wrong());
                }
                found = Expression::Member(Box::new(found), Box::new(Expression::Value(Value::from(name))));
            } else if self.take('[') {
                let index = self.expression(depth + 1)?;
                if !self.take(']') {
                    return Err(self.wrong());
                }
                found = Expression::Member(Box::new(found), Box::new(index));
            } else {
                return Ok(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        let text = |t: &str| Expression::Value(Value::from(t));
        assert_eq!(parse("'it''s'").unwrap(), text("it's"));
        assert_eq!(
            parse("parameters('a').b[0]").unwrap(),
            Expression::Member(
                Box::new(Expression::Member(
                    Box::new(Expression::Call("parameters".into(), vec![text("a")])),
                    Box::new(text("b"))
                )),
                Box::new(Expression::Value(Value::from(0)))
            )
        );
        assert_eq!(
            parse("Own.Make(1)").unwrap(),
            Expression::Call("own.make".into(), vec![Expression::Value(Value::from(1))])
        );
        for wrong in ["", "concat('a'", "concat('a'))", "'open", "name", "a.b", "a.()", "-", "1.2.3", "é("] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&format!("{}1{}", "f(".repeat(500), ")".repeat(500))).is_err());
        assert!(parse(&format!("f(){}", ".a".repeat(500))).is_err());
        assert!(parse(&"a".repeat(30_000)).is_err());
    }
}
