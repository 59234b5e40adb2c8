//! Leases for objects that vanish by themselves: one serves all objects of a minute.

use std::time::Duration;

use parking_lot::Mutex;
use store::{LeaseId, Store};

use super::store_failed;
use crate::attributes::ApiError;

/// Objects of this span share a lease, in seconds.
const SHARED_S: i64 = 60;

/// The lease in use.
#[derive(Default)]
pub struct Leases {
    current: Mutex<Option<(LeaseId, u64, i64)>>,
}

impl Leases {
    /// A lease that lives at least `ttl_s` seconds from now.
    ///
    /// # Errors
    /// When the store gives none.
    pub async fn for_ttl(
        &self,
        store: &dyn Store,
        ttl_s: u64,
        now: jiff::Timestamp,
    ) -> Result<LeaseId, ApiError> {
        let now_s = now.as_second();
        let usable = *self.current.lock();
        if let Some((lease, of_ttl_s, since_s)) = usable
            && of_ttl_s == ttl_s
            && (0..SHARED_S).contains(&(now_s - since_s))
        {
            return Ok(lease);
        }
        let length = Duration::from_secs(ttl_s + SHARED_S as u64);
        let lease = store.grant_lease(length).await.map_err(|error| store_failed(&error))?;
        *self.current.lock() = Some((lease, ttl_s, now_s));
        Ok(lease)
    }
}
