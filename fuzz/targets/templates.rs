//! Templates and their expressions: planned twice to the same end within their budget, and what is planned holds together.

#![no_main]

use arm::deployments::{Preview, preview};
use arm::{ArmError, ResourceId};
use jiff::Timestamp;
use lazurite_fuzz::{Choices, any};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A worker of the service has so much.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Functions and what they take; the language does not mind a wrong number.
const FUNCTIONS: [(&str, usize); 74] = [
    ("concat", 2),
    ("format", 3),
    ("replace", 3),
    ("split", 2),
    ("join", 2),
    ("padLeft", 3),
    ("substring", 3),
    ("indexOf", 2),
    ("lastIndexOf", 2),
    ("startsWith", 2),
    ("endsWith", 2),
    ("toLower", 1),
    ("toUpper", 1),
    ("trim", 1),
    ("string", 1),
    ("json", 1),
    ("base64", 1),
    ("base64ToString", 1),
    ("base64ToJson", 1),
    ("dataUri", 1),
    ("dataUriToString", 1),
    ("uri", 2),
    ("uriComponent", 1),
    ("uriComponentToString", 1),
    ("uniqueString", 1),
    ("guid", 2),
    ("length", 1),
    ("array", 1),
    ("createArray", 2),
    ("createObject", 2),
    ("union", 2),
    ("intersection", 2),
    ("shallowMerge", 1),
    ("first", 1),
    ("last", 1),
    ("take", 2),
    ("skip", 2),
    ("range", 2),
    ("items", 1),
    ("objectKeys", 1),
    ("flatten", 1),
    ("tryGet", 2),
    ("indexFromEnd", 2),
    ("tryIndexFromEnd", 2),
    ("contains", 2),
    ("empty", 1),
    ("coalesce", 2),
    ("if", 3),
    ("and", 2),
    ("or", 2),
    ("not", 1),
    ("bool", 1),
    ("equals", 2),
    ("less", 2),
    ("greaterOrEquals", 2),
    ("add", 2),
    ("sub", 2),
    ("mul", 2),
    ("div", 2),
    ("mod", 2),
    ("int", 1),
    ("float", 1),
    ("min", 2),
    ("max", 1),
    ("dateTimeAdd", 3),
    ("dateTimeToEpoch", 1),
    ("dateTimeFromEpoch", 1),
    ("parseCidr", 1),
    ("cidrSubnet", 3),
    ("cidrHost", 2),
    ("resourceId", 2),
    ("reference", 1),
    ("utcNow", 1),
    ("own.twice", 1),
];
const LAMBDAS: [&str; 7] = ["map", "filter", "sort", "reduce", "toObject", "groupBy", "mapValues"];
const LEAVES: [&str; 36] = [
    "'a'",
    "''",
    "'it''s'",
    "'é'",
    "0",
    "1",
    "-1",
    "3",
    "300",
    "10000",
    "9223372036854775807",
    "1.5",
    "true",
    "false",
    "null",
    "'{0}-{1:D3}'",
    "'A.B/c'",
    "'x'",
    "'w0'",
    "'2026-01-02T03:04:05Z'",
    "'P1M'",
    "'yyyy-MM-dd'",
    "'10.0.0.0/16'",
    "'fd00::/8'",
    "'[1,{\"a\":2}]'",
    "parameters('p')",
    "parameters('list')",
    "variables('v')",
    "variables('w')",
    "variables('x')",
    "lambdaVariables('a')",
    "lambdaVariables('b')",
    "copyIndex()",
    "copyIndex('loop', 1)",
    "resourceGroup().id",
    "deployment().name",
];

fn expression(choices: &mut Choices<'_>, depth: usize) -> String {
    if depth == 0 || !choices.more() {
        return (*choices.of(&LEAVES)).to_owned();
    }
    match choices.byte() % 10 {
        0..=2 => (*choices.of(&LEAVES)).to_owned(),
        3 => format!("{}[{}]", expression(choices, depth - 1), expression(choices, depth - 1)),
        4 => format!("{}.{}", expression(choices, depth - 1), choices.of(&["a", "properties", "key", "é"])),
        5 => {
            let name = *choices.of(&LAMBDAS);
            let list = expression(choices, depth - 1);
            let start = if name == "reduce" {
                format!("{}, ", expression(choices, depth - 1))
            } else {
                String::new()
            };
            format!("{name}({list}, {start}lambda('a', 'b', {}))", expression(choices, depth - 1))
        }
        _ => {
            let (name, count) = *choices.of(&FUNCTIONS);
            let count = if choices.byte() == 9 { choices.below(5) } else { count };
            let arguments: Vec<String> = (0..count).map(|_| expression(choices, depth - 1)).collect();
            format!("{name}({})", arguments.join(", "))
        }
    }
}

/// A value with expressions in it.
fn value(choices: &mut Choices<'_>, depth: usize) -> Value {
    match choices.byte() % 8 {
        0 => any(choices, 3),
        1 if depth > 0 => (0..choices.below(3)).map(|_| value(choices, depth - 1)).collect(),
        2 if depth > 0 => json!({"a": value(choices, depth - 1), "b": value(choices, depth - 1)}),
        3 if depth > 0 => {
            json!({"copy": [{"name": "rows", "count": value(choices, 0), "input": value(choices, depth - 1)}]})
        }
        _ => json!(format!("[{}]", expression(choices, 4))),
    }
}

fn resource(choices: &mut Choices<'_>, depth: usize) -> Value {
    let mut made = json!({"apiVersion": "1", "type": choices.of(&["A.B/c", "A.B/c/d", "Microsoft.Authorization/locks", "d"]),
        "name": choices.of(&["x", "y", "z", "x/y", "[concat('w', copyIndex())]", "[parameters('p')]"]), "properties": value(choices, 3)});
    while choices.more() && choices.byte() % 3 != 0 {
        let (name, value) = match choices.byte() % 8 {
            0 => (
                "copy",
                json!({"name": "loop", "count": choices.of(&[json!(0), json!(3), json!(800), json!("[length('abc')]")])}),
            ),
            1 => (
                "condition",
                json!(choices.of(&[
                    json!(true),
                    json!(false),
                    json!("[equals(1, 1)]"),
                    json!("[variables('v')]")
                ])),
            ),
            2 | 3 => {
                let names =
                    ["x", "y", "z", "loop", "A.B/c/x", "s", "s[1]", "[resourceId('A.B/c', 'x')]", "c/x", "/"];
                let count = choices.below(4);
                ("dependsOn", (0..count).map(|_| *choices.of(&names)).collect())
            }
            4 if depth > 0 => {
                ("resources", (0..choices.below(3)).map(|_| resource(choices, depth - 1)).collect())
            }
            5 => ("scope", json!(choices.of(&["/subscriptions/t", "A.B/c/x", "A.B", "/", "A.B/c/x/d/y"]))),
            6 => ("existing", json!(true)),
            _ => ("location", value(choices, 1)),
        };
        made[name] = value;
    }
    made
}

fn template(choices: &mut Choices<'_>) -> Value {
    let declared = |choices: &mut Choices<'_>| {
        let refer = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
        choices
            .of(&[json!({"type": "string"}), json!({"type": "array", "items": refer("t")}), refer("t"), refer("u"),
                json!({"type": "object", "discriminator": {"propertyName": "a", "mapping": {"1": refer("u"), "b": refer("t")}}}),
                json!({"type": "int", "minValue": 1, "nullable": true}), json!({"type": "object", "additionalProperties": refer("u")})])
            .clone()
    };
    let mut parameters = json!({"p": {"type": "string", "defaultValue": value(choices, 1)},
        "list": {"type": "array", "defaultValue": value(choices, 2)}});
    if choices.byte() % 2 == 1 {
        parameters["q"] = declared(choices);
        parameters["q"]["defaultValue"] = value(choices, 2);
    }
    let count = choices.below(4);
    let listed: Vec<Value> = (0..count).map(|_| resource(choices, 2)).collect();
    let resources = match choices.byte() % 3 {
        0 => Value::Object(["s", "t", "u"].into_iter().map(str::to_owned).zip(listed).collect::<Map<_, _>>()),
        _ => Value::Array(listed),
    };
    json!({"parameters": parameters, "definitions": {"t": declared(choices), "u": declared(choices)},
        "variables": {"v": value(choices, 2), "w": value(choices, 2), "copy": [{"name": "x", "count": 3, "input": value(choices, 2)}]},
        "functions": [{"namespace": "own", "members": {"twice": {"parameters": [{"name": "p", "type": "any"}],
            "output": {"type": "any", "value": value(choices, 1)}}}}],
        "resources": resources, "outputs": {"o": {"type": "object", "value": value(choices, 3)}}})
}

fn made(template: &Value, given: &Value) -> Result<Preview, ArmError> {
    let group = ResourceId::of_group("s", "g");
    let now = Timestamp::from_second(1_767_323_045).expect("a time");
    preview(template, given, &group, now)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn refused(error: &ArmError) {
    let status = error.status.as_u16();
    assert!(status == 400 || (status == 501 && error.message.contains("Key Vault")), "{error:?}");
}

/// What holds of a plan: every resource once, all needs among them and in no circle.
fn judge(preview: &Preview) {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for planned in &preview.resources {
        let needs = planned.needs.iter().map(String::as_str).collect();
        left.entry(planned.id.key()).or_default().extend::<BTreeSet<&str>>(needs);
        assert!(!planned.needs.iter().any(|key| key == planned.id.key()), "{} needs itself", planned.id);
        assert!(planned.body.as_ref().is_none_or(|body| depth(body) < 300));
    }
    assert!(preview.resources.len() <= 3_201);
    assert!(left.values().flatten().all(|key| left.contains_key(key)), "{left:?}");
    while !left.is_empty() {
        let waiting: BTreeSet<&str> = left.keys().copied().collect();
        left.retain(|_, needs| needs.iter().any(|key| waiting.contains(key)));
        assert!(left.len() < waiting.len(), "a circle: {left:?}");
    }
}

fn twice(template: &Value, given: &Value) -> Option<Preview> {
    let (one, two) = (made(template, given), made(template, given));
    assert_eq!(one, two, "{template}");
    match one {
        Ok(preview) => {
            judge(&preview);
            Some(preview)
        }
        Err(error) => {
            refused(&error);
            None
        }
    }
}

fn evaluated(text: &str) -> Option<Value> {
    let template = json!({"variables": {"v": [1, {"a": "b"}], "w": "w", "x": {"a": [1.5, null]}},
        "parameters": {"p": {"type": "string", "defaultValue": "p"}, "list": {"type": "array", "defaultValue": ["b", "a", "b"]}},
        "outputs": {"o": {"type": "any", "value": text}}});
    twice(&template, &json!({}))?.outputs.remove("o")?
}

/// An expression means the same wherever it stands.
fn expressions(inner: &str) {
    if inner.to_ascii_lowercase().contains("newguid") {
        return;
    }
    let Some(value) = evaluated(&format!("[{inner}]")) else { return };
    for same in [
        format!("[first(createArray({inner}))]"),
        format!("[if(true(), {inner}, fail('no'))]"),
        format!("[createObject('a', {inner}).A]"),
        format!("[last(map(range(0, 2), lambda('unused', {inner})))]"),
    ] {
        // The wrapped one may be too long, too deep or too dear.
        if let Some(other) = evaluated(&same) {
            assert_eq!(value, other, "{same}");
        }
    }
    assert!(
        [None, Some(json!(true))].contains(&evaluated(&format!("[equals({inner}, {inner})]"))),
        "{inner}"
    );
}

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if !text.starts_with('[') {
        assert_eq!(evaluated(&text), Some(json!(text)));
    }
    expressions(&text);
    let mut choices = Choices(data);
    expressions(&expression(&mut choices, 5));
    let mut choices = Choices(data);
    let template = template(&mut choices);
    let given = match choices.byte() % 3 {
        0 => json!({}),
        1 => json!({"P": {"value": any(&mut choices, 3)}}),
        _ => json!({"list": {"value": any(&mut choices, 4)}, "q": {"value": any(&mut choices, 4)}}),
    };
    twice(&template, &given);
}

fuzz_target!(|data: &[u8]| {
    std::thread::scope(|scope| {
        let run = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || run(data));
        run.expect("a thread").join().expect("it does not panic");
    });
});
