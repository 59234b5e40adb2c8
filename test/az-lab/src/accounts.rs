//! What the registries' gate asks the directory; no machine of this cloud reaches a registry.

use std::sync::Arc;

use entra::Entra;
use kit::http::Connection;
use providers::registry::Accounts;

/// The directory's applications as users of a registry.
pub(crate) struct Applications(pub(crate) Arc<Entra>);

impl Accounts for Applications {
    fn application(&self, id: &str, secret: &str) -> Option<String> {
        self.0.client_with_secret(id, secret)
    }

    fn is_machine(&self, _: &Connection) -> bool {
        false
    }
}
