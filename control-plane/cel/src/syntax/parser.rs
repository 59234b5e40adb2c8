//! From tokens to a tree. Depth and length are limited, so that no text can exhaust the stack of who walks the tree.

use super::ast::{Entry, Field, Kind, Literal, Node};
use super::lexer::{Token, TokenKind, tokens};
use super::macros;
use crate::deep::deep;
use crate::source::{CompileError, Issues};

/// Characters of an expression at most.
const LENGTH_MAX: usize = 100_000;
/// Nodes on the longest way down the tree at most.
const DEPTH_MAX: u32 = 250;
/// What may begin an expression, as the published grammar names it.
const BEGINS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const RESERVED: [&str; 17] = [
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

/// Operators between two operands, by how strongly they bind.
const LEVELS: [&[&str]; 5] =
    [&["||"], &["&&"], &["<", "<=", ">", ">=", "==", "!=", "in"], &["+", "-"], &["*", "/", "%"]];

/// A part of an expression is missing; noted already.
pub(super) struct Stop;

type Parsed = Result<Node, Stop>;

pub(super) struct Parser<'t, 'i> {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    pub issues: &'i mut Issues<'t>,
}

/// The tree of a text.
pub(crate) fn parse(text: &str) -> Result<Node, CompileError> {
    let mut issues = Issues::new(text);
    let length = text.chars().count();
    if length > LENGTH_MAX {
        issues.at(0, format!("expression code point size exceeds limit: size: {length}, limit {LENGTH_MAX}"));
        return Err(finish(issues));
    }
    let tokens = tokens(text, &mut issues);
    let mut parser = Parser { tokens, at: 0, depth: 0, issues: &mut issues };
    let parsed = parser.whole();
    match parsed {
        Ok(node) if issues.is_empty() => Ok(node),
        _ => Err(finish(issues)),
    }
}

fn finish(mut issues: Issues<'_>) -> CompileError {
    if issues.is_empty() {
        issues.at(0, "Syntax error");
    }
    issues.into_result().err().unwrap_or(CompileError { issues: Vec::new() })
}

impl Parser<'_, '_> {
    fn whole(&mut self) -> Parsed {
        let node = self.expression()?;
        let next = self.peek().clone();
        if next.kind != TokenKind::End {
            self.issues
                .at(next.offset, format!("Syntax error: extraneous input '{}' expecting <EOF>", next.text));
            return Err(Stop);
        }
        Ok(node)
    }

    fn peek(&self) -> &Token {
        // The last token is the end, and nobody goes beyond it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(known) if known == symbol)
    }

    /// The offset of the symbol, if it is the next token.
    fn take(&mut self, symbol: &str) -> Option<u32> {
        self.is(symbol).then(|| self.advance().offset)
    }

    fn mismatched<T>(&mut self, expected: &str) -> Result<T, Stop> {
        let next = self.peek().clone();
        self.issues
            .at(next.offset, format!("Syntax error: mismatched input '{}' expecting {expected}", next.text));
        Err(Stop)
    }

    fn must(&mut self, symbol: &str) -> Result<u32, Stop> {
        match self.take(symbol) {
            Some(offset) => Ok(offset),
            None => self.mismatched(&format!("'{symbol}'")),
        }
    }

    /// A node, unless the tree gets too deep with it.
    pub fn node(&mut self, offset: u32, kind: Kind) -> Parsed {
        let node = Node::new(offset, kind);
        if node.depth > DEPTH_MAX {
            return self.too_deep(offset);
        }
        Ok(node)
    }

    fn too_deep(&mut self, offset: u32) -> Parsed {
        self.issues.at(offset, format!("expression recursion limit exceeded: {DEPTH_MAX}"));
        Err(Stop)
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let offset = self.peek().offset;
            return self.too_deep(offset);
        }
        let condition = deep(|| self.binary(0))?;
        let node = match self.take("?") {
            None => condition,
            Some(offset) => {
                let yes = self.binary(0)?;
                self.must(":")?;
                let no = deep(|| self.expression())?;
                self.call(offset, "_?_:_", vec![condition, yes, no])?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    pub fn call(&mut self, offset: u32, function: &str, args: Vec<Node>) -> Parsed {
        self.node(offset, Kind::Call { function: function.to_owned(), target: None, args })
    }

    /// Operators that bind at least as strongly as `weakest`. A chain of `||` or `&&` becomes a tree as flat as it can be.
    fn binary(&mut self, weakest: usize) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let TokenKind::Symbol(symbol) = self.peek().kind else { return Ok(left) };
            let Some(level) =
                LEVELS.iter().position(|symbols| symbols.contains(&symbol)).filter(|level| *level >= weakest)
            else {
                return Ok(left);
            };
            if level < 2 {
                left = self.chain(left, symbol, level)?;
                continue;
            }
            let offset = self.advance().offset;
            let right = self.binary(level + 1)?;
            let function = if symbol == "in" { "@in".to_owned() } else { format!("_{symbol}_") };
            left = self.call(offset, &function, vec![left, right])?;
        }
    }

    fn chain(&mut self, first: Node, symbol: &str, level: usize) -> Parsed {
        let (mut terms, mut operators) = (vec![first], Vec::new());
        while let Some(offset) = self.take(symbol) {
            operators.push(offset);
            terms.push(self.binary(level + 1)?);
        }
        self.balanced(&format!("_{symbol}_"), &mut terms.into_iter(), &operators)
    }

    fn balanced(
        &mut self,
        function: &str,
        terms: &mut std::vec::IntoIter<Node>,
        operators: &[u32],
    ) -> Parsed {
        if operators.is_empty() {
            return terms.next().ok_or(Stop);
        }
        let middle = operators.len() / 2;
        let left = self.balanced(function, terms, &operators[..middle])?;
        let right = self.balanced(function, terms, &operators[middle + 1..])?;
        self.call(operators[middle], function, vec![left, right])
    }

    fn unary(&mut self) -> Parsed {
        let start = self.peek().offset;
        let symbol = if self.is("!") { "!" } else { "-" };
        let mut count = 0;
        while self.take(symbol).is_some() {
            count += 1;
            if count > DEPTH_MAX {
                return self.too_deep(start);
            }
        }
        if count > 0
            && symbol == "-"
            && let TokenKind::Literal(literal) = &self.peek().kind
        {
            let negative = match literal {
                Literal::Int(value) => Some(Literal::Int(value.wrapping_neg())),
                Literal::Double(value) => Some(Literal::Double(-value)),
                _ => None,
            };
            if let Some(negative) = negative {
                self.at += 1;
                let literal = self.node(start, Kind::Literal(negative))?;
                let inside = self.postfix(literal)?;
                return self.wrap(start, "-_", count - 1, inside);
            }
        }
        let first = self.primary()?;
        let inside = self.postfix(first)?;
        self.wrap(start, if symbol == "!" { "!_" } else { "-_" }, count, inside)
    }

    /// An operator before an operand; twice is not at all.
    fn wrap(&mut self, offset: u32, function: &str, count: u32, inside: Node) -> Parsed {
        if count % 2 == 0 { Ok(inside) } else { self.call(offset, function, vec![inside]) }
    }

    fn postfix(&mut self, first: Node) -> Parsed {
        let mut node = first;
        loop {
            if let Some(dot) = self.take(".") {
                let optional = self.take("?").is_some();
                let field = self.identifier(false)?;
                if !optional && let Some(open) = self.take("(") {
                    let args = self.items(")")?;
                    node = macros::expand(self, open, &field.text, Some(node), args)?;
                } else if optional {
                    let name = self.node(field.offset, Kind::Literal(Literal::String(field.text)))?;
                    node = self.call(dot, "_?._", vec![node, name])?;
                } else {
                    node = self.node(
                        dot,
                        Kind::Select { operand: Box::new(node), field: field.text, test: false },
                    )?;
                }
            } else if let Some(open) = self.take("[") {
                let optional = self.take("?").is_some();
                let index = self.expression()?;
                self.must("]")?;
                node = self.call(open, if optional { "_[?_]" } else { "_[_]" }, vec![node, index])?;
            } else if self.is("{") && spelled(&node).is_some() {
                let name = spelled(&node).unwrap_or_default();
                node = self.structure(name)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn identifier(&mut self, checked: bool) -> Result<Token, Stop> {
        let next = self.peek().clone();
        if next.kind != TokenKind::Ident && !(next.kind == TokenKind::Symbol("in") && !checked) {
            self.issues.at(next.offset, "Syntax error: no viable alternative at input '.'");
            return Err(Stop);
        }
        self.at += 1;
        if checked && RESERVED.contains(&next.text.as_str()) {
            self.issues.at(next.offset, format!("reserved identifier: {}", next.text));
        }
        Ok(next)
    }

    fn primary(&mut self) -> Parsed {
        let next = self.peek().clone();
        match next.kind {
            TokenKind::Literal(Literal::Int(i64::MIN)) => {
                self.issues.at(next.offset, "invalid int literal");
                Err(Stop)
            }
            TokenKind::Literal(literal) => {
                self.at += 1;
                self.node(next.offset, Kind::Literal(literal))
            }
            TokenKind::Broken => Err(Stop),
            TokenKind::Ident => {
                let name = self.identifier(true)?;
                self.named(name.text, next.offset)
            }
            TokenKind::Symbol(".") => {
                self.at += 1;
                let name = self.identifier(true)?;
                self.named(format!(".{}", name.text), next.offset)
            }
            TokenKind::Symbol("(") => {
                self.at += 1;
                let inside = self.expression()?;
                self.must(")")?;
                Ok(inside)
            }
            TokenKind::Symbol("[") => self.list(),
            TokenKind::Symbol("{") => self.map(),
            _ => self.mismatched(BEGINS),
        }
    }

    fn named(&mut self, name: String, offset: u32) -> Parsed {
        match self.take("(") {
            Some(open) => {
                let args = self.items(")")?;
                macros::expand(self, open, &name, None, args)
            }
            None => self.node(offset, Kind::Ident(name)),
        }
    }

    fn items(&mut self, close: &str) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        if self.take(close).is_some() {
            return Ok(items);
        }
        loop {
            items.push(self.expression()?);
            if self.take(",").is_none() {
                self.must(close)?;
                return Ok(items);
            }
        }
    }

    fn list(&mut self) -> Parsed {
        let open = self.advance().offset;
        let mut items = Vec::new();
        while !self.is("]") {
            let optional = self.take("?").is_some();
            items.push((self.expression()?, optional));
            if self.take(",").is_none() {
                break;
            }
        }
        self.must("]")?;
        self.node(open, Kind::List(items))
    }

    fn map(&mut self) -> Parsed {
        let open = self.advance().offset;
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.take("?").is_some();
            let key = self.expression()?;
            self.must(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        self.must("}")?;
        self.node(open, Kind::Map(entries))
    }

    fn structure(&mut self, name: String) -> Parsed {
        let open = self.advance().offset;
        let mut fields = Vec::new();
        while !self.is("}") {
            let optional = self.take("?").is_some();
            if self.peek().kind != TokenKind::Ident {
                return self.mismatched("{'}', ',', '?', IDENTIFIER}");
            }
            let name = self.advance().text;
            let offset = self.peek().offset;
            self.must(":")?;
            fields.push(Field { offset, name, value: self.expression()?, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        self.must("}")?;
        self.node(open, Kind::Struct { name, fields })
    }
}

/// `a.b.c`, when it is that.
pub(crate) fn spelled(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, test: false } => Some(format!("{}.{field}", spelled(operand)?)),
        _ => None,
    }
}
