//! From one text of rules to the next: a script for `nft` that changes a table and keeps what its rules have counted.
//!
//! What a rule counts is kept in an object of the table, named after chain, rule and verdict. Rules, sets and chains are
//! made anew in one transaction; the objects of rules that are in both texts stay as they are, and so do the objects that
//! time connections.
//!
//! Guarantees: between two packets the whole of one text holds or the whole of the other. Does not: keep anything when the
//! table is not what the old text says; `nft` refuses the script then, and [`anew`] begins from nothing.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::facts::number;

/// The kinds of a table's parts, in the order in which they may be taken away.
const KINDS: [&str; 4] = ["chain", "set", "ct timeout", "counter"];

/// A table with nothing from before; an empty body is no table.
pub fn anew(table: &str, body: &str) -> String {
    match body.is_empty() {
        true => ::linux::nft::remove_table("ip", table),
        false => ::linux::nft::replace_table("ip", table, &counting(body)),
    }
}

/// From `old`, which the table holds, to `new`. `None`: there is nothing that could be kept.
pub fn keeping(table: &str, old: &str, new: &str) -> Option<String> {
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let (old, new) = (counting(old), counting(new));
    let kept = parts(&new);
    let mut script = format!("table ip {table}\nflush table ip {table}\n");
    for kind in KINDS {
        for (kind, name) in parts(&old).into_iter().filter(|(of, _)| *of == kind) {
            // A set's elements are those of the new text only.
            if kind == "set" || !kept.contains(&(kind, name)) {
                let _ = writeln!(script, "delete {kind} ip {table} {name}");
            }
        }
    }
    let _ = write!(script, "table ip {table} {{\n{new}}}\n");
    Some(script)
}

/// The body with an object for each counter. Lines of one rule with one verdict count together.
fn counting(body: &str) -> String {
    let mut objects = BTreeSet::new();
    let (mut text, mut chain) = (String::new(), "");
    for line in body.lines() {
        if let Some(name) = line.strip_prefix("\tchain ") {
            chain = name.trim_end_matches(" {");
        }
        match split(line) {
            Some((before, after, comment)) => {
                let stops = after.starts_with("drop ") || after.starts_with("reject ");
                let object = format!("c_{:08x}", number(&format!("{chain} {stops} {comment}")));
                let _ = writeln!(text, "{before}counter name \"{object}\" {after}");
                objects.insert(object);
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    let mut whole = String::new();
    for object in objects {
        let _ = writeln!(whole, "\tcounter {object} {{ }}");
    }
    whole + &text
}

/// What stands before a line's counter, what behind it, and its comment.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let (_, comment) = line.split_once(" comment \"")?;
    let at = line.find("counter ").filter(|at| line[..*at].ends_with(['\t', ' ']))?;
    Some((&line[..at], &line[at + "counter ".len()..], comment.trim_end_matches('"')))
}

/// Kind and name of everything that a body declares.
fn parts(body: &str) -> BTreeSet<(&'static str, &str)> {
    let declared = body.lines().filter_map(|line| line.strip_prefix('\t').filter(|l| !l.starts_with('\t')));
    declared
        .filter_map(|line| {
            let kind = KINDS.into_iter().find(|kind| line.starts_with(&format!("{kind} ")))?;
            Some((kind, line.get(kind.len() + 1..)?.split(' ').next()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const OLD: &str = "\tset vnet { type ipv4_addr; elements = { 10.0.0.0/8 } }
\tct timeout idle_240 {
\t\tprotocol tcp
\t}
\tchain nic_in_1 {
\t\tip saddr 10.0.0.4 counter drop comment \"a\"
\t\tip saddr 10.0.0.5 counter drop comment \"a\"
\t\tcounter return comment \"a\"
\t}
\tchain inbound {
\t\toifname vmap { \"br\" : jump nic_in_1 }
\t}
";

    #[test]
    fn what_is_in_both_texts_goes_on_counting() {
        let new = OLD.replace("nic_in_1", "nic_in_2").replace("10.0.0.5", "10.0.0.6");
        expect![[r#"
            table ip t
            flush table ip t
            delete chain ip t nic_in_1
            delete set ip t vnet
            delete counter ip t c_57f3fa32
            delete counter ip t c_eb48a342
            table ip t {
            	counter c_622c9c0c { }
            	counter c_f76e74d5 { }
            	set vnet { type ipv4_addr; elements = { 10.0.0.0/8 } }
            	ct timeout idle_240 {
            		protocol tcp
            	}
            	chain nic_in_2 {
            		ip saddr 10.0.0.4 counter name "c_622c9c0c" drop comment "a"
            		ip saddr 10.0.0.6 counter name "c_622c9c0c" drop comment "a"
            		counter name "c_f76e74d5" return comment "a"
            	}
            	chain inbound {
            		oifname vmap { "br" : jump nic_in_2 }
            	}
            }
        "#]]
        .assert_eq(&keeping("t", OLD, &new).unwrap());
        assert_eq!(keeping("t", "", OLD), None);
        assert_eq!(keeping("t", OLD, ""), None);
    }

    #[test]
    fn lines_of_one_rule_count_together_and_verdicts_apart() {
        let body = counting(OLD);
        let counters: Vec<_> = parts(&body).into_iter().filter(|(kind, _)| *kind == "counter").collect();
        assert_eq!(counters.len(), 2, "{body}");
        // A name of a rule that looks like more.
        let odd = "\tchain c {\n\t\tip saddr 10.0.0.4 counter return comment \"counter drop\"\n\t}\n";
        assert_eq!(parts(&counting(odd)).len(), 2);
        assert_eq!(counting("\tchain c {\n\t\taccept\n\t}\n"), "\tchain c {\n\t\taccept\n\t}\n");
    }
}
