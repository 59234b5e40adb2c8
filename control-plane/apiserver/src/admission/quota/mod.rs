//! ResourceQuota: what a namespace may hold in all.
//!
//! A charge is written into `status.used` before the object is stored, and only if the quota is as it was read: two requests at
//! once cannot both take the last place, through one server or several. What goes, or ends, gives back at once; the controller
//! counts anew when limits change. A charge whose write fails afterwards stays until then, as upstream.

mod scopes;
mod usage;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api_model::Resource;
use api_model::quantity::Quantity;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::resources::{Amounts, amounts};
use super::{Backend, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, Part, text};

/// How often a quota that somebody else changed meanwhile is read again.
const ATTEMPTS_MAX: usize = 8;

/// The plugin.
pub(super) struct Quota {
    objects: Arc<dyn Objects>,
    backend: Arc<dyn Backend>,
    /// One charge at a time in a namespace: waiting here is cheaper than losing the race in the store.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a request takes.
struct Charge<'a> {
    group: &'a str,
    plural: &'a str,
    object: &'a Value,
    takes: Amounts,
}

/// A quota as it is counted with.
struct Running {
    quota: Arc<Value>,
    hard: Amounts,
    used: Amounts,
}

impl Quota {
    pub fn new(objects: Arc<dyn Objects>, backend: Arc<dyn Backend>) -> Self {
        Self { objects, backend, turns: Mutex::default() }
    }

    fn quotas(&self, namespace: &str) -> Vec<Arc<Value>> {
        if namespace.is_empty() {
            return Vec::new();
        }
        self.objects.list("", "resourcequotas", Some(namespace))
    }

    fn turn(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().entry(namespace.to_owned()).or_default().clone()
    }

    /// Charges a creation, or a change of what is counted, to every quota it concerns.
    pub async fn charge(&self, request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
        let (group, plural) = (request.resource.group.as_str(), request.resource.plural.as_str());
        let Some(object) = request.object.as_deref() else { return Ok(()) };
        let ends = (group, plural, request.subresource, request.operation)
            == ("", "pods", "status", Operation::Update);
        if request.namespace.is_empty()
            || !(ends || counts(request))
            || self.quotas(request.namespace).is_empty()
        {
            return Ok(());
        }
        let mut takes = usage::of(group, plural, object);
        if let Some(old) = request.old.filter(|_| request.operation == Operation::Update) {
            for (name, had) in usage::of(group, plural, old) {
                let now = takes.get(&name).copied().unwrap_or(Quantity::ZERO);
                takes.insert(name, now.sub(&had));
            }
            takes.retain(|_, amount| !amount.is_zero());
        }
        if ends {
            // A pod that ends gives back; nothing that its status says takes.
            takes.retain(|_, amount| amount.sign() < 0);
        }
        if takes.is_empty() {
            return Ok(());
        }
        let charge = Charge { group, plural, object, takes };
        let turn = self.turn(request.namespace);
        let _turn = turn.lock().await;
        self.book(request.namespace, &charge, Some(request)).await
    }

    /// Gives back what an object took that is gone.
    pub async fn release(&self, resource: &Resource, old: &Value) {
        let namespace = text(old, "/metadata/namespace");
        if !resource.namespaced || self.quotas(namespace).is_empty() {
            return;
        }
        let mut takes = usage::of(&resource.group, &resource.plural, old);
        takes.values_mut().for_each(|amount| *amount = Quantity::ZERO.sub(amount));
        let charge = Charge { group: &resource.group, plural: &resource.plural, object: old, takes };
        let turn = self.turn(namespace);
        let _turn = turn.lock().await;
        if let Err(error) = self.book(namespace, &charge, None).await {
            tracing::warn!(namespace, %error, "a quota was not given back what an object took");
        }
    }

    /// Writes a charge; with a request, only if everything fits.
    async fn book(
        &self,
        namespace: &str,
        charge: &Charge<'_>,
        request: Option<&AdmissionRequest<'_>>,
    ) -> Result<(), ApiError> {
        let mut booked: BTreeSet<String> = BTreeSet::new();
        for _ in 0..ATTEMPTS_MAX {
            let mut changed = Vec::new();
            for quota in self.quotas(namespace) {
                let name = text(&quota, "/metadata/name").to_owned();
                if booked.contains(&name)
                    || !scopes::counts(&quota, charge.group, charge.plural, charge.object)
                {
                    continue;
                }
                let mut running = self.running(namespace, quota);
                if let Some(request) = request {
                    running.check(request, charge)?;
                }
                if running.take(&charge.takes) {
                    changed.push((name, running));
                }
            }
            if request.is_some_and(|request| request.dry_run()) {
                return Ok(());
            }
            let mut lost = false;
            for (name, running) in changed {
                match self.backend.store_quota(&running.quota, running.status()).await? {
                    true => drop(booked.insert(name)),
                    false => lost = true,
                }
            }
            if !lost {
                return Ok(());
            }
        }
        Err(ApiError::conflict(
            "",
            "resourcequotas",
            "",
            "the object has been modified; please apply your changes to the latest version and try again",
        ))
    }

    /// The limits that are in force, and what is used; what the status does not say is counted.
    fn running(&self, namespace: &str, quota: Arc<Value>) -> Running {
        let mut hard = amounts(quota.part("/status/hard"));
        if hard.is_empty() {
            hard = amounts(quota.part("/spec/hard"));
        }
        let known = amounts(quota.part("/status/used"));
        let mut used = Amounts::new();
        for name in hard.keys() {
            let amount = known.get(name).copied().unwrap_or_else(|| self.count(namespace, &quota, name));
            used.insert(name.clone(), amount);
        }
        Running { quota, hard, used }
    }

    fn count(&self, namespace: &str, quota: &Value, resource: &str) -> Quantity {
        let (group, plural) = usage::counted(resource);
        let objects = self.objects.list(group, plural, Some(namespace));
        let counting = objects.iter().filter(|object| scopes::counts(quota, group, plural, object));
        let each = counting.filter_map(|object| usage::of(group, plural, object).get(resource).copied());
        each.fold(Quantity::ZERO, |sum, amount| sum.add(&amount))
    }
}

/// Whether the request is one that quota counts.
fn counts(request: &AdmissionRequest<'_>) -> bool {
    let core = request.resource.group.is_empty();
    match (request.resource.plural.as_str(), request.subresource, request.operation) {
        ("pods", "resize", Operation::Update) if core => true,
        ("services" | "persistentvolumeclaims", "", Operation::Update) if core => true,
        ("resourceclaims", "", Operation::Update) if request.resource.group == "resource.k8s.io" => true,
        (_, "", Operation::Create) => true,
        _ => false,
    }
}

/// `a=1,b=2`, in order of names.
fn listed<'a>(amounts: impl Iterator<Item = (&'a String, &'a Quantity)>) -> String {
    amounts.map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

impl Running {
    fn check(&self, request: &AdmissionRequest<'_>, charge: &Charge<'_>) -> Result<(), ApiError> {
        let name = text(&self.quota, "/metadata/name");
        if charge.plural == "pods" && charge.group.is_empty() && request.subresource != "status" {
            let missing = usage::unspecified(self.hard.keys(), charge.object);
            if !missing.is_empty() {
                return Err(forbid(request, &format!("failed quota: {name}: must specify {missing}")));
            }
        }
        let over = |resource: &String, take: &Quantity| {
            let (Some(most), Some(used)) = (self.hard.get(resource), self.used.get(resource)) else {
                return false;
            };
            take.sign() > 0 && used.add(take) > *most
        };
        let beyond: Vec<&String> = charge
            .takes
            .iter()
            .filter(|(resource, take)| over(resource, take))
            .map(|(name, _)| name)
            .collect();
        if beyond.is_empty() {
            return Ok(());
        }
        let of = |amounts: &Amounts| listed(amounts.iter().filter(|(resource, _)| beyond.contains(resource)));
        let why = format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            of(&charge.takes),
            of(&self.used),
            of(&self.hard)
        );
        Err(forbid(request, &why))
    }

    /// Adds a charge; says whether anything is different now.
    fn take(&mut self, takes: &Amounts) -> bool {
        let mut changed = false;
        for (name, amount) in takes {
            if let Some(used) = self.used.get_mut(name).filter(|_| !amount.is_zero()) {
                let sum = used.add(amount);
                let sum = if sum.sign() < 0 { Quantity::ZERO } else { sum };
                changed |= sum != *used;
                *used = sum;
            }
        }
        changed
    }

    fn status(&self) -> Value {
        let list = |amounts: &Amounts| -> Map<String, Value> {
            amounts.iter().map(|(name, amount)| (name.clone(), json!(amount.canonical()))).collect()
        };
        json!({"hard": list(&self.hard), "used": list(&self.used)})
    }
}

#[cfg(test)]
mod tests;
