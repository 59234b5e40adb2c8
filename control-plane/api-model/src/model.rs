//! The model of one Kubernetes minor version: every resource a default server of it serves.

use crate::corpus::{self, Corpus};
use crate::openapi::Documents;
use crate::protobuf::Messages;
use crate::resource::{Group, Resource};
use crate::schema::{NodeId, Schema, Types};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No corpus for that minor version is built in.
    #[error("kubernetes {0} is not known; known: 1.35")]
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
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({}, {} resources)", self.minor, self.corpus.resources.len())
    }
}

impl Model {
    /// Reads the corpus of a minor version (`1.35`). Takes a few milliseconds; keep the result and share it.
    pub fn load(minor: &str) -> Result<Arc<Model>, ModelError> {
        let (text, prose, numbers): (&str, &'static [u8], &'static str) = match minor {
            "1.35" => (
                include_str!("../corpus/1.35.model"),
                include_bytes!("../corpus/1.35.prose.zst"),
                include_str!("../corpus/1.35.protobuf"),
            ),
            _ => return Err(ModelError::UnknownMinor(minor.to_owned())),
        };
        let corpus = corpus::parse(text)?;
        let key = |r: &Resource, name: &str| (r.group.clone(), r.version.clone(), name.to_owned());
        let numbered = || corpus.resources.iter().enumerate();
        Ok(Arc::new(Model {
            minor: minor.to_owned(),
            by_plural: numbered().map(|(i, r)| (key(r, &r.plural), i)).collect(),
            by_kind: numbered().map(|(i, r)| (key(r, &r.kind), i)).collect(),
            documents: Documents::new(prose),
            numbers,
            messages: OnceLock::new(),
            corpus,
        }))
    }

    /// The minor version, `1.35`.
    pub fn minor(&self) -> &str {
        &self.minor
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

    /// The OpenAPI v3 document of a group and version (`api/v1`, `apis/apps/v1`), made at the first request and kept.
    pub fn openapi_v3(&self, path: &str) -> Option<Bytes> {
        self.documents.v3(self, path)
    }

    /// The paths [`Self::openapi_v3`] answers.
    pub fn openapi_v3_paths(&self) -> Vec<String> {
        let mut paths = vec!["api".to_owned(), "apis".to_owned(), "version".to_owned()];
        for group in &self.corpus.groups {
            for version in &group.versions {
                paths.push(if group.name.is_empty() {
                    format!("api/{version}")
                } else {
                    format!("apis/{}/{version}", group.name)
                });
            }
        }
        paths
    }

    /// The OpenAPI v2 document as JSON, made at the first request and kept.
    pub fn openapi_v2(&self) -> Bytes {
        self.documents.v2(self)
    }

    /// Field numbers of the binary form, read at the first use and kept.
    pub(crate) fn messages(&self) -> &Messages {
        self.messages.get_or_init(|| Messages::parse(self.numbers))
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
