//! A saga of three steps, failed and repeated at every point.

use super::*;
use parking_lot::Mutex;

#[derive(Debug, thiserror::Error)]
#[error("injected")]
struct Injected;

#[derive(Default)]
struct World(Mutex<BTreeSet<&'static str>>);

struct Make(&'static str);

#[async_trait]
impl Step<World, Injected> for Make {
    fn name(&self) -> &'static str {
        self.0
    }
    async fn run(&self, world: &World, memo: &mut Memo) -> Result<(), Injected> {
        memo.text_or_insert(self.0, || format!("{}-id", self.0));
        world.0.lock().insert(self.0);
        Ok(())
    }
    async fn undo(&self, world: &World, _: &Memo) -> Result<(), Injected> {
        world.0.lock().remove(self.0);
        Ok(())
    }
}

struct FailOnce {
    at: &'static str,
    after: bool,
    failed: Mutex<bool>,
}

impl FailOnce {
    fn now(&self, step: &str, after: bool) -> Result<(), Injected> {
        let mut failed = self.failed.lock();
        if step == self.at && after == self.after && !*failed {
            *failed = true;
            return Err(Injected);
        }
        Ok(())
    }
}

impl Observer<Injected> for FailOnce {
    fn begins(&self, step: &'static str) -> Result<(), Injected> {
        self.now(step, false)
    }
    fn ended(&self, step: &'static str, _: Duration) -> Result<(), Injected> {
        self.now(step, true)
    }
}

const STEPS: [&str; 3] = ["network", "plane", "machines"];

fn saga(on_failure: OnFailure) -> Saga<World, Injected> {
    let steps = STEPS.iter().map(|name| Arc::new(Make(name)) as Arc<dyn Step<_, _>>).collect();
    Saga { kind: "create", steps, on_failure }
}

#[tokio::test]
async fn failing_at_every_step_leaves_nothing_when_undone() {
    for (at, after) in STEPS.iter().flat_map(|step| [(*step, false), (*step, true)]) {
        let (world, journal) = (World::default(), MemoryJournal::default());
        let observer = FailOnce { at, after, failed: Mutex::new(false) };
        let result = saga(OnFailure::Undo).run("1", Memo::default(), &world, &journal, &observer).await;
        assert_eq!(result.unwrap_err().step(), Some(at));
        assert!(world.0.lock().is_empty(), "failed at {at}");
        assert!(journal.unfinished().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_kept_saga_goes_on_where_it_failed() {
    for (at, after) in STEPS.iter().flat_map(|step| [(*step, false), (*step, true)]) {
        let (world, journal) = (World::default(), MemoryJournal::default());
        let observer = FailOnce { at, after, failed: Mutex::new(false) };
        let saga = saga(OnFailure::Keep);
        assert!(saga.run("1", Memo::default(), &world, &journal, &observer).await.is_err());
        assert_eq!(journal.unfinished().unwrap().len(), 1);
        let memo = saga.run("1", Memo::default(), &world, &journal, &observer).await.unwrap();
        assert_eq!(memo.text("plane"), Some("plane-id"));
        assert_eq!(world.0.lock().len(), 3);
        assert!(journal.unfinished().unwrap().is_empty());
    }
}
