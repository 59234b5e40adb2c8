//! What running costs, and what is estimated. The numbers are upstream's.

use cel::{Bindings, Budget, Environment, EvalError, Shape, Value};
use serde_json::json;

#[test]
fn running_costs_what_it_costs_upstream() {
    // From the tables of upstream's cost tests.
    let cases = [
        ("true", 0),
        ("1 + 1 == 2", 2),
        ("[1, 2, 3].sum() == 6", 4),
        ("['aaaaaaaaaa', 'bbbbbbbbbb'].isSorted()", 2),
        ("[1, 2, 3].exists(x, x == 3)", 22),
        ("[1, 2, 3].all(x, x > 0)", 16),
        ("[1, 2, 3].map(x, x + 1) == [2, 3, 4]", 44),
        ("[1, 2, 3].filter(x, x > 1).size() == 2", 36),
        ("'abc 123 def 123'.find('123') == ''", 2),
        ("'https://example.com/'.matches('^https://')", 9),
        ("'abcdefghij'.lowerAscii() == 'abcdefghij'", 2),
        ("['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ') == 'x'", 6),
        ("'aa bb cc dd ee ff gg hh ii jj'.split(' ') == []", 6),
        ("size('abc') == 3 && 'x' < 'y'", 3),
        ("has({'a': 1}.a)", 0),
    ];
    for (text, wanted) in cases {
        let program = Environment::new().compile(text).unwrap_or_else(|error| panic!("{error}"));
        let mut budget = Budget::new(1_000_000);
        program.evaluate(&Bindings::new(), &mut budget).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(budget.spent(), wanted, "{text}");
    }
}

#[test]
fn a_budget_ends_an_evaluation() {
    let numbers = json!((0..1000).collect::<Vec<_>>());
    let environment = Environment::new().variable("self", cel::Type::Dyn);
    let program = environment.compile("self.all(a, self.all(b, a + b >= 0))").unwrap();
    let decided = environment.compile("true || self.all(a, self.all(b, a + b >= 0))").unwrap();
    let hidden = environment.compile("self.all(a, self.all(b, a + b >= 0)) || true").unwrap();
    let bindings = Bindings::new().with("self", Value::json(&numbers));
    let mut budget = Budget::new(10_000_000);
    assert_eq!(program.evaluate(&bindings, &mut budget).err(), Some(EvalError::CostLimit));
    assert_eq!(EvalError::CostLimit.to_string(), "operation cancelled: actual cost limit exceeded");
    assert!(
        budget.spent() > cel::CALL_COST_MAX
            && budget.spent() < cel::CALL_COST_MAX + 100
            && !budget.is_exhausted()
    );
    // Nothing hides it.
    assert!(decided.evaluate(&bindings, &mut budget).is_ok());
    assert_eq!(hidden.evaluate(&bindings, &mut Budget::new(10_000_000)).err(), Some(EvalError::CostLimit));
}

#[test]
fn schemas_limit_the_estimate() {
    let estimate = |schema: serde_json::Value, text: &str| {
        let shape = Shape::from_schema(&schema, false, "selfType").unwrap();
        Environment::new()
            .shaped("self", shape)
            .compile(text)
            .unwrap_or_else(|error| panic!("{error}"))
            .cost()
            .max
    };
    let numbers = |limits: serde_json::Value| {
        let mut schema = json!({"type": "array", "items": {"type": "integer"}});
        schema.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        schema
    };
    // (3 MiB - 2) / 2 items when nothing limits them, of five each, and two around.
    assert_eq!(estimate(numbers(json!({})), "self.all(x, x == x)"), 1_572_863 * 5 + 2);
    assert_eq!(estimate(numbers(json!({"maxItems": 10})), "self.all(x, x == x)"), 10 * 5 + 2);
    assert_eq!(estimate(json!({"type": "string", "maxLength": 10}), "self.contains('test')"), 5);
    assert_eq!(estimate(json!({"type": "string", "maxLength": 10}), "self.matches('^a$')"), 6);
    assert_eq!(estimate(json!({"type": "string", "enum": ["aa", "bbbbbbbbbb"]}), "self + self == 'x'"), 5);
    assert_eq!(
        estimate(
            json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
            "has(self.a) && self.a > 1"
        ),
        4
    );
}
