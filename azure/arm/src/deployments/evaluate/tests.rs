//! Expressions in their context, each with what it comes to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Missing, Scope};
use crate::ResourceId;

fn scope() -> Scope {
    let mut scope = Scope {
        target: ResourceId::of_group("s", "g"),
        name: "main".into(),
        location: "eastus".into(),
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
        ..Scope::default()
    };
    let given =
        [("name", json!("web")), ("list", json!([3, 1, 2])), ("map", json!({"a": {"n": 1}, "b": {"n": 2}}))];
    scope.parameters = Arc::new(given.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
    let variables = json!({"full": "[concat(parameters('name'), '-', resourceGroup().location)]",
        "copy": [{"name": "many", "count": 2, "input": "[copyIndex('many', 1)]"}],
        "loop": "[variables('loop')]", "double": "[concat(variables('full'), variables('full'))]"});
    scope.variables = Arc::new(variables.as_object().cloned().unwrap());
    let own = json!({"parameters": [{"name": "x", "type": "int"}], "output": {"type": "int", "value": "[add(parameters('x'), 1)]"}});
    scope.functions = Arc::new([("own.next".to_owned(), own)].into_iter().collect());
    scope
}

#[test]
fn values_are_evaluated_where_they_stand() {
    let table = [
        (json!("[variables('full')]"), json!("web-eastus")),
        (json!({"a": ["[parameters('NAME')]"]}), json!({"a": ["web"]})),
        (json!("[[literal]"), json!("[literal]")),
        (json!("[variables('many')]"), json!([1, 2])),
        (json!("[if(true(), 'a', reference('nowhere'))]"), json!("a")),
        (json!("[or(true(), reference('nowhere'))]"), json!(true)),
        (json!("[and(false(), reference('nowhere'))]"), json!(false)),
        (json!("[coalesce(null(), 'b', reference('nowhere'))]"), json!("b")),
        (
            json!("[resourceId('A.B/c/d', 'x', 'y')]"),
            json!("/subscriptions/s/resourceGroups/g/providers/A.B/c/x/d/y"),
        ),
        (
            json!("[resourceId('h', 'A.B/c', 'x')]"),
            json!("/subscriptions/s/resourceGroups/h/providers/A.B/c/x"),
        ),
        (
            json!("[resourceId('t', 'h', 'A.B/c', 'x')]"),
            json!("/subscriptions/t/resourceGroups/h/providers/A.B/c/x"),
        ),
        (json!("[subscriptionResourceId('A.B/c', 'x')]"), json!("/subscriptions/s/providers/A.B/c/x")),
        (json!("[subscriptionResourceId('t', 'A.B/c', 'x')]"), json!("/subscriptions/t/providers/A.B/c/x")),
        (json!("[tenantResourceId('A.B/c', 'x')]"), json!("/providers/A.B/c/x")),
        (
            json!("[extensionResourceId(resourceId('A.B/c', 'x'), 'D.E/f', 'y')]"),
            json!("/subscriptions/s/resourceGroups/g/providers/A.B/c/x/providers/D.E/f/y"),
        ),
        (
            json!("[managementGroupResourceId('m', 'A.B/c', 'x')]"),
            json!("/providers/Microsoft.Management/managementGroups/m/providers/A.B/c/x"),
        ),
        (
            json!({"copy": [{"name": "l", "count": 2, "input": {"i": "[copyIndex('l')]"}}]}),
            json!({"l": [{"i": 0}, {"i": 1}]}),
        ),
        (json!("[utcNow('yyyy-MM-dd')]"), json!("2026-01-02")),
        (json!("[utcNow()]"), json!("20260102T030405Z")),
        (json!("[deployment().name]"), json!("main")),
        (json!("[subscription().subscriptionId]"), json!("s")),
        (json!("[environment().suffixes.storage]"), json!("core.windows.net")),
        (json!("[pickZones('Microsoft.Compute', 'virtualMachines', 'eastus', 2)]"), json!(["1", "2"])),
        (json!("[own.next(own.next(1))]"), json!(3)),
        (json!("[map(parameters('list'), lambda('x', mul(lambdaVariables('x'), 2)))]"), json!([6, 2, 4])),
        (json!("[map(parameters('list'), lambda('x', 'i', lambdaVariables('i')))]"), json!([0, 1, 2])),
        (json!("[filter(parameters('list'), lambda('x', greater(lambdaVariables('x'), 1)))]"), json!([3, 2])),
        (
            json!(
                "[sort(parameters('list'), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]"
            ),
            json!([1, 2, 3]),
        ),
        (
            json!(
                "[reduce(parameters('list'), 0, lambda('sum', 'x', add(lambdaVariables('sum'), lambdaVariables('x'))))]"
            ),
            json!(6),
        ),
        (
            json!("[toObject(parameters('list'), lambda('x', format('k{0}', lambdaVariables('x'))))]"),
            json!({"k1": 1, "k2": 2, "k3": 3}),
        ),
        (
            json!(
                "[toObject(parameters('list'), lambda('x', string(lambdaVariables('x'))), lambda('x', mul(lambdaVariables('x'), 10)))]"
            ),
            json!({"1": 10, "2": 20, "3": 30}),
        ),
        (
            json!(
                "[groupBy(parameters('list'), lambda('x', if(greater(lambdaVariables('x'), 1), 'big', 'small')))]"
            ),
            json!({"big": [3, 2], "small": [1]}),
        ),
        (
            json!("[mapValues(parameters('map'), lambda('v', lambdaVariables('v').n))]"),
            json!({"a": 1, "b": 2}),
        ),
        (
            json!(
                "[map(items(parameters('map')), lambda('i', format('{0}={1}', lambdaVariables('i').key, lambdaVariables('i').value.n)))]"
            ),
            json!(["a=1", "b=2"]),
        ),
        (json!("[parameters('map')['A'].n]"), json!(1)),
        (json!("[first(parameters('list'))]"), json!(3)),
        (json!("[length(variables('double'))]"), json!(20)),
    ];
    for (raw, expected) in table {
        assert_eq!(scope().value(&raw), Ok(expected), "{raw}");
    }
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let table = [
        ("[parameters('x')]", "The template parameter 'x' is not found"),
        ("[variables('x')]", "The template variable 'x' is not found"),
        ("[variables('loop')]", "refer to themselves"),
        ("[parameters('map').z]", "'z' doesn't exist, available properties are 'a, b'"),
        ("[parameters('list')[7]]", "array index '7' is out of bounds (the array has 3 elements)"),
        ("[copyIndex()]", "'copyIndex' is not expected at this location"),
        ("[nonsense(1)]", "The template function 'nonsense' is not valid"),
        ("[own.next()]", "1 argument(s) are expected"),
        ("[if('x', 1, 2)]", "expects its first parameter to be a boolean"),
        ("[map(1, 2)]", "not of the right type"),
        ("[map(createArray(1), 2)]", "a lambda is expected"),
        ("[lambdaVariables('x')]", "The lambda variable 'x' is not found"),
        ("[reference('nowhere').x]", "could not find template resource"),
        ("[resourceId('A.B/c', 'x', 'y')]", "requires '1' resource name argument(s)"),
        ("[concat(1]", "is not valid at position"),
    ];
    for (raw, expected) in table {
        let Err(Missing::Wrong(why)) = scope().value(&Value::from(raw)) else { panic!("{raw}") };
        assert!(why.contains(expected), "{raw}: {why}");
    }
    let state = scope().value(&json!("[reference('/subscriptions/s/providers/A.B/c/x', '1').y]"));
    assert_eq!(state, Err(Missing::State("full|/subscriptions/s/providers/A.B/c/x|1".to_owned())));
}

#[test]
fn a_template_cannot_cause_endless_work() {
    let mut variables = serde_json::Map::new();
    variables.insert("v0".to_owned(), json!("[createArray('0123456789', '0123456789')]"));
    for step in 1..30 {
        let half = format!("variables('v{}')", step - 1);
        variables.insert(format!("v{step}"), json!(format!("[concat({half}, {half})]")));
    }
    let mut scope = scope();
    scope.variables = Arc::new(variables);
    let Err(Missing::Wrong(why)) = scope.value(&json!("[variables('v29')]")) else {
        panic!("it was evaluated")
    };
    assert!(why.contains("exceeds the limit"), "{why}");
}

#[test]
fn values_are_nested_only_so_deep() {
    let nested = "[reduce(range(0, 500), 0, lambda('a', 'b', createArray(lambdaVariables('a'))))]";
    let Err(Missing::Wrong(why)) = scope().value(&json!(nested)) else { panic!("it was evaluated") };
    assert!(why.contains("nested too deeply"), "{why}");
}

#[test]
fn rounds_of_a_lambda_do_not_copy_what_they_see() {
    // Ten thousand rounds that each see a list of ten thousand.
    let seen =
        "[length(map(createArray(range(0, 10000)), lambda('x', map(range(0, 10000), lambda('y', 1)))))]";
    assert_eq!(scope().value(&json!(seen)), Ok(json!(1)));
}
