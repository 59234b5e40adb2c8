//! Keys that accounts and workspaces sign with: made once, kept in a private table, never in the resource.

use arm::{ArmError, Ctx, ResourceId, Table};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// One key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    /// 64 random bytes in base64.
    pub(crate) value: String,
    /// When it was made, RFC 3339.
    pub(crate) created: String,
}

/// The two keys of a resource.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) first: Key,
    pub(crate) second: Key,
}

fn key(ctx: &Ctx) -> Key {
    let bytes: Vec<u8> = (0..4).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
    Key { value: STANDARD.encode(bytes), created: ctx.clock.now().to_string() }
}

fn entry(id: &ResourceId) -> String {
    // The table's keys hold no meaning beyond being one for each resource.
    id.key().to_owned()
}

/// The keys of a resource; made when it has none.
pub(crate) async fn of(ctx: &Ctx, table: &Table, id: &ResourceId) -> Result<Pair, ArmError> {
    if let Some(found) = table.get(&entry(id))? {
        return Ok(found);
    }
    let made = Pair { first: key(ctx), second: key(ctx) };
    table.put(&entry(id), &made).await?;
    Ok(made)
}

/// Makes one of the keys anew.
pub(crate) async fn renew(ctx: &Ctx, table: &Table, id: &ResourceId, second: bool) -> Result<Pair, ArmError> {
    let mut pair = of(ctx, table, id).await?;
    let slot = if second { &mut pair.second } else { &mut pair.first };
    *slot = key(ctx);
    table.put(&entry(id), &pair).await?;
    Ok(pair)
}

/// Forgets them.
pub(crate) async fn forget(table: &Table, id: &ResourceId) -> Result<(), ArmError> {
    Ok(table.remove(&entry(id)).await?)
}
