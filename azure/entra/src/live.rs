//! Sign-ins under way: device codes and authorization codes. They live minutes, so only in memory.

use std::collections::HashMap;

use parking_lot::Mutex;

/// A device code.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub user_code: String,
    pub client_id: String,
    pub scope: String,
    pub expires: i64,
    /// Set once somebody has signed in.
    pub user: Option<String>,
}

/// An authorization code.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub client_id: String,
    pub scope: String,
    pub redirect_uri: String,
    pub challenge: Option<(String, String)>,
    pub nonce: Option<String>,
    pub user: String,
    pub expires: i64,
}

/// How many of each may be open.
pub(crate) const OPEN_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Live {
    pub devices: Mutex<HashMap<String, Device>>,
    pub codes: Mutex<HashMap<String, Code>>,
    /// Failed sign-ins by user: `(count, since)`.
    pub failures: Mutex<HashMap<String, (u32, i64)>>,
}

impl Live {
    /// Forgets what is too old, and refuses more than a reasonable number.
    pub(crate) fn room(&self, now: i64) -> bool {
        let mut devices = self.devices.lock();
        devices.retain(|_, d| d.expires > now);
        let mut codes = self.codes.lock();
        codes.retain(|_, c| c.expires > now);
        devices.len() < OPEN_MAX && codes.len() < OPEN_MAX
    }
}
