//! Chance with a seed, and the words that bad requests are made of.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// The same seed makes the same requests.
#[derive(Clone)]
pub struct Dice(StdRng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit.max(1))
    }

    /// One time in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    pub fn byte(&mut self) -> u8 {
        self.0.random()
    }
}

pub const WORDS: &[&str] = &[
    "x",
    "a",
    "",
    ".",
    "..",
    "%00",
    "%2F",
    "%2e%2e%2f",
    "a%20b",
    "%C3%A9",
    "%FF%FE",
    "%25",
    "'",
    "\"",
    "<script>",
    "*",
    "~",
    "a;b",
    "$filter",
    "default",
    "eastus",
    "null",
    "true",
    "-1",
    "0",
    "99999999999999999999",
    "1e309",
    "{}",
    "[]",
    "subscriptions",
    "resourceGroups",
    "providers",
    "operations",
    "latest",
    "deletedVaults",
    "00000000-0000-0000-0000-000000000000",
    "not-a-guid",
    "listKeys",
    "listCredentials",
    "listClusterAdminCredential",
    "validate",
    "whatIf",
    "cancel",
    "versions",
    "pending",
    "recover",
    "backup",
    "purge",
    "blobs",
    "manifests",
    "uploads",
    "_catalog",
    "tags",
    "list",
    "sha256:zz",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

pub const FILTERS: &[&str] = &[
    "name eq",
    "name eq 'x",
    "''",
    "eq eq eq",
    "(((",
    ")))",
    "atScope(",
    "atScope()",
    "principalId eq 'x' and",
    "a b c d e",
    "not true",
    "not",
    "substringof('",
    "substringof('a', name) eq true",
    "resourceType eq 'A/b' or name eq 'c'",
    "tagName eq 'a' and tagValue",
    "eventTimestamp ge 99999",
    "eventTimestamp ge 2026-13-45T99:99:99",
    "status eq 'Failed' and status",
    "\u{0}",
    "é eq 'é'",
    "x eq \u{1F980}",
    ",",
    "startswith(displayName,'",
    "startswith(displayName,'a')",
    "displayName eq 'a' or",
    "appId in ('a',",
    "appId in ()",
    "any(x:x eq 1)",
    "servicePrincipalNames/any(c:c eq 'x'",
    "id eq null",
    "endswith(mail,'@')",
    "1 eq 1",
    "name eq 'a''b'",
    "name eq 'a' eq 'b'",
    "assignedTo('x')",
    "level eq 'Critical' or level eq 9",
    "roleName eq 'Owner' and type eq 'BuiltInRole' or (",
    "$count gt -1",
];

const EXPRESSIONS: &[&str] = &[
    "[",
    "[]",
    "[[",
    "[concat(]",
    "[parameters('x')]",
    "[variables('loop')]",
    "[reference('x')]",
    "[reference('/subscriptions/x')]",
    "[resourceId()]",
    "[substring('abc', 9, 9)]",
    "[div(1, 0)]",
    "[range(0, 999999999)]",
    "[padLeft('', 999999999)]",
    "[copyIndex()]",
    "[json('{')]",
    "[cidrSubnet('::/0', 128, -1)]",
    "[dateTimeAdd(utcNow(), 'P9999999999Y')]",
    "[utcNow('%%%QQQ')]",
    "[map(range(0, 10000), lambda('x', range(0, 10000)))]",
    "[format('{999999999999}')]",
    "[int('9999999999999999999999')]",
    "[mul(9223372036854775807, 2)]",
    "[listKeys('x', 'y')]",
    "[fail('no')]",
    "[uniqueString()]",
    "[f(f(f(f(f(f(1))))))]",
];

const NAMES: &[&str] = &[
    "properties",
    "location",
    "tags",
    "identity",
    "type",
    "sku",
    "kind",
    "zones",
    "name",
    "id",
    "level",
    "template",
    "parameters",
    "resources",
    "copy",
    "count",
    "principalId",
    "roleDefinitionId",
    "permissions",
    "mode",
    "agentPoolProfiles",
    "networkProfile",
    "addressSpace",
    "addressPrefixes",
    "subnets",
    "value",
    "attributes",
    "exp",
    "kty",
    "policy",
    "displayName",
    "appId",
    "passwordCredentials",
    "source",
    "@odata.id",
];

/// Any JSON.
pub fn junk(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth > 3 { 8 } else { 10 }) {
        0 => Value::Null,
        1 => json!(dice.once_in(2)),
        2 => json!(i64::MIN),
        3 => json!(-1.5e300),
        4 | 5 => json!(dice.pick(WORDS)),
        6 => json!(dice.pick(EXPRESSIONS)),
        7 => json!("\u{0}\u{feff}\u{1F980}"),
        8 => (0..dice.below(4)).map(|_| junk(dice, depth + 1)).collect(),
        _ => (0..dice.below(5)).map(|_| (dice.pick(NAMES).to_owned(), junk(dice, depth + 1))).collect(),
    }
}

/// Puts something else in one place of a value.
pub fn spoil(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Object(map) if !map.is_empty() && !dice.once_in(5) => {
            let at = dice.below(map.len());
            if let Some((_, inner)) = map.iter_mut().nth(at) {
                spoil(dice, inner);
            }
        }
        Value::Array(list) if !list.is_empty() && !dice.once_in(5) => {
            let at = dice.below(list.len());
            spoil(dice, &mut list[at]);
        }
        other => *other = junk(dice, 2),
    }
}

/// A body that is wrong: spoilt, broken, deep, huge, not JSON, with a name twice.
pub fn body(dice: &mut Dice, good: &Value) -> Vec<u8> {
    let mut value = if good.is_null() || dice.once_in(3) { junk(dice, 0) } else { good.clone() };
    for _ in 0..=dice.below(3) {
        spoil(dice, &mut value);
    }
    let mut text = value.to_string().into_bytes();
    match dice.below(16) {
        0 => text.truncate(dice.below(text.len() + 1)),
        1 => text = vec![0xff, 0xfe, 0x00, 0x7b],
        2 => text = "[".repeat(1 + dice.below(20_000)).into_bytes(),
        3 => text = b"{\"a\":".repeat(1 + dice.below(5_000)),
        4 | 5 => {
            let (at, byte) = (dice.below(text.len()), dice.byte());
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
        }
        6 => {
            text = format!(
                "{{\"properties\": {value}, \"properties\": {{}}, \"location\": \"eastus\", \"location\": 1}}"
            )
            .into_bytes()
        }
        7 => text.clear(),
        8 if dice.once_in(50) => {
            text = format!("{{\"properties\": {{\"x\": \"{}\"}}}}", "a".repeat(6 << 20)).into_bytes()
        }
        _ => {}
    }
    text
}
