//! The tree of an expression as it is written. Macros are nodes of their own, so that they can be run without rewriting.

/// A node with its place, in characters of the text.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub offset: u32,
    /// Nodes on the longest way down, itself included.
    pub depth: u32,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(String),
    /// `operand.field`; `test` inside `has()`.
    Select {
        operand: Box<Node>,
        field: String,
        test: bool,
    },
    Call {
        function: String,
        target: Option<Box<Node>>,
        args: Vec<Node>,
    },
    /// Elements; the flag is set for `[?e]`.
    List(Vec<(Node, bool)>),
    Map(Vec<Entry>),
    /// `Name{field: value}`.
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
    /// `target.optMap(variable, expression)`, `optFlatMap`.
    OptionalMap {
        target: Box<Node>,
        variable: String,
        value: Box<Node>,
        flat: bool,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: Node,
    pub value: Node,
    pub optional: bool,
}

/// `name: value` of an object.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Of the colon, where upstream places what is wrong with the field.
    pub offset: u32,
    pub name: String,
    pub value: Node,
    pub optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// Which macro over a list or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, `transformList`: the values of `step`.
    Map,
    /// `filter`: the items where `step` holds.
    Filter,
    /// `transformMap`: the same keys with the values of `step`.
    TransformMap,
    /// `transformMapEntry`: the entries that `step` gives.
    TransformEntry,
}

/// A macro over a list or map.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    pub kind: FoldKind,
    pub range: Node,
    pub variable: String,
    /// The second one: first are then indices or keys, second are items or values.
    pub second: Option<String>,
    /// Only for these.
    pub condition: Option<Node>,
    pub step: Node,
}

impl Node {
    pub fn new(offset: u32, kind: Kind) -> Self {
        let depth = 1 + kind.below();
        Self { offset, depth, kind }
    }
}

impl Kind {
    fn below(&self) -> u32 {
        fn most<'n>(nodes: impl Iterator<Item = &'n Node>) -> u32 {
            nodes.map(|node| node.depth).max().unwrap_or(0)
        }
        match self {
            Kind::Literal(_) | Kind::Ident(_) => 0,
            Kind::Select { operand, .. } => operand.depth,
            Kind::Call { target, args, .. } => most(target.as_deref().into_iter().chain(args)),
            Kind::List(items) => most(items.iter().map(|(item, _)| item)),
            Kind::Map(entries) => most(entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
            Kind::Struct { fields, .. } => most(fields.iter().map(|field| &field.value)),
            Kind::Fold(fold) => most([&fold.range, &fold.step].into_iter().chain(&fold.condition)),
            Kind::OptionalMap { target, value, .. } => target.depth.max(value.depth),
        }
    }
}
