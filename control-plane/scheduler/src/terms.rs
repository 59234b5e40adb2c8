//! Counting pods by topology: how many pods that a term selects run where a label has a value.
//!
//! A term is counted from the first time it is asked for and kept up to date as pods come and go.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use informers::selector::{self, Labels};
use k8s_openapi::api::core::v1::PodAffinityTerm;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Terms that are counted at once; beyond it all counts start anew.
const TERMS_MAX: usize = 1024;

/// Which pods, counted by which label of their nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    /// Identity of the term, for look-up.
    pub id: String,
    pub topology_key: String,
    pub namespaces: BTreeSet<String>,
    pub namespace_selector: Option<LabelSelector>,
    pub selector: Option<LabelSelector>,
}

impl Term {
    pub fn new(
        topology_key: &str,
        namespaces: BTreeSet<String>,
        namespace_selector: Option<LabelSelector>,
        selector: Option<LabelSelector>,
    ) -> Self {
        let id = format!(
            "{topology_key}|{namespaces:?}|{:?}|{:?}",
            namespace_selector.as_ref().map(selector::query),
            selector.as_ref().map(selector::query)
        );
        Self { id, topology_key: topology_key.to_owned(), namespaces, namespace_selector, selector }
    }

    /// The term of a pod's affinity, which means the pod's own namespace unless it says otherwise.
    pub fn of_affinity(term: &PodAffinityTerm, namespace: &str) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Self::new(
            &term.topology_key,
            namespaces,
            term.namespace_selector.clone(),
            term.label_selector.clone(),
        )
    }

    /// Whether the term selects a pod with these labels in this namespace. No selector selects nothing.
    pub fn selects(&self, namespace: &str, labels: &Labels, namespaces: &HashMap<String, Labels>) -> bool {
        let Some(selector) = &self.selector else { return false };
        let here = self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|s| {
                selector::is_empty(s)
                    || namespaces.get(namespace).is_some_and(|labels| selector::matches(s, labels))
            });
        here && selector::matches(selector, labels)
    }
}

/// Numbers by value of a topology label.
pub(crate) type ByValue = HashMap<String, i64>;

/// Such numbers as they were when they were asked for.
pub(crate) type Counts = Arc<ByValue>;

/// Counts of the terms that have been asked for.
#[derive(Default)]
pub(crate) struct Counted {
    terms: HashMap<String, (Term, Counts)>,
}

impl Counted {
    /// The counts of a term, if it is being counted.
    pub fn get(&self, term: &Term) -> Option<Counts> {
        self.terms.get(&term.id).map(|(_, counts)| counts.clone())
    }

    /// Begins to count a term; `counts` are those of the pods there are.
    pub fn begin(&mut self, term: Term, counts: Counts) {
        if self.terms.len() >= TERMS_MAX {
            self.terms.clear();
        }
        self.terms.insert(term.id.clone(), (term, counts));
    }

    /// A pod came to (`by` 1) or left (`by` -1) a node with these labels.
    pub fn change(
        &mut self,
        pod: (&str, &Labels),
        node: &Labels,
        namespaces: &HashMap<String, Labels>,
        by: i64,
    ) {
        for (term, counts) in self.terms.values_mut() {
            if let Some(value) = node.get(&term.topology_key)
                && term.selects(pod.0, pod.1, namespaces)
            {
                bump(Arc::make_mut(counts), value, by);
            }
        }
    }

    /// Labels of nodes or namespaces have changed: all counts start anew.
    pub fn clear(&mut self) {
        self.terms.clear();
    }
}

fn bump(counts: &mut ByValue, value: &str, by: i64) {
    match counts.get_mut(value) {
        Some(count) => {
            *count += by;
            if *count == 0 {
                counts.remove(value);
            }
        }
        None => {
            counts.insert(value.to_owned(), by);
        }
    }
}

/// Terms that running pods carry, with where those pods run and what they weigh there.
#[derive(Default)]
pub(crate) struct Carried {
    terms: HashMap<String, (Term, Counts, i64)>,
}

impl Carried {
    /// A pod that carries `term` came to or left a node with these labels.
    pub fn change(&mut self, term: &Term, weight: i64, node: &Labels, by: i64) {
        let Some(value) = node.get(&term.topology_key) else { return };
        let (_, counts, pods) =
            self.terms.entry(term.id.clone()).or_insert_with(|| (term.clone(), Counts::default(), 0));
        bump(Arc::make_mut(counts), value, by * weight);
        *pods += by;
        if *pods <= 0 {
            self.terms.remove(&term.id);
        }
    }

    /// The carried terms that select this pod: by which label, and how much at which value.
    pub fn selecting<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a Labels,
        namespaces: &'a HashMap<String, Labels>,
    ) -> impl Iterator<Item = (&'a str, &'a Counts)> {
        self.terms
            .values()
            .filter(move |(term, _, _)| term.selects(namespace, labels, namespaces))
            .map(|(term, counts, _)| (term.topology_key.as_str(), counts))
    }
}
