//! The tree of a checked expression: every name resolved, every node with its type.

use std::sync::Arc;

use regex::Regex;

use crate::library::{Function, Overload, Style};
use crate::syntax::ast::{FoldKind, Literal};
use crate::types::{ObjectType, Type};

#[derive(Debug)]
pub(crate) struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
    pub offset: u32,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Const(Literal),
    Variable(String),
    /// Position in the stack of a macro's variables.
    Local(usize),
    TypeName(Type),
    Select {
        operand: Box<Expr>,
        field: String,
        has: bool,
    },
    /// `operand.?field`.
    OptionalSelect {
        operand: Box<Expr>,
        field: String,
    },
    Call(Box<Call>),
    And(Box<[Expr; 2]>),
    Or(Box<[Expr; 2]>),
    Conditional(Box<[Expr; 3]>),
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    Struct {
        object: Arc<ObjectType>,
        fields: Vec<(String, Expr, bool)>,
    },
    Fold(Box<Fold>),
    OptionalMap {
        target: Box<Expr>,
        value: Box<Expr>,
        flat: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Call {
    pub function: &'static Function,
    pub style: Style,
    /// Those that the types allow.
    pub overloads: Vec<&'static Overload>,
    /// The target first, if there is one.
    pub args: Vec<Expr>,
    /// The pattern, when it is written in the expression.
    pub regex: Option<Arc<Regex>>,
}

#[derive(Debug)]
pub(crate) struct Fold {
    pub kind: FoldKind,
    pub range: Expr,
    pub two: bool,
    pub condition: Option<Expr>,
    pub step: Expr,
}

impl Expr {
    /// Whether every part of it is written out.
    pub fn is_constant(&self) -> bool {
        match &self.kind {
            ExprKind::Const(_) => true,
            ExprKind::List(items) => items.iter().all(|(item, optional)| !optional && item.is_constant()),
            ExprKind::Map(entries) => {
                entries.iter().all(|(k, v, optional)| !optional && k.is_constant() && v.is_constant())
            }
            _ => false,
        }
    }

    /// All direct parts.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Const(_) | ExprKind::Variable(_) | ExprKind::Local(_) | ExprKind::TypeName(_) => {
                Vec::new()
            }
            ExprKind::Select { operand, .. } | ExprKind::OptionalSelect { operand, .. } => vec![operand],
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::And(both) | ExprKind::Or(both) => both.iter().collect(),
            ExprKind::Conditional(three) => three.iter().collect(),
            ExprKind::List(items) => items.iter().map(|(item, _)| item).collect(),
            ExprKind::Map(entries) => entries.iter().flat_map(|(key, value, _)| [key, value]).collect(),
            ExprKind::Struct { fields, .. } => fields.iter().map(|(_, value, _)| value).collect(),
            ExprKind::Fold(fold) => [&fold.range, &fold.step].into_iter().chain(&fold.condition).collect(),
            ExprKind::OptionalMap { target, value, .. } => vec![target, value],
        }
    }

    fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Const(_) | ExprKind::Variable(_) | ExprKind::Local(_) | ExprKind::TypeName(_) => {
                Vec::new()
            }
            ExprKind::Select { operand, .. } | ExprKind::OptionalSelect { operand, .. } => vec![operand],
            ExprKind::Call(call) => call.args.iter_mut().collect(),
            ExprKind::And(both) | ExprKind::Or(both) => both.iter_mut().collect(),
            ExprKind::Conditional(three) => three.iter_mut().collect(),
            ExprKind::List(items) => items.iter_mut().map(|(item, _)| item).collect(),
            ExprKind::Map(entries) => entries.iter_mut().flat_map(|(key, value, _)| [key, value]).collect(),
            ExprKind::Struct { fields, .. } => fields.iter_mut().map(|(_, value, _)| value).collect(),
            ExprKind::Fold(fold) => {
                let Fold { range, step, condition, .. } = &mut **fold;
                [range, step].into_iter().chain(condition).collect()
            }
            ExprKind::OptionalMap { target, value, .. } => vec![target, value],
        }
    }

    /// Gives every node the type that is known in the end.
    pub fn settle(&mut self, of: &impl Fn(&Type) -> Type) {
        self.ty = of(&self.ty);
        for child in self.children_mut() {
            child.settle(of);
        }
    }
}
