//! What untyped expressions give.

use cel::{Bindings, Budget, Environment, Type, Value};
use serde_json::{Value as Json, json};

/// What `self` is in every case.
fn object() -> Json {
    json!({
        "name": "web", "replicas": 3, "ratio": 0.5, "on": true, "nothing": null,
        "labels": {"app": "x", "a/b": "y"},
        "items": [{"k": "a", "v": 1}, {"k": "b", "v": 2}],
        "numbers": [3, 1, 2], "words": ["b", "a"],
    })
}

pub fn run(text: &str) -> Result<Json, String> {
    let object = object();
    let environment = Environment::new().variable("self", Type::Dyn);
    let program = environment.compile(text).map_err(|error| error.to_string())?;
    let bindings = Bindings::new().with("self", Value::json(&object));
    let value =
        program.evaluate(&bindings, &mut Budget::new(10_000_000)).map_err(|error| error.to_string())?;
    value.to_json().map_err(|error| error.to_string())
}

/// All of these hold.
const TRUE: &[&str] = &[
    "1 + 2 * 3 == 7",
    "-7 / 2 == -3 && -7 % 2 == -1",
    "7u - 2u == 5u",
    "dyn(1) == 1.0 && dyn(1u) == 1 && 2.5 > 2 && 1u < 2",
    "-9223372036854775808 < 0",
    "0xFF == 255",
    "'a' + 'b' == 'ab' && \"x\" == 'x' && r'\\d' == '\\\\d'",
    "'''a\nb'''.size() == 3",
    "b'abc'.size() == 3 && b'\\xff'.size() == 1",
    "true ? true : 1/0 == 1",
    "false && (1/0 == 1) == false || true",
    "!(false && self.missing.field) && (true || self.missing)",
    "(self.missing == 1) || true",
    "[1, 2, 3][1] == 2 && {'a': 1}['a'] == 1 && {'a': 1}.a == 1",
    "[1] + [2] == [1, 2] && size([1] + [2, 3]) == 3",
    "2 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1}",
    "self.name == 'web' && self.replicas == 3 && self.ratio == 0.5 && self.on && self.nothing == null",
    "has(self.name) && !has(self.missing) && !has(self.labels.zzz)",
    "self.labels['a/b'] == 'y'",
    "self.items.all(i, i.v > 0) && self.items.exists(i, i.k == 'b') && self.items.exists_one(i, i.v == 1)",
    "self.items.map(i, i.v) == [1, 2] && self.items.map(i, i.v > 1, i.k) == ['b']",
    "self.items.filter(i, i.v == 2).size() == 1",
    "self.labels.all(k, k.size() > 0) && self.labels.exists(k, self.labels[k] == 'x')",
    "[1, dyn('x'), true].size() == 3",
    "self.items.all(i, self.numbers.exists(n, n == i.v))",
    "[0, 1].exists(x, 1 / x == 1)",
    "type(1) == int && type('') == string && type([]) == list && type(null) == null_type && type({}) == map",
    "type(self.name) == string && type(int) == type",
    "int('42') == 42 && string(42) == '42' && double('1.5') == 1.5 && uint(3) == 3u && bool('true') && string(1.0) == '1'",
    "bytes('é') == b'é' && string(b'abc') == 'abc'",
    "duration('1h30m') > duration('89m') && duration('90m').getHours() == 1 && string(duration('1m')) == '60s'",
    "timestamp('2023-01-02T03:04:05Z').getFullYear() == 2023 && timestamp('2023-01-02T03:04:05Z').getMonth() == 0",
    "timestamp('2023-01-02T23:04:05Z').getDayOfMonth('+02:00') == 2 && timestamp('2023-01-01T00:00:00Z').getDayOfWeek() == 0",
    "timestamp('2023-01-02T00:00:00Z') - timestamp('2023-01-01T00:00:00Z') == duration('24h')",
    "timestamp('2023-01-01T00:00:00Z') + duration('1h') == timestamp('2023-01-01T01:00:00Z')",
    // texts
    "'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.contains('ell') && 'a1'.matches('^[a-z][0-9]$')",
    "matches('a1', r'^[a-z]\\d$')",
    "'hello'.charAt(1) == 'e' && 'hello'.charAt(5) == ''",
    "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'x'.indexOf('y') == -1",
    "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
    "'héllo'.substring(1, 3) == 'él' && 'hello'.substring(4) == 'o'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']",
    "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'",
    "'TacoCat'.lowerAscii() == 'tacocat' && 'TacoCÆt'.upperAscii() == 'TACOCÆT' && '  x '.trim() == 'x'",
    "'hello'.replace('l', 'L') == 'heLLo' && 'hello'.replace('l', 'L', 1) == 'heLlo'",
    "'%s is %d, %.2f, %x, %b, %o, %e, %%'.format([dyn('a'), 1, 2.5, 255, 5, 8, 1.0]) == 'a is 1, 2.50, ff, 101, 10, 1.000000e+00, %'",
    "'%s'.format([[dyn(1), 'a', {'k': true}]]) == '[1, a, {k: true}]'",
    "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
    // lists, sets, regular expressions
    "[1, 2, 3].sum() == 6 && [1, 3, 2].max() == 3 && ['b', 'a'].min() == 'a' && [1, 2].isSorted() && ![2, 1].isSorted()",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(9) == -1 && self.numbers.sum() == 6",
    "sets.contains([1, 2, 3], [2, 1]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2]) && !sets.intersects([1], [])",
    "'abc 123 def 456'.find('[0-9]+') == '123' && 'abc 123 def 456'.findAll('[0-9]+') == ['123', '456']",
    "'1 2 3'.findAll('[0-9]', 2) == ['1', '2'] && ''.find('x') == ''",
    // networks
    "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && isIP('10.0.0.1') && !isIP('10.0.0.256') && !isIP('::ffff:1.2.3.4')",
    "ip('169.254.1.1').isLinkLocalUnicast() && ip('224.0.0.1').isLinkLocalMulticast() && ip('10.0.0.1').isGlobalUnicast()",
    "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1') && string(ip('10.0.0.1')) == '10.0.0.1'",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !isCIDR('10.0.0.0')",
    "cidr('10.0.0.0/8').containsIP(ip('10.0.0.1')) && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 && cidr('10.0.0.1/8').ip() == ip('10.0.0.1')",
    // quantities, versions, formats, addresses of pages
    "quantity('1Gi').isGreaterThan(quantity('1G'))",
    "quantity('50k').compareTo(quantity('50000')) == 0 && quantity('1').add(quantity('500m')) == quantity('1500m')",
    "isQuantity('1.5Gi') && !isQuantity('x') && quantity('50000000G').isInteger() && quantity('1500m').sign() == 1",
    "quantity('1k').asInteger() == 1000 && quantity('0.5').asApproximateFloat() == 0.5 && quantity('5').sub(2) == quantity('3')",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.2.3').minor() == 2 && isSemver('1.0.0') && !isSemver('v1.0')",
    "semver('v1.2', true) == semver('1.2.0') && semver('1.0.0-rc1').compareTo(semver('1.0.0')) == -1 && isSemver('v01.2', true)",
    "!format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('Bad_').hasValue()",
    "format.named('dns1123Subdomain').hasValue() && !format.named('zzz').hasValue() && !format.date().validate('2023-01-02').hasValue()",
    "url('https://user@example.com:8080/a/b?k=v&k=w').getHost() == 'example.com:8080'",
    "url('https://example.com:80/a%20b?k=v&k=w').getQuery() == {'k': ['v', 'w']} && url('/path').getScheme() == ''",
    "url('https://[::1]:80/x').getHostname() == '::1' && url('https://[::1]:80/x').getPort() == '80' && isURL('/a') && !isURL('a b')",
    // optional values
    "self.?name.orValue('x') == 'web' && self.?missing.orValue('x') == 'x' && !self.?missing.?deeper.hasValue()",
    "optional.of(1).value() == 1 && optional.none().or(optional.of(2)).value() == 2 && !optional.ofNonZeroValue('').hasValue()",
    "self.labels[?'app'].orValue('') == 'x' && [1, 2][?5].orValue(9) == 9",
    "[?optional.of(1), ?optional.none()] == [1] && {?'a': optional.none(), 'b': 2} == {'b': 2}",
    "optional.of(2).optMap(x, x * 2).value() == 4 && self.?missing.optMap(x, x + 1).orValue(7) == 7",
    "optional.of(2).optFlatMap(x, optional.of(x + 1)).value() == 3",
    // two variables
    "[1, 2].all(i, v, i < v) && {'a': 1}.exists(k, v, k == 'a' && v == 1) && [5].existsOne(i, v, v == 5)",
    "[1, 2].transformList(i, v, v * 10) == [10, 20] && [1, 2].transformList(i, v, i > 0, v) == [2]",
    "{'a': 1, 'b': 2}.transformMap(k, v, v + 1) == {'a': 2, 'b': 3} && {'a': 1, 'b': 2}.transformMap(k, v, v > 1, v) == {'b': 2}",
    "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
    "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'",
    "dyn(1) == 1 && dyn([dyn(1), 'a'][0]) == 1",
    "// a remark\n true",
];

#[test]
fn what_holds() {
    for text in TRUE {
        assert_eq!(run(text), Ok(json!(true)), "{text}");
    }
}

#[test]
fn what_fails_says_why() {
    let cases = [
        ("self.missing", "no such key: missing"),
        ("self.labels['z']", "no such key: z"),
        ("[1][5]", "index out of bounds: 5"),
        ("1 / (self.replicas - 3)", "division by zero"),
        ("1 % (self.replicas - 3)", "modulus by zero"),
        ("9223372036854775807 + self.replicas", "integer overflow"),
        ("self.name < 1", "no such overload"),
        ("self.name.items.all(x, true)", "no such overload"),
        ("self.missing || false", "no such key: missing"),
        ("optional.none().value()", "optional.none() dereference"),
        ("self.numbers.filter(n, n > 5).max()", "max called on empty list"),
        ("int(self.name)", "type conversion error from 'string' to 'int': \"web\""),
        (
            "quantity(self.name)",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("{'a': 1, self.labels.app == 'x' ? 'a' : 'b': 2}", "Failed with repeated key: a"),
        ("'x'.substring(3)", "index out of range: 3"),
    ];
    for (text, wanted) in cases {
        assert_eq!(run(text), Err(wanted.to_owned()), "{text}");
    }
}

#[test]
fn values_become_json() {
    let cases = [
        (
            "{'a': dyn([dyn(1), 2.5, null, true]), 'b': duration('90s')}",
            json!({"a": [1, 2.5, null, true], "b": "90s"}),
        ),
        ("self.labels", json!({"app": "x", "a/b": "y"})),
        ("'x' + string(self.replicas)", json!("x3")),
        ("timestamp('2023-01-02T03:04:05Z')", json!("2023-01-02T03:04:05Z")),
        ("quantity('1024Mi')", json!("1Gi")),
        ("[self.items[0].k] + self.words", json!(["a", "b", "a"])),
    ];
    for (text, wanted) in cases {
        assert_eq!(run(&format!("dyn({text})")), Ok(wanted), "{text}");
    }
}

#[derive(Debug)]
struct Lazy(Json);

impl<'a> cel::Record<'a> for Lazy {
    fn field(&self, name: &str, _: &mut Budget) -> Option<Result<Value<'a>, cel::EvalError>> {
        self.0.get(name).map(|value| Ok(Value::Int(value.as_i64().unwrap_or(0))))
    }
}

#[test]
fn variables_can_be_made_when_they_are_asked_for() {
    let environment = Environment::new().variable("variables", Type::Dyn);
    let program = environment.compile("variables.a + 1 == 3 && !has(variables.b)").unwrap();
    let record = std::sync::Arc::new(Lazy(json!({"a": 2})));
    let bindings = Bindings::new().with("variables", Value::Record(record));
    assert_eq!(program.evaluate(&bindings, &mut Budget::new(1000)).unwrap().as_bool(), Some(true));
}

struct Rules;

impl cel::Authorizer for Rules {
    fn authorize(&self, question: &cel::Question<'_>) -> cel::Decision {
        let check = question.check;
        let allowed = match &check.path {
            Some(path) => path == "/healthz",
            None => {
                check.resource.as_deref() == Some("pods")
                    && check.namespace == "default"
                    && question.verb == "get"
            }
        };
        cel::Decision { allowed, reason: format!("{:?}", question.service_account), error: None }
    }
}

#[test]
fn the_authorizer_is_asked() {
    let environment = Environment::new().authorizer().request_resource();
    let cases = [
        "authorizer.path('/healthz').check('get').allowed()",
        "authorizer.group('').resource('pods').namespace('default').check('get').allowed()",
        "!authorizer.group('').resource('pods').subresource('log').namespace('x').check('get').allowed()",
        "authorizer.serviceAccount('ns', 'sa').path('/x').check('get').reason() == 'Some((\"ns\", \"sa\"))'",
        "authorizer.requestResource.check('get').allowed() && !authorizer.requestResource.check('put').errored()",
    ];
    let request = cel::Check {
        resource: Some("pods".to_owned()),
        namespace: "default".to_owned(),
        ..cel::Check::default()
    };
    for text in cases {
        let program = environment.compile(text).unwrap_or_else(|error| panic!("{error}"));
        let bindings = Bindings::new()
            .with("authorizer", Value::authorizer(&Rules))
            .with("authorizer.requestResource", Value::request_resource(&Rules, request.clone()));
        let value = program
            .evaluate(&bindings, &mut Budget::new(10_000_000))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.as_bool(), Some(true), "{text}");
    }
    let three = "[1, 2, 3].all(x, authorizer.path('/healthz').check('get').allowed())";
    let program = environment.compile(three).unwrap();
    let bindings = Bindings::new().with("authorizer", Value::authorizer(&Rules));
    assert!(matches!(
        program.evaluate(&bindings, &mut Budget::new(10_000_000)),
        Err(cel::EvalError::CostLimit)
    ));
}

#[test]
fn mutating_policies_make_objects() {
    let environment = Environment::new().policy_objects().variable("object", Type::Dyn);
    let program = environment.compile("Object{spec: Object.spec{replicas: 2}, ?x: optional.none()}").unwrap();
    assert_eq!(program.result_type().to_string(), "Object");
    let value = program.evaluate(&Bindings::new(), &mut Budget::new(1000)).unwrap();
    assert_eq!(value.to_json().unwrap(), json!({"spec": {"replicas": 2}}));
    let program = environment.compile("[JSONPatch{op: 'add', path: '/a', value: [1]}]").unwrap();
    assert_eq!(program.result_type().to_string(), "list(JSONPatch)");
    for text in [
        "JSONPatch{}.op == '' && JSONPatch{op: 'add'}.path == '' && JSONPatch{op: 'add'}.op == 'add'",
        "!has(JSONPatch{from: ''}.from) && has(JSONPatch{from: '/a'}.from) && !has(JSONPatch{}.value)",
        "JSONPatch{op: '', path: '/a'} == JSONPatch{path: '/a'} && JSONPatch{} != JSONPatch{op: 'add'}",
        "!JSONPatch{}.?op.hasValue()",
    ] {
        let program = environment.compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let value = program.evaluate(&Bindings::new(), &mut Budget::new(10_000)).unwrap();
        assert_eq!(value.as_bool(), Some(true), "{text}");
    }
}
