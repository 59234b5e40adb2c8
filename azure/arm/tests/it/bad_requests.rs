//! Bad input of every kind, from a generator with a seed: always an ARM error that is the client's fault, never a fault of
//! the service's own, and never a word of what the caller may not see.
//!
//! `LAZURITE_BAD_ARM_REQUESTS` is how many (2,000), `LAZURITE_BAD_ARM_SEED` where the generator starts.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World};

const MARK: &str = "known-to-the-owner-only";

/// A small generator: the same seed makes the same requests.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit.max(1)
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const WORDS: &[&str] = &[
    "subscriptions",
    "resourceGroups",
    "providers",
    "Microsoft.Test",
    "Microsoft.Authorization",
    "Microsoft.Resources",
    "Microsoft.Insights",
    "Microsoft.Management",
    "Microsoft.Nowhere",
    "widgets",
    "parts",
    "roleAssignments",
    "roleDefinitions",
    "locks",
    "deployments",
    "tags",
    "default",
    "eventtypes",
    "management",
    "values",
    "managementGroups",
    "operations",
    "locations",
    "eastus",
    "operationresults",
    "tenants",
    "resources",
    "register",
    "S",
    "g",
    "w",
    "x",
    "",
    ".",
    "..",
    "%00",
    "%2F",
    "%2e%2e",
    "a%20b",
    "%C3%A9",
    "%FF%FE",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "features",
    "denyAssignments",
    "permissions",
    "Microsoft.ResourceHealth",
    "availabilityStatuses",
    "current",
    "validate",
    "whatIf",
    "cancel",
    "moveResources",
    "'",
    "$filter",
    "a;b",
    "*",
    "echo",
    "metadata",
    "endpoints",
    "listKeys",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

const FILTERS: &[&str] = &[
    "name eq",
    "name eq 'x",
    "''",
    "eq eq eq",
    "(((",
    "atScope(",
    "principalId eq 'x' and",
    "a b c d e",
    "not true",
    "substringof('",
    "resourceType eq 'A/b' or name eq 'c'",
    "tagName eq 'a' and tagValue",
    "eventTimestamp ge 99999",
    "eventTimestamp ge 2026-13-45T99:99:99",
    "status eq 'Failed' and status",
    "%00",
    "é eq 'é'",
    "x eq \u{1F980}",
    ",",
];

const EXPRESSIONS: &[&str] = &[
    "[",
    "[]",
    "[[",
    "[concat(]",
    "[concat('a',)]",
    "[parameters('x')]",
    "[variables('loop')]",
    "[reference('x')]",
    "[reference('/subscriptions/x')]",
    "[resourceId()]",
    "[resourceId('a')]",
    "[substring('abc', 9, 9)]",
    "[div(1, 0)]",
    "[range(0, 999999999)]",
    "[padLeft('', 999999999)]",
    "[copyIndex()]",
    "[copyIndex('x', 9223372036854775807)]",
    "[json('{')]",
    "[base64ToString('!')]",
    "[cidrSubnet('x', 1, 1)]",
    "[cidrSubnet('::/0', 128, -1)]",
    "[dateTimeAdd('x', 'y')]",
    "[dateTimeAdd(utcNow(), 'P9999999999Y')]",
    "[utcNow('%%%QQQ')]",
    "[map(1, 2)]",
    "[map(range(0, 10000), lambda('x', range(0, 10000)))]",
    "[reduce(range(0, 30), 'ab', lambda('a', 'b', concat(lambdaVariables('a'), lambdaVariables('a'))))]",
    "[if(1, 2, 3)]",
    "[a.b.c.d]",
    "[f(f(f(f(f(f(1))))))]",
    "[true().x]",
    "[createObject('a')]",
    "[format('{0}{1}', 'a')]",
    "[format('{999999999999}')]",
    "[items(1)]",
    "[tryGet(1)]",
    "[indexFromEnd(createArray(1), -1)]",
    "[int('9999999999999999999999')]",
    "[mul(9223372036854775807, 2)]",
    "[split('a', '')]",
    "[replace('aaaa', '', 'b')]",
    "[uniqueString()]",
    "[listKeys('x', 'y')]",
    "[list('x', 'y')]",
    "[fail('no')]",
    "[toObject(range(0, 5), lambda('x', lambdaVariables('y')))]",
    "[sort(createArray(1, 'a'), lambda('a', 'b', 7))]",
    "[lambda('x', 1)]",
];

fn path(dice: &mut Dice, sub: &str) -> String {
    let start = match dice.below(4) {
        0 => String::new(),
        1 => format!("/subscriptions/{sub}"),
        2 => format!("/subscriptions/{sub}/resourceGroups/g"),
        _ => format!("/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Test/widgets/w"),
    };
    let mut made = start;
    for _ in 0..dice.below(9) {
        made.push('/');
        made.push_str(dice.pick(WORDS));
    }
    if made.is_empty() { "/".to_owned() } else { made }
}

fn junk(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth > 3 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!(i64::try_from(dice.next() >> 1).unwrap_or(0)),
        3 => json!(-1.5e300),
        4 => json!(dice.pick(WORDS)),
        5 => json!(dice.pick(EXPRESSIONS)),
        6 => json!("\u{0}\u{feff}\u{1F980}"),
        7 => (0..dice.below(4)).map(|_| junk(dice, depth + 1)).collect(),
        _ => {
            const NAMES: [&str; 16] = [
                "properties",
                "location",
                "tags",
                "identity",
                "type",
                "level",
                "template",
                "parameters",
                "resources",
                "copy",
                "name",
                "principalId",
                "roleDefinitionId",
                "permissions",
                "mode",
                "condition",
            ];
            (0..dice.below(5)).map(|_| (dice.pick(&NAMES).to_owned(), junk(dice, depth + 1))).collect()
        }
    }
}

fn template(dice: &mut Dice) -> Value {
    let resource = json!({
        "type": dice.pick(&["Microsoft.Test/widgets", "Microsoft.Test/widgets/parts", "x", "", "a/b/c/d"]), "apiVersion": junk(dice, 4),
        "name": dice.pick(EXPRESSIONS), "location": "eastus", "condition": junk(dice, 3), "dependsOn": junk(dice, 2),
        "scope": junk(dice, 4), "copy": {"name": junk(dice, 4), "count": junk(dice, 3)}, "properties": {"x": dice.pick(EXPRESSIONS)},
    });
    json!({
        "languageVersion": "2.0", "definitions": junk(dice, 2), "functions": junk(dice, 2),
        "parameters": {"p": {"type": dice.pick(&["string", "int", "array", "thing"]), "defaultValue": dice.pick(EXPRESSIONS), "$ref": junk(dice, 4)}},
        "variables": {"loop": "[concat(variables('loop'))]", "v": dice.pick(EXPRESSIONS)},
        "resources": if dice.below(3) == 0 { junk(dice, 1) } else { json!([resource]) },
        "outputs": {"o": {"type": "string", "value": dice.pick(EXPRESSIONS), "copy": junk(dice, 3)}},
    })
}

/// The text of a body: mostly JSON, sometimes broken.
fn body(dice: &mut Dice) -> Vec<u8> {
    let value = match dice.below(3) {
        0 => {
            json!({"properties": {"mode": dice.pick(&["Incremental", "Complete", "x"]), "template": template(dice), "parameters": junk(dice, 2)}, "location": "eastus"})
        }
        _ => junk(dice, 0),
    };
    let mut text = value.to_string().into_bytes();
    match dice.below(8) {
        0 => text.truncate(dice.below(text.len() + 1)),
        1 => text = vec![0xff, 0xfe, 0x00],
        2 => text = "[".repeat(200_000).into_bytes(),
        3 => text = b"{a:".repeat(50_000),
        4 => {
            let at = dice.below(text.len());
            if let Some(byte) = text.get_mut(at) {
                *byte = u8::try_from(dice.below(256)).unwrap_or(0);
            }
        }
        _ => {}
    }
    text
}

fn token(dice: &mut Dice, token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    match dice.below(5) {
        0 => String::new(),
        1 => dice.pick(&["x.y.z", "..", "e30.e30.", "null", "é"]).to_owned(),
        2 => token.split('.').rev().collect::<Vec<_>>().join("."),
        _ => {
            let at = dice.below(bytes.len());
            // The last letter's low bits mean nothing: a change there may be none.
            let at = at.min(bytes.len() - 8);
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap_or_default()
        }
    }
}

fn check(told: &str, method: &Method, answer: &crate::harness::Answered, hidden: bool) {
    let status = answer.status.as_u16();
    // HEAD has no body to say it in.
    let named = *method == Method::HEAD || answer.code() == "NotImplemented";
    let fine = status < 500 || (status == 501 && named);
    assert!(fine, "{told}: {status} {}", answer.body);
    if status >= 400 && *method != Method::HEAD {
        assert!(
            !answer.code().is_empty() && !answer.message().is_empty(),
            "{told}: {status} {}",
            answer.body
        );
    }
    assert!(!hidden || !answer.body.to_string().contains(MARK), "{told} tells too much: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_the_clients_fault_and_learn_nothing() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let count = number("LAZURITE_BAD_ARM_REQUESTS", 2_000);
    let mut dice = Dice(number("LAZURITE_BAD_ARM_SEED", 20_261_129).max(1));
    let world = World::new().await;
    world.group("g").await;
    let marked = json!({"location": "eastus", "tags": {"a": MARK}, "properties": {"secret": MARK}});
    assert_eq!(world.put(&world.widget("g", "w"), marked).await.status, 201);
    let (_, nobody) = world.somebody("nobody").await;
    let mut seen = std::collections::BTreeMap::<u16, u64>::new();
    for round in 0..count {
        let who = dice.below(3);
        let sent = match who {
            0 => nobody.clone(),
            1 => token(&mut dice, &world.token),
            _ => world.token.clone(),
        };
        let method: Method = dice
            .pick(&["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE"])
            .parse()
            .unwrap();
        let method = if who == 2 && method == Method::DELETE { Method::GET } else { method };
        let mut target = path(&mut dice, &world.sub);
        if who == 2 && dice.below(3) == 0 {
            let action = dice.pick(&["", "/validate", "/whatIf"]);
            target = format!(
                "/subscriptions/{}/resourceGroups/g/providers/Microsoft.Resources/deployments/d{}{action}",
                world.sub,
                round % 7
            );
        }
        let version = dice.pick(&[
            "2025-01-01",
            "2025-01-01",
            "2025-01-01",
            "",
            "9999-99-99",
            "2025-01-01-preview",
            "%00",
        ]);
        let filter =
            percent_encoding::utf8_percent_encode(dice.pick(FILTERS), percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        let more = match dice.below(4) {
            0 => format!("&$filter={filter}"),
            1 => "&$top=-1&$skipToken=zz".to_owned(),
            _ => String::new(),
        };
        let uri = format!("{target}?api-version={version}{more}");
        let told = format!("request {round}, {who}: {method} {uri}");
        let mut request = http::Request::builder().method(method.clone()).uri(&uri).header("host", HOST);
        if let Ok(value) = http::HeaderValue::from_str(&format!("Bearer {sent}")) {
            request = request.header("authorization", value);
        }
        if dice.below(4) == 0 {
            request = request.header(
                dice.pick(&["if-match", "if-none-match", "x-ms-correlation-request-id"]),
                dice.pick(WORDS),
            );
        }
        let Ok(request) = request.body(kit::http::full(body(&mut dice))) else { continue };
        let answer = world.answer(request).await;
        check(&told, &method, &answer, who != 2);
        if who == 1 {
            let open = target.to_ascii_lowercase().starts_with("/metadata/endpoints");
            assert!(answer.status == 401 || open, "{told}: {}", answer.status);
        }
        *seen.entry(answer.status.as_u16()).or_default() += 1;
    }
    eprintln!("{count} requests: {seen:?}");
    assert_eq!(world.get(&world.group_path("g")).await.status, 200, "and the cloud is still there");
}
