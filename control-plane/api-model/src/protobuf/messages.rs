//! The table of messages: which field has which number.

use std::collections::HashMap;

const META: &str = "apimachinery.pkg.apis.meta.v1";
/// Kinds that say what is served; `v1` is all of their version.
const DISCOVERY: [&str; 4] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions"];

/// How a field stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Whole,
    Double,
    Bytes,
    /// By its place in the table.
    Message(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    One,
    Many,
    /// Keys are texts.
    Map,
    /// A message whose fields JSON shows in its parent.
    Spread,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub number: u64,
    pub name: &'static str,
    pub kind: Kind,
    pub count: Count,
    /// Its zero is a value.
    pub keep: bool,
}

#[derive(Debug)]
pub(super) struct Message {
    /// Its full name, as the corpus has it.
    pub name: &'static str,
    pub fields: Vec<Field>,
    /// Fields whose numbers are not known.
    pub unnumbered: Vec<&'static str>,
}

/// All messages of a minor version.
#[derive(Debug)]
pub(crate) struct Messages {
    all: Vec<Message>,
    names: HashMap<&'static str, usize>,
}

impl Messages {
    /// Reads the corpus; lines it cannot read are left out.
    pub(crate) fn parse(text: &'static str) -> Self {
        let named = text.lines().filter_map(|line| line.strip_prefix("type "));
        let names: HashMap<&'static str, usize> = named.enumerate().map(|(at, name)| (name, at)).collect();
        let mut all: Vec<Message> = Vec::with_capacity(names.len());
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("type ") {
                all.push(Message { name, fields: Vec::new(), unnumbered: Vec::new() });
            } else if let (Some(name), Some(message)) = (line.strip_prefix("\t? "), all.last_mut()) {
                message.unnumbered.push(name);
            } else if let (Some(line), Some(message)) = (line.strip_prefix('\t'), all.last_mut()) {
                message.fields.extend(field(line, &names));
            }
        }
        // Go writes them so, and so do we.
        all.iter_mut().for_each(|message| message.fields.sort_by_key(|field| field.number));
        Self { all, names }
    }

    pub(super) fn get(&self, at: usize) -> Option<&Message> {
        self.all.get(at)
    }

    /// The message of a kind.
    pub(super) fn of_kind(&self, api_version: &str, kind: &str) -> Option<usize> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        // These belong to all groups.
        let everywhere = kind.ends_with("Options") && !kind.starts_with("Pod")
            || (kind == "Status" && api_version == "v1");
        if everywhere && let Some(at) = self.names.get(format!("{META}.{kind}").as_str()) {
            return Some(*at);
        }
        let package = match group {
            "" if DISCOVERY.contains(&kind) => META.trim_end_matches(".v1"),
            "" => "api.core",
            "meta.k8s.io" => "apimachinery.pkg.apis.meta",
            "apiextensions.k8s.io" => "apiextensions-apiserver.pkg.apis.apiextensions",
            "apiregistration.k8s.io" => "kube-aggregator.pkg.apis.apiregistration",
            "internal.apiserver.k8s.io" => "api.apiserverinternal",
            // Groups of the same first word that are not built in, such as `storage.example.com`.
            group if group.contains('.') && !group.ends_with(".k8s.io") => return None,
            group => &format!("api.{}", group.split('.').next().unwrap_or_default()),
        };
        self.names.get(format!("{package}.{version}.{kind}").as_str()).copied()
    }
}

fn field(line: &'static str, names: &HashMap<&'static str, usize>) -> Option<Field> {
    let mut words = line.split(' ');
    let (number, name, code) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (count, code) = match (name, code.strip_prefix("[]"), code.strip_prefix("map:")) {
        ("^", ..) => (Count::Spread, code),
        (_, Some(code), _) => (Count::Many, code),
        (_, _, Some(code)) => (Count::Map, code),
        _ => (Count::One, code),
    };
    let kind = match code {
        "string" => Kind::Text,
        "bool" => Kind::Bool,
        "int" => Kind::Whole,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        code => Kind::Message(*names.get(code.strip_prefix('@')?)?),
    };
    Some(Field { number, name, kind, count, keep: words.next() == Some("!") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_corpus_is_read() {
        for text in [
            include_str!("../../corpus/1.34.protobuf"),
            include_str!("../../corpus/1.35.protobuf"),
            include_str!("../../corpus/1.36.protobuf"),
        ] {
            let messages = Messages::parse(text);
            let fields = |message: &Message| message.fields.len() + message.unnumbered.len();
            let fields: usize = messages.all.iter().map(fields).sum();
            assert_eq!(fields, text.lines().filter(|line| line.starts_with('\t')).count());
            assert_eq!(messages.all.len(), messages.names.len());
        }
    }

    #[test]
    fn kinds_find_their_messages() {
        let messages = Messages::parse(include_str!("../../corpus/1.35.protobuf"));
        let name = |version, kind| messages.of_kind(version, kind).map(|at| messages.all[at].name);
        assert_eq!(name("v1", "Pod"), Some("api.core.v1.Pod"));
        assert_eq!(name("rbac.authorization.k8s.io/v1", "Role"), Some("api.rbac.v1.Role"));
        assert_eq!(name("apps/v1", "DeleteOptions"), Some("apimachinery.pkg.apis.meta.v1.DeleteOptions"));
        assert_eq!(name("v1", "PodExecOptions"), Some("api.core.v1.PodExecOptions"));
        assert_eq!(name("v1", "Status"), Some("apimachinery.pkg.apis.meta.v1.Status"));
        assert_eq!(name("apps.example.com/v1", "Deployment"), None);
    }
}
