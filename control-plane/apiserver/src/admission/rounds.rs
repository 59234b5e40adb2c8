//! What the first round of plugins that change objects leaves for the second.
//!
//! When a webhook or a policy changed an object, everything in the process looks at it again, and so do those webhooks and policies that
//! wish so and were asked before somebody else changed it. There are two rounds at most.

use std::collections::HashSet;

use serde_json::Value;

/// Both rounds of a request.
#[derive(Default)]
pub(super) struct Rounds {
    pub second: bool,
    /// Something changed, so that all plugins are to look again.
    pub needed: bool,
    pub webhooks: Again,
    pub policies: Again,
}

/// Who of a plugin is asked again.
#[derive(Default)]
pub(super) struct Again {
    /// Were asked and wish to be asked again when the object changes after them.
    asked: HashSet<String>,
    /// Those that will be.
    again: HashSet<String>,
    /// The object as the plugin left it.
    left: Option<Value>,
}

impl Again {
    /// The plugin's second turn begins: what others changed since its first counts.
    pub fn resume(&mut self, object: Option<&Value>) {
        if self.left.as_ref() != object {
            self.require();
        }
    }

    /// Whoever was asked before is to be asked again.
    pub fn require(&mut self) {
        self.again.extend(self.asked.drain());
    }

    /// Somebody was asked who wishes to be asked again.
    pub fn asked(&mut self, id: &str) {
        self.asked.insert(id.to_owned());
    }

    pub fn wants(&self, id: &str) -> bool {
        self.again.contains(id)
    }

    /// The plugin's turn ends. Nobody looks at what it left when nobody could be asked again.
    pub fn leave(&mut self, object: Option<&Value>) {
        if !self.asked.is_empty() {
            self.left = object.cloned();
        }
    }
}
