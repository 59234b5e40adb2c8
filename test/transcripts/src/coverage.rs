//! Which commands of a list are run by transcripts.
//!
//! A list has a command a line, without options: `az network lb rule create`. A command that no transcript runs has its
//! reason behind a colon: `az aks browse: it prints an address of the portal`. A reason that is no longer true is a
//! fault too, except for those that begin with `elsewhere` (something runs it that is no transcript). To be answered
//! with `NotImplemented` is not to be run: such a command's reason says `not built`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A list against transcripts.
#[derive(Debug, Default)]
pub struct Coverage {
    /// What the list says of each command: nothing, or why no transcript runs it.
    listed: BTreeMap<String, Option<String>>,
    run: BTreeSet<String>,
    /// Answered with [`NOT_BUILT`] somewhere.
    refused: BTreeSet<String>,
}

/// The code of what the service does not do.
const NOT_BUILT: &str = "NotImplemented";

impl Coverage {
    /// Reads a list. A command that is listed twice is an error.
    pub fn read(list: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(list).with_context(|| format!("failed to read `{}`", list.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut listed = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (command, reason) = match line.split_once(':') {
                Some((command, reason)) => (command.trim(), Some(reason.trim().to_owned())),
                None => (line, None),
            };
            ensure!(command.starts_with("az "), "`{line}` is no command of az");
            ensure!(reason.as_deref() != Some(""), "`{command}` has a colon and no reason");
            ensure!(listed.insert(command.to_owned(), reason).is_none(), "`{command}` is listed twice");
        }
        Ok(Self { listed, ..Self::default() })
    }

    /// Takes in the transcripts of a folder.
    pub fn folder(&mut self, folder: &Path) -> Result<()> {
        let unread = || format!("failed to read `{}`", folder.display());
        for entry in std::fs::read_dir(folder).with_context(unread)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "az") {
                self.transcript(&std::fs::read_to_string(&path).with_context(unread)?);
            }
        }
        Ok(())
    }

    /// A command counts when the transcript expects that it succeeds, or that the service refuses it with a code: what az
    /// itself refuses, or fails over, shows nothing.
    fn transcript(&mut self, text: &str) {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let assigned =
                line.split_once("=$(").is_some_and(|(name, _)| !name.contains(|c: char| c.is_whitespace()));
            if !line.starts_with("$ ") && !assigned {
                continue;
            }
            let fails = lines.peek().and_then(|next| next.strip_prefix("! "));
            // Exit code 3 is az's word for 404.
            if fails.is_some_and(|rest| !rest.contains(' ') && rest != "3") {
                continue;
            }
            let not_built = fails.is_some_and(|rest| rest.ends_with(NOT_BUILT));
            for words in line.split("az ").skip(1) {
                self.note(words, not_built);
            }
        }
    }

    fn note(&mut self, words: &str, not_built: bool) {
        let is_word =
            |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let words = words.split_whitespace().take_while(|word| !word.starts_with('-')).take_while(is_word);
        let mut command = String::from("az");
        for word in words {
            command = format!("{command} {word}");
            if self.listed.contains_key(&command) {
                let noted = if not_built { &mut self.refused } else { &mut self.run };
                noted.insert(command.clone());
            }
        }
    }

    /// How many commands are run, and how many are listed.
    pub fn counts(&self) -> (usize, usize) {
        (self.run.len(), self.listed.len())
    }

    /// What does not hold, a line each.
    pub fn faults(&self) -> Vec<String> {
        let fault = |(command, reason): (&String, &Option<String>)| {
            let said = reason.as_deref().unwrap_or_default();
            match (self.run.contains(command), self.refused.contains(command)) {
                (true, _) if reason.is_some() && !said.starts_with("elsewhere") => {
                    Some(format!("`{command}` is run by a transcript; its reason can go: {said}"))
                }
                (false, true) if !said.contains("not built") => {
                    Some(format!("`{command}` is answered with {NOT_BUILT}; its reason is `not built`"))
                }
                (false, false) if reason.is_none() => {
                    Some(format!("`{command}` is run by no transcript and has no reason"))
                }
                _ => None,
            }
        };
        self.listed.iter().filter_map(fault).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_run_or_has_a_reason() {
        let list = "# of groups\naz group show\naz group create\naz group list: lists\naz group wait: waits\naz vm list: elsewhere, in a test\naz vm start: not built\naz vm stop";
        let mut coverage = Coverage::parse(list).unwrap();
        coverage.transcript(
            "$ az group show -n none\n! 3 ResourceGroupNotFound\n$ az group create\n! 2\nX=$(az group list -o tsv)\n$ az vm list\n[]\n\
             $ az vm start\n! 1 NotImplemented\n$ az vm stop\n! 1 NotImplemented",
        );
        assert_eq!(
            coverage.faults(),
            [
                "`az group create` is run by no transcript and has no reason",
                "`az group list` is run by a transcript; its reason can go: lists",
                "`az vm stop` is answered with NotImplemented; its reason is `not built`",
            ]
        );
        assert_eq!(coverage.counts(), (3, 7));
    }

    #[test]
    fn a_list_says_each_command_once() {
        for (list, fault) in [
            ("az a b\naz a b", "`az a b` is listed twice"),
            ("kubectl get", "`kubectl get` is no command of az"),
            ("az a b:", "`az a b` has a colon and no reason"),
        ] {
            assert_eq!(Coverage::parse(list).unwrap_err().to_string(), fault);
        }
    }
}
