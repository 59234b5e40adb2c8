//! The resources of a minor version: the base's facts with those of the minor version laid over, columns with their prose.
//!
//! Facts say `col <name>[*] <type>[:<format>] | <description>` or, instead of a description, `@<type>.<field>` whose prose
//! it is; the corpus says `col <name>[*] <type>[:<format>] "<description>"`. Columns that most kinds have (`Name`, `Age`,
//! `Created At`) are one word in both; what they say stands once, in lines `about <word> "<description>"`.

use anyhow::{Context, bail};
use serde_json::{Map, Value};

/// Columns that stand for themselves, and the field of all objects whose prose they carry.
const USUAL: [(&str, &str); 3] =
    [("Name", "name"), ("Age", "creationTimestamp"), ("Created At", "creationTimestamp")];
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A group's line and its resources, each with its details.
struct Group {
    line: String,
    resources: Vec<Vec<String>>,
}

/// Lays `other` over `base`: a resource named in both is the other's, with all details; a new one comes in order of name.
pub fn merged(base: &str, other: &str) -> anyhow::Result<String> {
    let mut groups = read(base)?;
    for group in read(other)? {
        let name = first_words(&group.line);
        match groups.iter_mut().find(|known| first_words(&known.line) == name) {
            Some(known) => group.resources.into_iter().for_each(|resource| lay(known, resource)),
            None => groups.push(group),
        }
    }
    let mut out = String::new();
    for group in groups {
        out.push_str(&group.line);
        out.push('\n');
        for line in group.resources.into_iter().flatten() {
            out.push_str(&line);
            out.push('\n');
        }
    }
    Ok(out)
}

fn read(text: &str) -> anyhow::Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if line.starts_with("group ") {
            groups.push(Group { line: line.to_owned(), resources: Vec::new() });
            continue;
        }
        let group = groups.last_mut().context("a resource before any group")?;
        if line.starts_with('\t') {
            group.resources.last_mut().context("a detail before any resource")?.push(line.to_owned());
        } else {
            group.resources.push(vec![line.to_owned()]);
        }
    }
    Ok(groups)
}

/// `group <name>` of a group, plural and version of a resource.
fn first_words(line: &str) -> (&str, &str) {
    let mut words = line.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if first == "group" {
        (first, second)
    } else {
        (first, words.find(|word| word.starts_with('@')).unwrap_or_default())
    }
}

fn lay(group: &mut Group, resource: Vec<String>) {
    let name = |resource: &[String]| resource.first().map(|line| line.to_owned()).unwrap_or_default();
    let own = name(&resource);
    match group.resources.iter_mut().find(|known| first_words(&name(known)) == first_words(&own)) {
        Some(known) => *known = resource,
        None => {
            let at =
                group.resources.iter().position(|known| name(known) > own).unwrap_or(group.resources.len());
            group.resources.insert(at, resource);
        }
    }
}

/// The resources as the corpus has them.
pub fn written(facts: &str, definitions: &Map<String, Value>) -> anyhow::Result<String> {
    let mut out = String::new();
    for (word, field) in USUAL {
        out.push_str(&format!("about {word} {}\n", Value::from(prose(definitions, META, field)?)));
    }
    for line in facts.lines() {
        match line.strip_prefix("\tcol ") {
            Some(column) => out.push_str(&format!("\tcol {}\n", self::column(column, definitions)?)),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

fn column(text: &str, definitions: &Map<String, Value>) -> anyhow::Result<String> {
    let Some((head, about)) = text.split_once(" |") else {
        if USUAL.iter().all(|(word, _)| *word != text.trim_end_matches('*')) {
            bail!("a column without a description: {text}");
        }
        return Ok(text.to_owned());
    };
    let about = about.trim();
    let about = match about.strip_prefix('@') {
        Some(path) => {
            let (name, field) = path.rsplit_once('.').with_context(|| text.to_owned())?;
            prose(definitions, &format!("io.k8s.{name}"), field)?
        }
        None => about,
    };
    Ok(format!("{head} {}", Value::from(about)))
}

fn prose<'a>(definitions: &'a Map<String, Value>, name: &str, field: &str) -> anyhow::Result<&'a str> {
    let found = definitions.get(name).and_then(|known| known["properties"][field]["description"].as_str());
    found.with_context(|| format!("no prose of {name}.{field}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn another_minor_version_adds_and_replaces() {
        let base = "group a v1\nbs B\n\tcol Name\nds D\n";
        let other = "# why\ngroup a v1\nbs B ns\ncs C\n\tcol Name\ngroup z v1\nzs Z\n";
        let merged = super::merged(base, other).unwrap();
        assert_eq!(merged, "group a v1\nbs B ns\ncs C\n\tcol Name\nds D\ngroup z v1\nzs Z\n");
    }
}
