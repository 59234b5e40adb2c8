//! Encryption at rest, as a layer over any store.
//!
//! Values of chosen resources are sealed with AES-256-GCM before the store below sees them, each bound to its key's name: a value moved
//! to another key does not open. Which resources, and what else may be read, is told as upstream's `EncryptionConfiguration` tells it: the
//! first provider writes, all of them read, so that plain values written before can still be read, and new ones plainly again.
//!
//! ```text
//! lz:enc:aesgcm:v1:<key id>:  salt (16)  nonce (12)  ciphertext and tag
//! ```
//!
//! The key that seals is derived from the key encryption key and a salt made at each start, and counts its nonces, so that none occurs twice.
//! Names, revisions and sizes are not hidden, nor what is in memory.

mod keyring;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;

pub use self::keyring::{FileKeys, KeyError, KeySource, Keyring};
use self::seal::Sealer;
use crate::{
    Batch, Committed, Event, KeyValue, LeaseId, Op, Range, RangeResult, Revision, Store, StoreError, Txn,
    WatchStream,
};

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Sealed with the keyring.
    AesGcm,
    /// As they are.
    Identity,
}

/// How some resources are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `secrets`, `deployments.apps`, `*.apps` (a group), `*.` (the core group) or `*.*` (all).
    pub resources: Vec<String>,
    /// The first one writes, all read.
    pub providers: Vec<Provider>,
}

/// How resources are stored; of several rules for one the first counts. What none is for is stored as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Configuration {
    /// These resources are sealed; what was stored plainly before is still read.
    pub fn seal<'a>(resources: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            rules: vec![Rule {
                resources: resources.into_iter().map(str::to_owned).collect(),
                providers: vec![Provider::AesGcm, Provider::Identity],
            }],
        }
    }

    /// The providers of the resource a key belongs to.
    fn of(&self, key: &str) -> &[Provider] {
        let Some((group, plural)) = resource_of(key) else { return &[Provider::Identity] };
        let group = if group == "core" { "" } else { group };
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.resources.iter().any(|pattern| matches(pattern, group, plural)));
        rule.map_or(&[Provider::Identity], |rule| &rule.providers)
    }
}

/// Group and plural of `/registry/<group or core>/<plural>/…`.
fn resource_of(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.strip_prefix("/registry/")?.split('/');
    Some((parts.next()?, parts.next()?))
}

fn matches(pattern: &str, group: &str, plural: &str) -> bool {
    match pattern.split_once('.') {
        Some(("*", "*")) => true,
        Some(("*", of)) => of == group,
        Some((resource, of)) => resource == plural && of == group,
        None => pattern == plural && group.is_empty(),
    }
}

/// A store whose values are sealed.
pub struct Encrypted {
    inner: Arc<dyn Store>,
    opener: Arc<Opener>,
}

struct Opener {
    configuration: Configuration,
    sealer: RwLock<Arc<Sealer>>,
}

impl Opener {
    fn seal(&self, key: &Arc<str>, value: &bytes::Bytes) -> Result<bytes::Bytes, StoreError> {
        match self.configuration.of(key).first() {
            Some(Provider::AesGcm) => self.sealer.read().seal(key, value),
            _ => Ok(value.clone()),
        }
    }

    fn open(&self, kv: KeyValue) -> Result<KeyValue, StoreError> {
        if seal::key_id(&kv.value).is_some() {
            let sealer = self.sealer.read().clone();
            let value = sealer.open(&kv.key, &kv.value)?;
            return Ok(KeyValue { value, ..kv });
        }
        if self.configuration.of(&kv.key).contains(&Provider::Identity) {
            return Ok(kv);
        }
        Err(seal::failed("decrypt", &kv.key, "it is stored plainly, which is not allowed"))
    }

    fn batch(&self, batch: Batch) -> Result<Batch, StoreError> {
        let sealed = |kv: &KeyValue| seal::key_id(&kv.value).is_some() || !self.is_plain(&kv.key);
        if !batch.events.iter().any(|event| sealed(&event.kv) || event.previous.as_ref().is_some_and(sealed))
        {
            return Ok(batch);
        }
        let open = |event: &Event| {
            Ok(Event {
                kind: event.kind,
                kv: self.open(event.kv.clone())?,
                previous: event.previous.clone().map(|kv| self.open(kv)).transpose()?,
            })
        };
        let events: Result<Vec<Event>, StoreError> = batch.events.iter().map(open).collect();
        Ok(Batch { revision: batch.revision, events: events?.into() })
    }

    fn is_plain(&self, key: &str) -> bool {
        self.configuration.of(key).contains(&Provider::Identity)
    }
}

/// Whether a store holds a value that is sealed: without its keys such a store is lost, and new ones would only hide that.
///
/// # Errors
/// When the store fails.
pub async fn holds_sealed(store: &dyn Store) -> Result<bool, StoreError> {
    let mut range = Range { prefix: "/registry/".into(), limit: RESEAL_PAGE, ..Range::default() };
    loop {
        let page = store.range(range.clone()).await?;
        if page.items.iter().any(|kv| seal::key_id(&kv.value).is_some()) {
            return Ok(true);
        }
        range.start_after = page.items.last().map(|kv| kv.key.to_string());
        if page.remaining == 0 || page.items.is_empty() {
            return Ok(false);
        }
    }
}

/// Keys read at once when values are sealed anew.
const RESEAL_PAGE: usize = 500;

impl Encrypted {
    /// Seals what `inner` is given, with the keys of `keyring`.
    pub fn new(inner: Arc<dyn Store>, configuration: Configuration, keyring: &Keyring) -> Arc<Self> {
        let sealer = RwLock::new(Arc::new(Sealer::new(keyring)));
        Arc::new(Self { inner, opener: Arc::new(Opener { configuration, sealer }) })
    }

    /// From now on these keys; watches that run use them too. Keep the old ones until [`reseal`](Self::reseal) is done.
    pub fn use_keys(&self, keyring: &Keyring) {
        *self.opener.sealer.write() = Arc::new(Sealer::new(keyring));
    }

    /// Writes every value again that is not stored as the configuration and the newest key have it. Gives how many were. After that
    /// older keys open nothing any more. What others change meanwhile is stored rightly by that.
    ///
    /// # Errors
    /// When a value cannot be opened, or the store fails.
    pub async fn reseal(&self) -> Result<u64, StoreError> {
        let mut range = Range { prefix: "/registry/".into(), limit: RESEAL_PAGE, ..Range::default() };
        let mut changed = 0;
        loop {
            let page = self.inner.range(range.clone()).await?;
            range.start_after = page.items.last().map(|kv| kv.key.to_string());
            for kv in page.items {
                if self.is_right(&kv) {
                    continue;
                }
                let (key, mod_revision, lease) = (kv.key.clone(), kv.mod_revision, kv.lease);
                let value = self.opener.open(kv)?.value;
                let mut txn = Txn::update(key, mod_revision, value);
                if let Some(Op::Put { lease: of, .. }) = txn.ops.first_mut() {
                    *of = lease;
                }
                if let Committed::Succeeded { .. } = self.commit(txn).await? {
                    changed += 1;
                }
            }
            if page.remaining == 0 {
                return Ok(changed);
            }
        }
    }

    fn is_right(&self, kv: &KeyValue) -> bool {
        let stored = seal::key_id(&kv.value);
        match self.opener.configuration.of(&kv.key).first() {
            Some(Provider::AesGcm) => stored.is_some_and(|id| self.opener.sealer.read().is_newest(id)),
            _ => stored.is_none(),
        }
    }
}

#[async_trait]
impl Store for Encrypted {
    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError> {
        let (found, revision) = self.inner.get(key).await?;
        Ok((found.map(|kv| self.opener.open(kv)).transpose()?, revision))
    }

    async fn range(&self, range: Range) -> Result<RangeResult, StoreError> {
        let mut found = self.inner.range(range).await?;
        found.items = found.items.into_iter().map(|kv| self.opener.open(kv)).collect::<Result<_, _>>()?;
        Ok(found)
    }

    async fn commit(&self, mut txn: Txn) -> Result<Committed, StoreError> {
        for op in &mut txn.ops {
            if let Op::Put { key, value, .. } = op {
                *value = self.opener.seal(key, value)?;
            }
        }
        Ok(match self.inner.commit(txn).await? {
            Committed::Conflict { current } => {
                let open = |kv: Option<KeyValue>| kv.map(|kv| self.opener.open(kv)).transpose();
                Committed::Conflict { current: current.into_iter().map(open).collect::<Result<_, _>>()? }
            }
            succeeded @ Committed::Succeeded { .. } => succeeded,
        })
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError> {
        let opener = self.opener.clone();
        Ok(self.inner.watch(prefix, from).await?.map(move |batch| opener.batch(batch)))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        self.inner.compact(at).await
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.inner.grant_lease(ttl).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke_lease(lease).await
    }
}

#[cfg(test)]
mod tests;
