//! The model of one Kubernetes minor version: every resource a default server of it serves.

use crate::corpus::{self, Corpus, Query};
use crate::openapi::Documents;
use crate::protobuf::Messages;
use crate::resource::{Group, Resource};
use crate::schema::{NodeId, Schema, Types};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Minor versions whose corpus is built in, oldest first.
pub const MINORS: [&str; 3] = ["1.34", "1.35", "1.36"];

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No corpus for that minor version is built in.
    #[error("kubernetes {0} is not known; known: {known}", known = MINORS.join(", "))]
    UnknownMinor(String),
    /// The built-in corpus is damaged.
    #[error("the corpus is damaged at: {0}")]
    Corpus(String),
}

/// The model. Immutable; one [`Arc`] serves all clusters of the minor version.
pub struct Model {
    minor: String,
    corpus: Corpus,
    by_plural: HashMap<(String, String, String), usize>,
    by_kind: HashMap<(String, String, String), usize>,
    documents: Documents,
    numbers: &'static str,
    messages: OnceLock<Messages>,
    digest: OnceLock<String>,
}

/// The three files of a corpus: types and resources, prose, field numbers.
type Files = (&'static str, &'static [u8], &'static str);

fn files(minor: &str) -> Option<Files> {
    macro_rules! files {
        ($minor:literal) => {
            (
                include_str!(concat!("../corpus/", $minor, ".model")),
                include_bytes!(concat!("../corpus/", $minor, ".prose.zst")),
                include_str!(concat!("../corpus/", $minor, ".protobuf")),
            )
        };
    }
    Some(match minor {
        "1.34" => files!("1.34"),
        "1.35" => files!("1.35"),
        "1.36" => files!("1.36"),
        _ => return None,
    })
}

/// The models in use: whoever asks for one of them shares it.
static LOADED: Mutex<Vec<Weak<Model>>> = Mutex::new(Vec::new());

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({}, {} resources)", self.minor, self.corpus.resources.len())
    }
}

impl Model {
    /// The model of a minor version (`1.35`): the one that is in use, or read anew. Reading takes some milliseconds; a model
    /// that nobody holds any more is let go.
    ///
    /// # Errors
    /// When the minor version is none of [`MINORS`].
    pub fn load(minor: &str) -> Result<Arc<Model>, ModelError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|model| model.strong_count() > 0);
        if let Some(found) = loaded.iter().filter_map(Weak::upgrade).find(|model| model.minor == minor) {
            return Ok(found);
        }
        let model = Arc::new(Self::read(minor)?);
        loaded.push(Arc::downgrade(&model));
        Ok(model)
    }

    fn read(minor: &str) -> Result<Model, ModelError> {
        let (text, prose, numbers) =
            files(minor).ok_or_else(|| ModelError::UnknownMinor(minor.to_owned()))?;
        let corpus = corpus::parse(text)?;
        let key = |r: &Resource, name: &str| (r.group.clone(), r.version.clone(), name.to_owned());
        let numbered = || corpus.resources.iter().enumerate();
        Ok(Model {
            minor: minor.to_owned(),
            by_plural: numbered().map(|(i, r)| (key(r, &r.plural), i)).collect(),
            by_kind: numbered().map(|(i, r)| (key(r, &r.kind), i)).collect(),
            documents: Documents::new(prose),
            numbers,
            messages: OnceLock::new(),
            digest: OnceLock::new(),
            corpus,
        })
    }

    /// The minor version, `1.35`.
    pub fn minor(&self) -> &str {
        &self.minor
    }

    /// A hash of all that is in the corpus and of what makes documents of it: what is derived from a model with the same
    /// digest is the same.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let mut hash = Sha256::new();
            hash.update(env!("CARGO_PKG_VERSION"));
            if let Some((text, prose, numbers)) = files(&self.minor) {
                hash.update(text);
                hash.update(prose);
                hash.update(numbers);
            }
            hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// Every resource of every group and version, in discovery order.
    pub fn resources(&self) -> &[Resource] {
        &self.corpus.resources
    }

    /// A resource by group, version and plural name.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        let at = self.by_plural.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))?;
        self.corpus.resources.get(*at)
    }

    /// A resource by group, version and kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Resource> {
        let at = self.by_kind.get(&(group.to_owned(), version.to_owned(), kind.to_owned()))?;
        self.corpus.resources.get(*at)
    }

    /// Groups in discovery order, each with its versions, preferred first. The old group has an empty name.
    pub fn groups(&self) -> Vec<Group> {
        self.corpus.groups.clone()
    }

    /// The table of types, for custom kinds to build on.
    pub fn types(&self) -> &Arc<Types> {
        &self.corpus.types
    }

    /// The schema of a definition by its full name without `io.k8s.` (`apimachinery.pkg.apis.meta.v1.DeleteOptions`), or of a kind that
    /// is no resource (`Eviction`, `Scale`, `TokenRequest`).
    pub fn definition(&self, name: &str) -> Option<Schema> {
        Some(Schema::new(self.corpus.types.clone(), self.corpus.types.named(name)?))
    }

    /// The schema of any kind, also of those that only subresources speak.
    pub fn kind_schema(&self, group: &str, version: &str, kind: &str) -> Option<Schema> {
        if let Some(resource) = self.by_kind(group, version, kind) {
            return Some((*resource.schema).clone());
        }
        let gvk = format!("{group}/{version}/{kind}");
        let id = self.corpus.gvks.iter().find(|(_, known)| **known == gvk).map(|(id, _)| *id)?;
        Some(Schema::new(self.corpus.types.clone(), id))
    }

    /// Field numbers of the binary form, read at the first use and kept.
    pub(crate) fn messages(&self) -> &Messages {
        self.messages.get_or_init(|| Messages::parse(self.numbers))
    }

    /// What a column says that most kinds have (`Name`, `Age`, `Created At`).
    pub(crate) fn usual_column(&self, name: &str) -> Arc<str> {
        self.corpus.usual.get(name).cloned().unwrap_or_default()
    }

    /// Query parameters of a verb, or of a subresource that connects.
    pub(crate) fn queries<'a>(&'a self, usage: &'a str) -> impl Iterator<Item = &'a Query> {
        self.corpus.queries.iter().filter(move |query| query.usage == usage)
    }

    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    pub(crate) fn order(&self) -> &[(NodeId, Vec<Arc<str>>)] {
        &self.corpus.order
    }

    pub(crate) fn gvk(&self, id: NodeId) -> Option<&str> {
        self.corpus.gvks.get(&id).map(String::as_str)
    }
}
