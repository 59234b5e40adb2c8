//! Label selectors: the text form (`a=b,c in (d,e),!f`) and the object form (`matchLabels`, `matchExpressions`).

use super::SelectorError;
use crate::validation::names;
use serde_json::{Map, Value};

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of these (also `=`).
    In,
    /// The label is absent or has another value (also `!=`).
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// Its value is a larger number.
    GreaterThan,
    /// Its value is a smaller number.
    LessThan,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Comparison.
    pub operator: Operator,
    /// Values, sorted; empty for existence.
    pub values: Vec<String>,
}

/// All requirements must hold; none selects everything, [`LabelSelector::nothing`] nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects nothing.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut lexer = Lexer { rest: text };
        let mut requirements = Vec::new();
        if lexer.peek() == Token::End {
            return Ok(Self::default());
        }
        loop {
            requirements.push(requirement(&mut lexer)?);
            match lexer.next() {
                Token::End => break,
                Token::Sign(",") => {
                    if !matches!(lexer.peek(), Token::Word(_) | Token::Sign("!")) {
                        return Err(refuse(format!(
                            "found '{}', expected: identifier after ','",
                            lexer.peek().text()
                        )));
                    }
                }
                other => {
                    return Err(refuse(format!(
                        "found '{}', expected: ',' or 'end of string'",
                        other.text()
                    )));
                }
            }
        }
        for requirement in &requirements {
            check(requirement)?;
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `LabelSelector` object. Absent (`None`, null) selects nothing, empty everything, as upstream.
    pub fn from_object(object: Option<&Value>) -> Result<Self, SelectorError> {
        let Some(Value::Object(object)) = object else { return Ok(Self::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in object.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(Requirement { key: key.clone(), operator: Operator::In, values });
        }
        for expression in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError(format!("{other:?} is not a valid label selector operator")));
                }
            };
            let mut values: Vec<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            values.sort();
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement { key, operator, values });
        }
        for requirement in &requirements {
            check(requirement)?;
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a plain map of labels (`Service.spec.selector`). An empty or absent one selects nothing here.
    pub fn from_labels(labels: Option<&Value>) -> Self {
        match labels {
            Some(Value::Object(map)) if !map.is_empty() => Self {
                requirements: map
                    .iter()
                    .map(|(key, value)| Requirement {
                        key: key.clone(),
                        operator: Operator::In,
                        values: vec![value.as_str().unwrap_or_default().to_owned()],
                    })
                    .collect(),
                nothing: false,
            },
            _ => Self::nothing(),
        }
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The conditions, by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether `metadata.labels` (a map, or nothing) fits.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.matches_with(|key| labels?.get(key)?.as_str())
    }

    /// Whether labels fit that are looked up by key.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.holds(label(&r.key)))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let (Some(have), Some(want)) =
                    (value.and_then(number), self.values.first().and_then(|v| number(v)))
                else {
                    return false;
                };
                if self.operator == Operator::GreaterThan { have > want } else { have < want }
            }
        }
    }
}

impl std::fmt::Display for LabelSelector {
    /// Upstream's text form, as in `.status.selector` of a scale.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, r) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let (key, list) = (&r.key, r.values.join(","));
            match r.operator {
                Operator::In if r.values.len() == 1 => write!(f, "{key}={list}")?,
                Operator::In => write!(f, "{key} in ({list})")?,
                Operator::NotIn if r.values.len() == 1 => write!(f, "{key}!={list}")?,
                Operator::NotIn => write!(f, "{key} notin ({list})")?,
                Operator::Exists => write!(f, "{key}")?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::GreaterThan => write!(f, "{key}>{list}")?,
                Operator::LessThan => write!(f, "{key}<{list}")?,
            }
        }
        Ok(())
    }
}

fn refuse(detail: String) -> SelectorError {
    SelectorError(format!("unable to parse requirement: {detail}"))
}

fn check(r: &Requirement) -> Result<(), SelectorError> {
    if let Some(problem) = names::qualified_name(&r.key).into_iter().next() {
        return Err(refuse(format!("<nil>: Invalid value: {:?}: {problem}", r.key)));
    }
    match r.operator {
        Operator::In | Operator::NotIn if r.values.is_empty() => {
            return Err(refuse(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".into(),
            ));
        }
        Operator::Exists | Operator::DoesNotExist if !r.values.is_empty() => {
            return Err(refuse(
                "values: Invalid value: values set must be empty for exists and does not exist".into(),
            ));
        }
        Operator::GreaterThan | Operator::LessThan
            if r.values.first().is_none_or(|v| v.parse::<i64>().is_err()) =>
        {
            return Err(refuse(
                "values[0]: Invalid value: for 'Gt', 'Lt' operators, the value must be an integer".into(),
            ));
        }
        _ => {}
    }
    for (index, value) in r.values.iter().enumerate() {
        if let Some(problem) = names::label_value(value).into_iter().next() {
            return Err(refuse(format!("values[{index}][{}]: Invalid value: {value:?}: {problem}", r.key)));
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'static str),
    End,
}

impl Token<'_> {
    fn text(&self) -> &str {
        match self {
            Token::Word(word) => word,
            Token::Sign(sign) => sign,
            Token::End => "",
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
}

const SIGNS: [&str; 10] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<", "\0"];

impl<'a> Lexer<'a> {
    fn peek(&self) -> Token<'a> {
        Lexer { rest: self.rest }.next()
    }

    fn next(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Token::End;
        }
        for sign in SIGNS {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return Token::Sign(sign);
            }
        }
        let end =
            self.rest.find(|c: char| c.is_whitespace() || "=!,()<>".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Token::Word(word)
    }
}

fn requirement(lexer: &mut Lexer<'_>) -> Result<Requirement, SelectorError> {
    let absent = lexer.peek() == Token::Sign("!");
    if absent {
        lexer.next();
    }
    let key = match lexer.next() {
        Token::Word(key) => key.to_owned(),
        other => return Err(refuse(format!("found '{}', expected: identifier", other.text()))),
    };
    let none = |key, operator| Ok(Requirement { key, operator, values: Vec::new() });
    if matches!(lexer.peek(), Token::End | Token::Sign(",")) {
        return none(key, if absent { Operator::DoesNotExist } else { Operator::Exists });
    }
    if absent {
        return Err(refuse(format!("found '{}', expected: ',' or 'end of string'", lexer.peek().text())));
    }
    let one = |lexer: &mut Lexer<'_>, key, operator| match lexer.peek() {
        Token::Word(value) => {
            lexer.next();
            Ok(Requirement { key, operator, values: vec![value.to_owned()] })
        }
        Token::End | Token::Sign(",") => Ok(Requirement { key, operator, values: vec![String::new()] }),
        other => Err(refuse(format!("found '{}', expected: identifier", other.text()))),
    };
    match lexer.next() {
        Token::Sign("=" | "==") => one(lexer, key, Operator::In),
        Token::Sign("!=") => one(lexer, key, Operator::NotIn),
        Token::Sign(">") => one(lexer, key, Operator::GreaterThan),
        Token::Sign("<") => one(lexer, key, Operator::LessThan),
        Token::Word("in") => Ok(Requirement { key, operator: Operator::In, values: list(lexer)? }),
        Token::Word("notin") => Ok(Requirement { key, operator: Operator::NotIn, values: list(lexer)? }),
        other => Err(refuse(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text()))),
    }
}

fn list(lexer: &mut Lexer<'_>) -> Result<Vec<String>, SelectorError> {
    if lexer.next() != Token::Sign("(") {
        return Err(refuse("expected: '('".into()));
    }
    let mut values = Vec::new();
    loop {
        match lexer.next() {
            Token::Word(word) => {
                values.push(word.to_owned());
                match lexer.next() {
                    Token::Sign(",") if lexer.peek() == Token::Sign(")") => values.push(String::new()),
                    Token::Sign(",") => {}
                    Token::Sign(")") => break,
                    other => return Err(refuse(format!("found '{}', expected: ',' or ')'", other.text()))),
                }
            }
            Token::Sign(",") => values.push(String::new()),
            Token::Sign(")") => break,
            other => {
                return Err(refuse(format!("found '{}', expected: ',', ')' or identifier", other.text())));
            }
        }
    }
    values.sort();
    values.dedup();
    Ok(values)
}
