//! What nobody sends by mistake.

use cel::{Bindings, Budget, Environment, Type, Value};
use proptest::prelude::*;
use serde_json::json;

fn run(text: &str) {
    let object = json!({"a": "x".repeat(5000), "l": (0..2000).collect::<Vec<_>>(), "m": {"k": {"k": {}}}});
    let environment = Environment::new().variable("self", Type::Dyn);
    if let Ok(program) = environment.compile(text) {
        let bindings = Bindings::new().with("self", Value::json(&object));
        let _ = program.evaluate(&bindings, &mut Budget::new(10_000_000)).map(|value| value.to_json());
    }
}

#[test]
fn depth_length_and_size_are_limited() {
    let many = 100_000;
    let texts = [
        "(".repeat(many),
        format!("{}1{}", "(".repeat(many / 2 - 1), ")".repeat(many / 2 - 1)),
        format!("{}true", "!".repeat(many - 4)),
        format!("{}1", "-".repeat(many - 1)),
        format!("self{}", ".a".repeat(many / 2 - 2)),
        format!("self{}", "[0]".repeat(many / 3 - 2)),
        format!("1{}", "+1".repeat(many / 2 - 1)),
        format!("true{}", "&&true".repeat(many / 6 - 2)),
        "[".repeat(many),
        "{1:".repeat(many / 3),
        "true?".repeat(many / 5),
        "x".repeat(many + 1),
        format!("self.l{}", ".map(x,[x,x])".repeat(200)),
        format!("self.a{}", ".replace('', self.a)".repeat(200)),
        "self.l.all(a, self.l.all(b, self.l.all(c, true)))".to_owned(),
        "self.l.map(a, self.l + self.l).map(b, b + b + b).size() > 0".to_owned(),
        "self.l.map(a, self.l).map(b, b == self.l).size() > 0".to_owned(),
        "self.a.replace('', self.a).replace('x', self.a).size() > 0".to_owned(),
        "self.a.matches('(a*)*(b*)*(x*)*$')".to_owned(),
        "self.a.matches('((((a{100}){100}){100}){100})')".to_owned(),
        "'%.999999999f'.format([1.0])".to_owned(),
        "self.l.map(x, '%s'.format([self])).size() > 0".to_owned(),
        "'\\uD800'".to_owned(),
        "timestamp(9223372036854775807)".to_owned(),
        "duration('9223372036s') * 1 == 1".to_owned(),
        "-9223372036854775808 / -1 == 1".to_owned(),
        "-9223372036854775808 % -1 == 1".to_owned(),
    ];
    for text in &texts {
        run(text);
    }
    assert!(Environment::new().compile(&texts[7]).is_ok(), "a chain of `&&` is not deep");
}

#[test]
fn deep_expressions_run_on_a_small_stack() {
    let text = format!("{}true{}", "(true ? ".repeat(248), " : false)".repeat(248));
    let folds = format!("{}true{}", "[1].all(x, ".repeat(248), ")".repeat(248));
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for text in [text, folds] {
            let program = Environment::new().compile(&text).unwrap_or_else(|error| panic!("{error}"));
            let value = program.evaluate(&Bindings::new(), &mut Budget::new(1_000_000)).unwrap();
            assert_eq!(value.as_bool(), Some(true));
        }
    });
    thread.unwrap().join().unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        run(&text);
    }

    #[test]
    fn no_mixture_of_its_words_makes_it_panic(parts in proptest::collection::vec(
        proptest::sample::select(vec![
            "self", ".", "a", "l", "m", "[", "]", "(", ")", "{", "}", ",", ":", "?", "&&", "||", "!", "-", "+", "*", "/", "%", "==", "<", "in",
            "1", "0", "'x'", "1.5", "2u", "null", "true", ".all(x,", ".map(x,", ".exists(x,", "x", "has(", ".?a", "[?0]", "optional.of(",
            ".optMap(x,", "quantity('1')", "type(", "dyn(", ".size()", ".split('')", ".sum()", ".transformMap(k,v,", "Object{", "b'\\xff'", "//", "\n",
        ]), 0..25)) {
        run(&parts.concat());
    }
}
