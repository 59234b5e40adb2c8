//! Rules of a pod's own name resolution.

use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;

/// What the C library takes: servers, search paths, and their characters together.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;

pub(super) fn config(spec: &Place, report: &mut Report) {
    let at = spec.field("dnsConfig");
    let servers = at.field("nameservers");
    if spec.text("dnsPolicy") == "None" {
        if !at.is_set() {
            return report.required(&at, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            return report
                .required(&servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.len() > SERVERS_MAX {
        report.invalid(&servers, &format!("must not have more than {SERVERS_MAX} nameservers"));
    }
    for server in servers.items() {
        report.ip(&server);
    }
    let searches = at.field("searches");
    if searches.len() > SEARCHES_MAX {
        report.invalid(&searches, &format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let characters: usize =
        searches.list().iter().filter_map(Value::as_str).map(|search| search.len() + 1).sum();
    if characters.saturating_sub(1) > SEARCH_CHARACTERS_MAX {
        let detail = format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        );
        report.invalid(&searches, &detail);
    }
    for search in searches.items() {
        let text = search.as_text();
        if text != "." {
            let name = text.strip_suffix('.').unwrap_or(text);
            report.problems_of(&search, name, names::dns1123_subdomain_with_underscore(name));
        }
    }
    for option in at.field("options").items() {
        if option.text("name").is_empty() {
            report.required(&option, "must not be empty");
        }
    }
}
