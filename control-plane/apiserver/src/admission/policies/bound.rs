//! Policies with their bindings, read and compiled once per generation, whatever they do.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::admission::derived::Derived;
use crate::admission::matching::Matcher;
use crate::attributes::{Objects, text, texts};

/// What is compiled of a policy.
pub(super) trait Expressions {
    /// Of its `spec`.
    fn of(spec: &Value) -> Self;
}

/// A policy that is bound somewhere.
pub(super) struct Policy<C> {
    pub name: String,
    pub matcher: Matcher,
    /// What cannot be evaluated does not count.
    pub ignores: bool,
    /// Group, version and kind of parameters.
    pub param_kind: Option<(String, String, String)>,
    pub compiled: Arc<C>,
    pub bindings: Vec<Binding>,
}

/// Where and how a policy applies.
pub(super) struct Binding {
    pub name: String,
    pub matcher: Option<Matcher>,
    /// `paramRef`.
    pub param: Option<Value>,
    /// Of policies that judge.
    pub actions: Vec<String>,
}

impl Binding {
    fn of(binding: &Value) -> Self {
        let stated = |field: &str| binding["spec"].get(field).filter(|one| one.is_object());
        Self {
            name: text(binding, "/metadata/name").to_owned(),
            matcher: stated("matchResources").map(|one| Matcher::of_match_resources(one, true)),
            param: stated("paramRef").cloned(),
            actions: texts(binding, "/spec/validationActions"),
        }
    }
}

/// Group, version and kind of a policy's parameters.
pub(super) fn param_kind(spec: &Value) -> Option<(String, String, String)> {
    let kind = spec.get("paramKind").filter(|kind| kind.is_object())?;
    let version = text(kind, "/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Some((group.to_owned(), version.to_owned(), text(kind, "/kind").to_owned()))
}

/// All bound policies of a kind.
pub(super) struct Bound<C: 'static> {
    /// Group and plural of the policies, then of their bindings.
    kinds: &'static [(&'static str, &'static str); 2],
    policies: Derived<Vec<Policy<C>>>,
    /// By the policy's name and uid, with the generation it was compiled of.
    compiled: Mutex<HashMap<String, (i64, Arc<C>)>>,
}

impl<C: Expressions> Bound<C> {
    pub fn new(kinds: &'static [(&'static str, &'static str); 2]) -> Self {
        Self { kinds, policies: Derived::new(kinds), compiled: Mutex::default() }
    }

    /// The policies, in order of their names.
    pub fn all(&self, objects: &dyn Objects) -> Arc<Vec<Policy<C>>> {
        self.policies.get(objects, || self.read(objects))
    }

    fn read(&self, objects: &dyn Objects) -> Vec<Policy<C>> {
        let [policies, bindings] = self.kinds.map(|(group, plural)| {
            let mut all = objects.list(group, plural, None);
            all.sort_by_key(|one| text(one, "/metadata/name").to_owned());
            all
        });
        let mut kept = self.compiled.lock();
        let ids: Vec<String> = policies.iter().map(|policy| id_of(policy)).collect();
        kept.retain(|id, _| ids.contains(id));
        let of = |policy: &Arc<Value>| -> Option<Policy<C>> {
            let name = text(policy, "/metadata/name");
            let bound = bindings.iter().filter(|binding| text(binding, "/spec/policyName") == name);
            let bindings: Vec<Binding> = bound.map(|binding| Binding::of(binding)).collect();
            if bindings.is_empty() {
                return None;
            }
            let spec = &policy["spec"];
            let generation = policy["metadata"]["generation"].as_i64().unwrap_or(-1);
            let id = id_of(policy);
            let known = kept.get(&id).filter(|(of, _)| *of == generation && generation >= 0);
            let compiled =
                known.map(|(_, compiled)| compiled.clone()).unwrap_or_else(|| Arc::new(C::of(spec)));
            kept.insert(id, (generation, compiled.clone()));
            Some(Policy {
                name: name.to_owned(),
                matcher: Matcher::of_match_resources(&spec["matchConstraints"], false),
                ignores: text(spec, "/failurePolicy") == "Ignore",
                param_kind: param_kind(spec),
                compiled,
                bindings,
            })
        };
        policies.iter().filter_map(of).collect()
    }
}

fn id_of(policy: &Value) -> String {
    format!("{}/{}", text(policy, "/metadata/name"), text(policy, "/metadata/uid"))
}
