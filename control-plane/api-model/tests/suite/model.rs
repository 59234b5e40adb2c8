use super::{model, resource};

#[test]
fn every_minor_version_loads_fast_whole_and_once() {
    for minor in api_model::model::MINORS {
        let start = std::time::Instant::now();
        let loaded = api_model::Model::load(minor).unwrap();
        let took = start.elapsed();
        assert!(took.as_millis() < 1000, "loading took {took:?}");
        eprintln!("{minor} loaded in {took:?}");
        assert_eq!(loaded.minor(), minor);
        assert_eq!(loaded.groups().len(), 21);
        // Whoever asks for the same shares it.
        assert!(std::sync::Arc::ptr_eq(&loaded, &api_model::Model::load(minor).unwrap()));
    }
    let error = api_model::Model::load("1.2").unwrap_err();
    assert_eq!(error.to_string(), "kubernetes 1.2 is not known; known: 1.34, 1.35, 1.36");
}

/// One line a resource and one a subresource, as discovery has them.
fn served(model: &api_model::Model) -> String {
    let mut out = String::new();
    for group in model.groups() {
        let name = if group.name.is_empty() { "core" } else { &group.name };
        out += &format!("group {name} {}\n", group.versions.join(" "));
        for version in &group.versions {
            let mut here: Vec<_> =
                model.resources().iter().filter(|r| r.group == group.name && r.version == *version).collect();
            here.sort_by_key(|r| &r.plural);
            for r in here {
                let scope = if r.namespaced { "Namespaced" } else { "Cluster" };
                let words = [("short", &r.short_names), ("categories", &r.categories)];
                let words: String = words
                    .iter()
                    .filter(|(_, list)| !list.is_empty())
                    .map(|(word, list)| format!(" {word}={}", list.join(",")))
                    .collect();
                let verbs = r.verbs.join(",");
                out +=
                    &format!("\t{version} {} {} {} {scope} {verbs}{words}\n", r.plural, r.singular, r.kind);
                for s in &r.subresources {
                    let other = (&s.group, &s.version) != (&r.group, &r.version);
                    let kind =
                        if other { format!("{}/{} {}", s.group, s.version, s.kind) } else { s.kind.clone() };
                    out += &format!("\t\t{}/{} {kind} {}\n", r.plural, s.name, s.verbs.join(","));
                }
            }
        }
    }
    out
}

#[test]
fn what_is_served_is_what_upstream_serves() {
    expect_test::expect_file!["../expected/1.35.served"].assert_eq(&served(model()));
    expect_test::expect_file!["../expected/1.34.served"].assert_eq(&served(&super::models()[0]));
    expect_test::expect_file!["../expected/1.36.served"].assert_eq(&served(&super::models()[2]));
}

#[test]
fn minor_versions_differ_where_upstream_does() {
    let kinds = |model: &api_model::Model| -> std::collections::BTreeSet<String> {
        model.resources().iter().map(|r| format!("{}/{}", r.api_version(), r.plural)).collect()
    };
    let [older, base, newer] = super::models() else { panic!("three minor versions") };
    assert_eq!(kinds(older), kinds(base));
    let new: Vec<String> = kinds(newer).difference(&kinds(base)).cloned().collect();
    let group = "admissionregistration.k8s.io/v1";
    assert_eq!(
        new,
        [format!("{group}/mutatingadmissionpolicies"), format!("{group}/mutatingadmissionpolicybindings")]
    );
    let has = |model: &api_model::Model, field: &[&str]| {
        model.resource("", "v1", "pods").unwrap().schema.at(field).is_some()
    };
    let (group, workload) = (["spec", "schedulingGroup"], ["spec", "workloadRef"]);
    assert_eq!([has(older, &workload), has(base, &workload), has(newer, &workload)], [false, true, false]);
    assert_eq!([has(older, &group), has(base, &group), has(newer, &group)], [false, false, true]);
}

#[test]
fn the_corpus_holds_the_facts() {
    let model = include_str!("../../corpus/1.35.model");
    let is_fact = |line: &&str| {
        !line.starts_with(['#', '\n']) && !line.trim().is_empty() && !line.starts_with("\tcol ")
    };
    let resources = model.split_once("\nresources\n").unwrap().1.lines().filter(is_fact);
    let written: Vec<&str> =
        resources.filter(|l| !l.starts_with("query ") && !l.starts_with("about ")).collect();
    let facts: Vec<&str> =
        include_str!("../../corpus/facts/1.35.resources").lines().filter(is_fact).collect();
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
