//! `lazurite group`: resource groups, with the flags and output forms of `az group`.

use std::process::ExitCode;

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use super::arm::{Arm, ended};
use super::output::{Column, Common, confirm};
use super::remote::block_on;
use super::shape;

const COLUMNS: &[Column] =
    &[("Name", &["/name"]), ("Location", &["/location"]), ("Status", &["/properties/provisioningState"])];

/// Resource groups.
#[derive(Debug, clap::Args)]
pub(crate) struct Group {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a resource group
    Create {
        #[command(flatten)]
        group: Name,
        /// Region.
        #[arg(short, long)]
        location: String,
        /// Tags: key[=value] …
        #[arg(long, num_args = 0..)]
        tags: Option<Vec<String>>,
    },
    /// Show a resource group
    Show {
        #[command(flatten)]
        group: Name,
    },
    /// List resource groups
    List,
    /// Say whether a resource group exists
    Exists {
        #[command(flatten)]
        group: Name,
    },
    /// Delete a resource group and everything in it
    Delete {
        #[command(flatten)]
        group: Name,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Name {
    /// Name of the resource group.
    #[arg(short, long = "name", visible_short_alias = 'g', visible_alias = "resource-group")]
    name: String,
}

impl Group {
    pub(crate) fn run(self) -> ExitCode {
        ended(block_on(self.work()))
    }

    async fn work(self) -> Result<()> {
        let common = &self.common;
        if let Command::Delete { yes, .. } = &self.command {
            confirm(*yes, "Are you sure you want to perform this operation?")?;
        }
        let arm = Arm::open(common).await?;
        match self.command {
            Command::Create { group, location, tags } => {
                let mut body = json!({"location": location});
                if let Some(tags) = tags {
                    body["tags"] = pairs(&tags);
                }
                let path = arm.group(&group.name);
                let made = arm.put(&path, &body, false).await?.unwrap_or_default();
                common.print(shape::group(made), None)
            }
            Command::Show { group } => {
                let shown = arm.get(&arm.group(&group.name)).await?;
                common.print(shape::group(shown), None)
            }
            Command::List => {
                let groups =
                    arm.list(&format!("/subscriptions/{}/resourceGroups", arm.subscription())).await?;
                common.print(groups.into_iter().map(shape::group).collect(), Some(COLUMNS))
            }
            Command::Exists { group } => {
                let found = arm.find(&arm.group(&group.name)).await?;
                common.print(Value::Bool(found.is_some()), None)
            }
            Command::Delete { group, no_wait, .. } => {
                arm.act(Method::DELETE, &arm.group(&group.name), no_wait).await
            }
        }
    }
}

/// `key=value` words as a map; a key alone has an empty value.
pub(crate) fn pairs(words: &[String]) -> Value {
    words
        .iter()
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (key.to_owned(), Value::String(value.to_owned()))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn tags_may_have_no_value() {
        let words = ["a=b=c".to_owned(), "d".to_owned(), String::new()];
        assert_eq!(super::pairs(&words), serde_json::json!({"a": "b=c", "d": ""}));
    }
}
