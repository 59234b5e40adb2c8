use super::{model, resource};

#[test]
fn the_corpus_loads_fast_and_whole() {
    let start = std::time::Instant::now();
    let loaded = api_model::Model::load("1.35").unwrap();
    let took = start.elapsed();
    assert!(took.as_millis() < 500, "loading took {took:?}");
    eprintln!("loaded in {took:?}");
    assert_eq!(loaded.groups().len(), 21);
    assert!(loaded.resources().len() > 60);
    assert!(api_model::Model::load("1.2").is_err());
}

#[test]
fn the_corpus_holds_the_facts() {
    let model = include_str!("../../corpus/1.35.model");
    let written: Vec<&str> = model.split_once("\nresources\n").unwrap().1.lines().collect();
    let facts = include_str!("../../corpus/facts/1.35.resources").lines();
    let facts: Vec<&str> = facts.filter(|l| !l.starts_with('#') && !l.trim().is_empty()).collect();
    assert_eq!(written, facts, "run `cargo xtask corpus`");
    let defaults = include_str!("../../corpus/facts/1.35.defaults")
        .lines()
        .filter(|l| l.contains(" = ") || l.contains(" := "));
    let defaults = defaults.filter(|l| !l.starts_with('#')).count();
    assert_eq!(model.matches(" default=").count() + model.matches(" default:=").count(), defaults);
}

#[test]
fn every_resource_knows_its_subresources_kinds_and_columns() {
    for r in model().resources() {
        assert!(r.schema.name().is_some(), "{r:?}");
        for s in &r.subresources {
            let options = s.kind.ends_with("Options");
            assert!(
                options || model().kind_schema(&s.group, &s.version, &s.kind).is_some(),
                "{}/{}",
                r.plural,
                s.name
            );
        }
        if r.verbs.iter().any(|v| v == "list") {
            assert!(!r.columns.is_empty(), "{}", r.plural);
        }
    }
    assert_eq!(resource("", "pods").short_names, ["po"]);
    assert_eq!(resource("apps", "deployments").subresource("scale").unwrap().group, "autoscaling");
    assert!(!resource("", "namespaces").verbs.contains(&"deletecollection".to_owned()));
    assert_eq!(model().by_kind("apps", "v1", "Deployment").unwrap().plural, "deployments");
    assert!(resource("", "pods").schema.at(&["spec", "containers", "image"]).is_some());
}
