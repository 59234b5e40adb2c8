//! What does not compile, and in which words.

use cel::{Environment, Shape, Type};
use serde_json::json;

fn environment() -> Environment {
    let schema = json!({"type": "object", "properties": {
        "replicas": {"type": "integer"}, "name": {"type": "string"}, "foo.bar": {"type": "string"},
        "list": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "any": {"x-kubernetes-preserve-unknown-fields": true},
        "port": {"x-kubernetes-int-or-string": true},
        "when": {"type": "string", "format": "date-time"},
    }});
    let shape = Shape::from_schema(&schema, true, "selfType").unwrap();
    Environment::new().shaped("self", shape).variable("d", Type::Dyn)
}

#[test]
fn issues_are_worded_and_placed_as_upstream_does() {
    let cases = [
        ("x", "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x\n | ^"),
        (
            "self.replicas > foo",
            "ERROR: <input>:1:17: undeclared reference to 'foo' (in container '')\n | self.replicas > foo\n | ................^",
        ),
        ("self.missing", "ERROR: <input>:1:5: undefined field 'missing'\n | self.missing\n | ....^"),
        ("self.any == 1", "ERROR: <input>:1:5: undefined field 'any'\n | self.any == 1\n | ....^"),
        (
            "self.replicas == 'a'",
            "ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, string)'\n | self.replicas == 'a'\n | ..............^",
        ),
        (
            "self.name.startsWith(1)",
            "ERROR: <input>:1:21: found no matching overload for 'startsWith' applied to 'string.(int)'\n | self.name.startsWith(1)\n | ....................^",
        ),
        (
            "self.name.foo()",
            "ERROR: <input>:1:14: undeclared reference to 'foo' (in container '')\n | self.name.foo()\n | .............^",
        ),
        (
            "self.name.x",
            "ERROR: <input>:1:10: type 'string' does not support field selection\n | self.name.x\n | .........^",
        ),
        (
            "self.list == null",
            "ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(list(string), null)'\n | self.list == null\n | ..........^",
        ),
        (
            "self.name.all(x, true)",
            "ERROR: <input>:1:5: expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.name.all(x, true)\n | ....^",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "true ? 1 : 'a'",
            "ERROR: <input>:1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'\n | true ? 1 : 'a'\n | .....^",
        ),
        (
            "self.name.matches('(')",
            "ERROR: <input>:1:19: invalid matches argument\n | self.name.matches('(')\n | ..................^",
        ),
        (
            "duration('x') > duration('1s')",
            "ERROR: <input>:1:10: invalid duration argument\n | duration('x') > duration('1s')\n | .........^",
        ),
        ("has(self)", "ERROR: <input>:1:4: invalid argument to has() macro\n | has(self)\n | ...^"),
        (
            "self.list.all(1, true)",
            "ERROR: <input>:1:15: argument must be a simple name\n | self.list.all(1, true)\n | ..............^",
        ),
        ("for", "ERROR: <input>:1:1: reserved identifier: for\n | for\n | ^"),
        (
            "a\n + b",
            "ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a\n | ^\nERROR: <input>:2:4: undeclared reference to 'b' (in container '')\n |  + b\n | ...^",
        ),
        (
            "1 $ 2",
            "ERROR: <input>:1:3: Syntax error: token recognition error at: '$'\n | 1 $ 2\n | ..^\nERROR: <input>:1:5: Syntax error: extraneous input '2' expecting <EOF>\n | 1 $ 2\n | ....^",
        ),
    ];
    for (text, wanted) in cases {
        let error = environment().compile(text).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(wanted), "{text}");
    }
    let error = environment().compile("").err().map(|error| error.to_string()).unwrap();
    assert!(error.starts_with(
        "ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!'"
    ));
}

#[test]
fn results_have_types() {
    let cases = [
        ("self.replicas + 1", "int"),
        ("self.list", "list(string)"),
        ("self.map", "map(string, string)"),
        ("self.list.map(x, x.size())", "list(int)"),
        ("self.map.map(k, k)", "list(string)"),
        ("self.?name", "optional_type(string)"),
        ("self.?name.orValue('')", "string"),
        ("self.port", "dyn"),
        ("self.when", "timestamp"),
        ("self.foo__dot__bar", "string"),
        ("[]", "list(dyn)"),
        ("{'a': []}", "map(string, list(dyn))"),
        ("[1].transformMap(i, v, string(v))", "map(int, string)"),
        ("self", "selfType"),
        ("self.metadata.name", "string"),
        ("d.x.y", "dyn"),
        ("d.x == 1", "bool"),
        ("type(self.name)", "type(string)"),
        ("quantity('1')", "kubernetes.Quantity"),
    ];
    for (text, wanted) in cases {
        let program = environment().compile(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(program.result_type().to_string(), wanted, "{text}");
    }
    assert!(environment().compile("self.replicas > 1").unwrap().uses("self"));
    assert!(!environment().compile("1 > 2").unwrap().uses("self"));
}
