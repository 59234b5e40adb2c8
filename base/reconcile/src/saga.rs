//! A finite deed of named steps, each with an undo, that survives a crash at any point.
//!
//! ```text
//! run:    reserve ─▶ network ─▶ plane ─▶ machines ─▶ done          the journal is written before and
//! undo:   release ◀─ drop    ◀─ stop  ◀─ (failed)                  after each step
//! ```
//!
//! Guarantees: a step that is journaled as done is not run again when the saga resumes; one that had only
//! begun is run again, so steps are idempotent; what a step remembers ([`Memo`]) is durable before the
//! next step begins. Does not: retry within a step (a step that waits for the world does that itself,
//! inside its deadline).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What steps remember for later steps and for their own repetition: names, addresses, generated ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memo(pub Map<String, Value>);

impl Memo {
    /// Remembers a value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// A remembered text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// The remembered text, made and remembered now if it is the first time: a generated id that stays
    /// the same when the step is repeated.
    pub fn text_or_insert(&mut self, key: &str, make: impl FnOnce() -> String) -> String {
        if let Some(text) = self.text(key) {
            return text.to_owned();
        }
        let made = make();
        self.set(key, made.clone());
        made
    }
}

/// One step of a saga over a context `C`, failing with `E`.
#[async_trait]
pub trait Step<C: Sync, E>: Send + Sync {
    /// Its name in the journal, in errors and on timelines; unique within the saga.
    fn name(&self) -> &'static str;

    /// How long one run may take.
    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Does it. May run again after a crash, with what it remembered before.
    async fn run(&self, context: &C, memo: &mut Memo) -> Result<(), E>;

    /// Takes it back. May run although `run` never did or only half, and may run twice.
    async fn undo(&self, context: &C, memo: &Memo) -> Result<(), E> {
        let _ = (context, memo);
        Ok(())
    }
}

/// What a saga does when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo what was done, last first.
    Undo,
    /// Leave it: the deed is repeated later and goes on from there.
    Keep,
}

/// A journaled state of one saga.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The saga's kind.
    pub kind: String,
    /// Steps that are done.
    pub done: BTreeSet<String>,
    /// The step that had begun.
    pub begun: Option<String>,
    /// Whether it is being undone.
    pub undoing: bool,
    /// What the steps remembered.
    pub memo: Memo,
}

/// Where sagas are kept. Writes are durable when they return.
pub trait Journal: Send + Sync {
    /// Stores the state of a saga.
    fn write(&self, id: &str, entry: &Entry) -> Result<(), JournalError>;
    /// The state of a saga, if it has begun and not ended.
    fn read(&self, id: &str) -> Result<Option<Entry>, JournalError>;
    /// Forgets a saga that has ended.
    fn forget(&self, id: &str) -> Result<(), JournalError>;
    /// The sagas that have begun and not ended.
    fn unfinished(&self) -> Result<Vec<(String, Entry)>, JournalError>;
}

/// The journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {deed} the journal of saga `{id}`")]
pub struct JournalError {
    /// `read` or `write`.
    pub deed: &'static str,
    /// Which saga.
    pub id: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// How a saga failed.
#[derive(Debug, thiserror::Error)]
pub enum SagaError<E: std::error::Error + 'static> {
    /// A step failed.
    #[error("step `{step}` failed")]
    Step {
        /// Its name.
        step: &'static str,
        /// Why.
        #[source]
        source: E,
    },
    /// A step did not end in time.
    #[error("step `{step}` did not end within {limit:?}")]
    Late {
        /// Its name.
        step: &'static str,
        /// Its deadline.
        limit: Duration,
    },
    /// The journal failed; nothing was done after that.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl<E: std::error::Error + 'static> SagaError<E> {
    /// The step it failed in.
    pub fn step(&self) -> Option<&'static str> {
        match self {
            SagaError::Step { step, .. } | SagaError::Late { step, .. } => Some(step),
            SagaError::Journal(_) => None,
        }
    }
}

/// Called as steps begin and end: for progress, timelines and injected faults.
pub trait Observer<E>: Send + Sync {
    /// A step begins; an error here is the step's failure.
    fn begins(&self, step: &'static str) -> Result<(), E> {
        let _ = step;
        Ok(())
    }
    /// A step has ended well; an error here is the step's failure (as a crash after the deed would be).
    fn ended(&self, step: &'static str, took: Duration) -> Result<(), E> {
        let _ = (step, took);
        Ok(())
    }
}

/// An observer that does not look.
pub struct Unobserved;
impl<E> Observer<E> for Unobserved {}

/// A saga: a kind, its steps in order, and what happens on failure.
pub struct Saga<C: Sync, E> {
    /// Its name in the journal.
    pub kind: &'static str,
    /// Its steps.
    pub steps: Vec<Arc<dyn Step<C, E>>>,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
}

impl<C, E> Saga<C, E>
where
    C: Send + Sync,
    E: std::error::Error + Send + Sync + 'static,
{
    /// Runs the saga to its end, from where the journal says it was.
    ///
    /// `seed` is what it remembers when it begins for the first time.
    pub async fn run(
        &self,
        id: &str,
        seed: Memo,
        context: &C,
        journal: &dyn Journal,
        observer: &dyn Observer<E>,
    ) -> Result<Memo, SagaError<E>> {
        let mut entry = match journal.read(id)? {
            Some(entry) => entry,
            None => Entry { kind: self.kind.to_owned(), memo: seed, ..Entry::default() },
        };
        if entry.undoing {
            self.undo(id, &mut entry, context, journal).await?;
        }
        for step in &self.steps {
            if entry.done.contains(step.name()) {
                continue;
            }
            entry.begun = Some(step.name().to_owned());
            journal.write(id, &entry)?;
            if let Err(error) = self.one(step.as_ref(), context, &mut entry.memo, observer).await {
                journal.write(id, &entry)?;
                if self.on_failure == OnFailure::Undo {
                    entry.undoing = true;
                    journal.write(id, &entry)?;
                    self.undo(id, &mut entry, context, journal).await?;
                    journal.forget(id)?;
                }
                return Err(error);
            }
            entry.begun = None;
            entry.done.insert(step.name().to_owned());
            journal.write(id, &entry)?;
        }
        journal.forget(id)?;
        Ok(entry.memo)
    }

    async fn one(
        &self,
        step: &dyn Step<C, E>,
        context: &C,
        memo: &mut Memo,
        observer: &dyn Observer<E>,
    ) -> Result<(), SagaError<E>> {
        let failed = |source| SagaError::Step { step: step.name(), source };
        let begun = tokio::time::Instant::now();
        observer.begins(step.name()).map_err(failed)?;
        match tokio::time::timeout(step.deadline(), step.run(context, memo)).await {
            Err(_) => Err(SagaError::Late { step: step.name(), limit: step.deadline() }),
            Ok(Err(source)) => Err(failed(source)),
            Ok(Ok(())) => observer.ended(step.name(), begun.elapsed()).map_err(failed),
        }
    }

    async fn undo(
        &self,
        id: &str,
        entry: &mut Entry,
        context: &C,
        journal: &dyn Journal,
    ) -> Result<(), SagaError<E>> {
        for step in self.steps.iter().rev() {
            let touched = entry.done.contains(step.name()) || entry.begun.as_deref() == Some(step.name());
            if !touched {
                continue;
            }
            match tokio::time::timeout(step.deadline(), step.undo(context, &entry.memo)).await {
                Err(_) => return Err(SagaError::Late { step: step.name(), limit: step.deadline() }),
                Ok(Err(source)) => return Err(SagaError::Step { step: step.name(), source }),
                Ok(Ok(())) => {}
            }
            entry.done.remove(step.name());
            entry.begun = None;
            journal.write(id, entry)?;
        }
        entry.undoing = false;
        Ok(())
    }
}

/// A journal in memory, for tests.
#[derive(Default)]
pub struct MemoryJournal(parking_lot::Mutex<std::collections::BTreeMap<String, Entry>>);

impl Journal for MemoryJournal {
    fn write(&self, id: &str, entry: &Entry) -> Result<(), JournalError> {
        self.0.lock().insert(id.to_owned(), entry.clone());
        Ok(())
    }
    fn read(&self, id: &str) -> Result<Option<Entry>, JournalError> {
        Ok(self.0.lock().get(id).cloned())
    }
    fn forget(&self, id: &str) -> Result<(), JournalError> {
        self.0.lock().remove(id);
        Ok(())
    }
    fn unfinished(&self) -> Result<Vec<(String, Entry)>, JournalError> {
        Ok(self.0.lock().iter().map(|(id, entry)| (id.clone(), entry.clone())).collect())
    }
}

#[cfg(test)]
mod tests;
