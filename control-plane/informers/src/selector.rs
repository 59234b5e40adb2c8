//! Label selectors, over typed labels.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Labels as objects carry them.
pub type Labels = BTreeMap<String, String>;

/// Whether every pair of `wanted` is among `labels`.
pub fn has_all(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether the selector selects these labels. An empty selector selects everything; an operator that is not
/// known selects nothing.
pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.match_labels.as_ref().is_none_or(|wanted| has_all(wanted, labels))
        && selector.match_expressions.iter().flatten().all(|r| requirement(r, labels))
}

/// As [`matches`] for labels that may be absent.
pub fn matches_opt(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    matches(selector, labels.unwrap_or(&Labels::new()))
}

/// Whether the selector says nothing.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

fn requirement(requirement: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// The selector as a query parameter: `a=b,c in (d,e)`.
pub fn query(selector: &LabelSelector) -> String {
    let mut parts: Vec<String> =
        selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    for r in selector.match_expressions.iter().flatten() {
        let values = r.values.clone().unwrap_or_default().join(",");
        parts.push(match r.operator.as_str() {
            "In" => format!("{} in ({values})", r.key),
            "NotIn" => format!("{} notin ({values})", r.key),
            "Exists" => r.key.clone(),
            _ => format!("!{}", r.key),
        });
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn operators() {
        let with = |operator: &str, values: &[&str]| LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "app".into(),
                operator: operator.into(),
                values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
            }]),
            ..Default::default()
        };
        let web = labels(&[("app", "web")]);
        let none = Labels::new();
        for (operator, values, on_web, on_none) in [
            ("In", &["web", "db"][..], true, false),
            ("NotIn", &["web"][..], false, true),
            ("Exists", &[][..], true, false),
            ("DoesNotExist", &[][..], false, true),
            ("Near", &["web"][..], false, false),
        ] {
            let selector = with(operator, values);
            assert_eq!(matches(&selector, &web), on_web, "{operator}");
            assert_eq!(matches(&selector, &none), on_none, "{operator}");
        }
        assert!(is_empty(&LabelSelector::default()));
        assert_eq!(query(&with("In", &["a", "b"])), "app in (a,b)");
    }
}
