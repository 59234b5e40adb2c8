use api_model::quantity::Quantity;
use proptest::prelude::*;

#[test]
fn canonical_forms_are_upstreams() {
    let cases = [
        ("0", "0"),
        ("0Gi", "0"),
        ("1", "1"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("100m", "100m"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1Gi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000", "1k"),
        ("1000k", "1M"),
        ("2e3", "2e3"),
        ("12e6", "12e6"),
        ("1E", "1E"),
        ("1Ei", "1Ei"),
        ("-1", "-1"),
        ("+2", "2"),
        ("123456789", "123456789"),
        (".5", "500m"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("5.", "5"),
        ("9Ei", "9Ei"),
        ("2048", "2048"),
        ("1e0", "1"),
    ];
    for (text, expected) in cases {
        assert_eq!(Quantity::parse(text).map(|q| q.canonical()).as_deref(), Ok(expected), "{text}");
    }
    for bad in ["", "x", "1x", "1.2.3", "Gi", "--1", "1 Gi", "1e", "1ki"] {
        assert!(Quantity::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn arithmetic_and_rounding() {
    let q = |t: &str| Quantity::parse(t).unwrap();
    assert_eq!(q("1Gi").add(&q("512Mi")).canonical(), "1536Mi");
    assert_eq!(q("2").sub(&q("500m")).canonical(), "1500m");
    assert_eq!(q("1500m").value(), 2);
    assert_eq!(q("0.0001").milli_value(), 1);
    assert!(q("1Ki") > q("1k"));
    assert_eq!(q("1000m"), q("1"));
}

proptest! {
    #[test]
    fn parsing_what_was_written_gives_the_same(n in -1_000_000_000_000i64..1_000_000_000_000, suffix in "(n|u|m|k|M|G|Ki|Mi|Gi|e3|)") {
        let one = Quantity::parse(&format!("{n}{suffix}")).unwrap();
        let again = Quantity::parse(&one.canonical()).unwrap();
        prop_assert_eq!(one, again);
        prop_assert_eq!(one.canonical(), again.canonical());
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = Quantity::parse(&text);
    }
}
