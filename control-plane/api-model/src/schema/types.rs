//! The table of types.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Number of a node in a [`Types`] table.
pub type NodeId = u32;

/// All types of one minor version, or of one custom kind on top of them. Nodes never change once shared.
#[derive(Debug, Default)]
pub struct Types {
    base: Option<Arc<Types>>,
    offset: NodeId,
    nodes: Vec<Node>,
    /// Nodes that are made when the first of them is looked at, instead of those above.
    later: Option<Later>,
    names: HashMap<Arc<str>, NodeId>,
    status_apart: bool,
    /// Which of the nodes of a table without a base have defaults in or below them.
    defaulted: OnceLock<Box<[bool]>>,
}

/// Makes the nodes of a table on top of another, given the table itself, still without nodes.
pub(crate) type Make = Box<dyn FnOnce(&Types) -> Vec<Node> + Send>;

/// Nodes that nobody has needed yet.
struct Later {
    make: Mutex<Option<Make>>,
    made: OnceLock<Vec<Node>>,
}

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Later({:?} nodes)", self.made.get().map(Vec::len))
    }
}

/// One type.
#[derive(Debug, Clone)]
pub struct Node {
    /// Full name without `io.k8s.`, for definitions.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub kind: NodeKind,
    /// Merged as a whole by apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Limits on the value; custom kinds only.
    pub constraints: Option<Box<Constraints>>,
}

/// What a type is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Anything, kept as it is.
    Any,
    /// A single value.
    Scalar(Scalar),
    /// A struct with known fields, sorted by name.
    Struct {
        /// Known fields.
        fields: Vec<Field>,
        /// Unknown fields stay (`x-kubernetes-preserve-unknown-fields`).
        preserve: bool,
        /// The type of fields that are not listed, where the schema gives one.
        rest: Option<NodeId>,
        /// A whole Kubernetes object: `apiVersion`, `kind` and `metadata` are known as well.
        embedded: bool,
    },
    /// A map from texts to one type.
    Map(NodeId),
    /// A list.
    List {
        /// Type of the items.
        item: NodeId,
        /// How apply merges it.
        list: ListType,
        /// Strategic merge: the key by which items are matched (`x-kubernetes-patch-merge-key`).
        merge_key: Option<Arc<str>>,
        /// Strategic merge: items are merged, not replaced.
        merge: bool,
    },
}

/// How apply merges a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// Scalars, each once.
    Set,
    /// Objects, each identified by the values of these fields.
    Map(Vec<Arc<str>>),
}

/// Single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// Truth value.
    Bool,
    /// Whole number of 32 bits.
    Int32,
    /// Whole number of 64 bits.
    Int64,
    /// Any number.
    Double,
    /// Base64 text.
    Byte,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// Quantity (`100m`, `1Gi`): text or number.
    Quantity,
    /// Text or whole number.
    IntOrString,
}

/// A field of a struct.
#[derive(Debug, Clone)]
pub struct Field {
    /// JSON name.
    pub name: Arc<str>,
    /// The order of its name by the first bytes: most names differ there.
    order: u64,
    /// Its type.
    pub node: NodeId,
    /// Must be present.
    pub required: bool,
    /// Filled in when absent.
    pub default: Option<Value>,
    /// Filled in when zero, too.
    pub default_zero: bool,
    /// Merged as a whole by apply, whatever its type says.
    pub atomic: bool,
    /// Strategic merge removes the keys a patch does not name (`retainKeys`).
    pub retain_keys: bool,
    /// Strategic merge replaces it.
    pub replace: bool,
    /// `null` is a value (custom kinds).
    pub nullable: bool,
    /// How Go's type holds it (built-in kinds).
    pub shape: super::Shape,
    /// What Go shows when nothing is said (built-in kinds).
    pub zero: super::Zero,
}

/// Value limits of JSON schema, of custom kinds.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// Allowed values; empty: all.
    pub allowed: Vec<Value>,
    /// Regular expression a text must contain.
    pub pattern: Option<Arc<crate::pattern::Pattern>>,
    /// Smallest number, and whether it is itself excluded.
    pub minimum: Option<(f64, bool)>,
    /// Largest number, and whether it is itself excluded.
    pub maximum: Option<(f64, bool)>,
    /// The number is a multiple of this.
    pub multiple_of: Option<f64>,
    /// Characters of a text, items of a list, entries of a map: smallest count.
    pub min_length: Option<u64>,
    /// Largest count.
    pub max_length: Option<u64>,
    /// Items differ from one another.
    pub unique: bool,
    /// Format of a text.
    pub format: Option<String>,
    /// `null` is accepted.
    pub nullable: bool,
    /// Declared a text or a whole number.
    pub int_or_string: bool,
    /// Value-only schemas: all, any, exactly one, none of them must hold.
    pub all_of: Vec<Judge>,
    /// At least one must hold.
    pub any_of: Vec<Judge>,
    /// Exactly one must hold.
    pub one_of: Vec<Judge>,
    /// Must not hold.
    pub not: Option<Box<Judge>>,
}

/// A schema inside `allOf`, `anyOf`, `oneOf` or `not`: it judges values and declares nothing.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    /// Type that values must have.
    pub kind: Option<String>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// Judges of fields that are there.
    pub properties: Vec<(String, Judge)>,
    /// Judge of all items.
    pub items: Option<Box<Judge>>,
    /// Limits on the value itself.
    pub limits: Option<Box<Constraints>>,
}

impl Node {
    /// A nameless node.
    pub fn of(kind: NodeKind) -> Self {
        Self { name: None, kind, atomic: false, constraints: None }
    }
}

impl Field {
    /// An optional field without default.
    pub fn new(name: &str, node: NodeId) -> Self {
        Self::named(name.into(), node)
    }

    /// The same, with a name that others share.
    pub(crate) fn named(name: Arc<str>, node: NodeId) -> Self {
        Self {
            order: order(&name),
            name,
            node,
            required: false,
            default: None,
            default_zero: false,
            atomic: false,
            retain_keys: false,
            replace: false,
            nullable: false,
            shape: super::Shape::Pointer,
            zero: super::Zero::Absent,
        }
    }
}

impl Types {
    /// An empty table on top of `base`, whose numbers stay valid.
    pub fn on(base: Arc<Types>) -> Self {
        let offset = base.offset + u32::try_from(base.nodes.len()).unwrap_or(u32::MAX);
        Self { base: Some(base), offset, ..Self::default() }
    }

    /// A table on top of `base` whose nodes are made when they are needed first; the root is the first of them.
    pub(crate) fn later(base: Arc<Types>, make: Make) -> Self {
        let later = Later { make: Mutex::new(Some(make)), made: OnceLock::new() };
        Self { later: Some(later), ..Self::on(base) }
    }

    /// The number of the first node of this table.
    pub(crate) fn first(&self) -> NodeId {
        self.offset
    }

    /// Whether its nodes are there: what nobody uses costs nothing.
    pub fn is_made(&self) -> bool {
        self.later.as_ref().is_none_or(|later| later.made.get().is_some())
    }

    fn nodes(&self) -> &[Node] {
        let Some(later) = &self.later else { return &self.nodes };
        later.made.get_or_init(|| {
            let make = later.make.lock().unwrap_or_else(PoisonError::into_inner).take();
            make.map(|make| make(self)).unwrap_or_default()
        })
    }

    /// Says that objects of this table write their status through a subresource.
    pub fn set_status_apart(&mut self, apart: bool) {
        self.status_apart = apart;
    }

    /// Whether status is written through a subresource: all built-in kinds, and custom ones that say so.
    pub fn status_apart(&self) -> bool {
        self.status_apart
    }

    /// Adds a node.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = self.offset + u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(name) = &node.name {
            self.names.insert(name.clone(), id);
        }
        self.nodes.push(node);
        id
    }

    /// Replaces a node of this table (not of its base).
    pub(crate) fn set(&mut self, id: NodeId, node: Node) {
        if let Some(slot) = self.nodes.get_mut((id - self.offset) as usize) {
            *slot = node;
        }
    }

    /// The node with that number; a number from another table gives a node that accepts anything.
    pub fn node(&self, id: NodeId) -> &Node {
        static ANY: Node = Node { name: None, kind: NodeKind::Any, atomic: false, constraints: None };
        let mut table = self;
        while id < table.offset {
            match &table.base {
                Some(base) => table = base,
                None => return &ANY,
            }
        }
        table.nodes().get((id - table.offset) as usize).unwrap_or(&ANY)
    }

    /// Whether defaulting may change a value of that type; of custom kinds' own types it is not known.
    pub(crate) fn has_defaults(&self, id: NodeId) -> bool {
        let mut table = self;
        while id < table.offset {
            match &table.base {
                Some(base) => table = base,
                None => return true,
            }
        }
        if table.base.is_some() {
            return true;
        }
        let known = table.defaulted.get_or_init(|| super::default::defaulted(&table.nodes));
        known.get(id as usize).copied().unwrap_or(true)
    }

    /// Whether the node is one of a built-in kind's types, not of a custom one's.
    pub fn is_built_in(&self, id: NodeId) -> bool {
        match &self.base {
            Some(_) => id < self.offset,
            None => (id as usize) < self.nodes.len(),
        }
    }

    /// The definition with that name (without `io.k8s.`).
    pub fn named(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied().or_else(|| self.base.as_ref()?.named(name))
    }

    /// All definitions of this table.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, NodeId)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// A struct's field.
    pub fn field(&self, id: NodeId, name: &str) -> Option<&Field> {
        match &self.node(id).kind {
            NodeKind::Struct { fields, .. } => find(fields, name),
            _ => None,
        }
    }

    /// The type below `id` under `name`; a list's items are looked into.
    pub fn step(&self, id: NodeId, name: &str) -> Option<NodeId> {
        match &self.node(id).kind {
            NodeKind::Struct { fields, rest, .. } => find(fields, name).map(|f| f.node).or(*rest),
            NodeKind::Map(value) => Some(*value),
            NodeKind::List { item, .. } => self.step(*item, name),
            NodeKind::Any | NodeKind::Scalar(_) => None,
        }
    }
}

/// The first eight bytes of a name as a number; shorter names come first, as texts do.
fn order(name: &str) -> u64 {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(name.as_bytes()) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}

/// A field by name, in a sorted list.
pub(crate) fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    let wanted = order(name);
    let compare = |field: &Field| field.order.cmp(&wanted).then_with(|| (*field.name).cmp(name));
    fields.binary_search_by(compare).ok().and_then(|at| fields.get(at))
}
