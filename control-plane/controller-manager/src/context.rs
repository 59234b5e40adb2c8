//! What every loop is given.

use std::sync::Arc;

use informers::{Informer, Informers, Loops, Object, Recorder};

use crate::Config;

/// Shared by the loops of one control plane.
pub(crate) struct Context {
    client: kube::Client,
    pub informers: Informers,
    pub loops: Loops,
    pub config: Arc<Config>,
}

impl Context {
    pub fn new(client: kube::Client, config: Arc<Config>, tasks: &kit::Tasks) -> Self {
        Self {
            informers: Informers::new(client.clone(), tasks.clone()),
            loops: Loops::new(tasks.clone()),
            client,
            config,
        }
    }

    /// The client a loop writes with.
    pub fn client(&self, controller: &str) -> kube::Client {
        match &self.config.client_for {
            Some(client_for) => client_for(controller),
            None => self.client.clone(),
        }
    }

    /// The informer of a kind.
    pub fn informer<K: Object>(&self) -> Informer<K> {
        self.informers.of()
    }

    /// Events as a loop.
    pub fn recorder(&self, controller: &'static str) -> Recorder {
        self.recorder_called(controller, controller)
    }

    /// Events as a loop whose service account is not called as its events say.
    pub fn recorder_called(&self, controller: &str, component: &'static str) -> Recorder {
        Recorder::new(self.client(controller), component, self.loops.tasks())
    }

    /// The time.
    pub fn clock(&self) -> Arc<dyn kit::Clock> {
        self.config.clock.clone()
    }
}
