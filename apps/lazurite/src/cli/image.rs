//! `lazurite image`: images that clusters can run without the internet.

use std::path::PathBuf;

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;

use super::Output;
use super::output::say;
use super::remote::{Remote, block_on};
use crate::place::Home;

/// What to do with images.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Image {
    /// Load an OCI or `docker save` archive into the built-in registry
    Load {
        /// The archive, a tar file.
        archive: PathBuf,
        /// The name to load it under, where the archive names none.
        #[arg(long)]
        name: Option<String>,
    },
    /// List the images of the built-in registry
    List {
        /// How to print.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
}

const IMAGES: &str = "/lazurite/v1/images";

impl Image {
    pub(crate) fn run(self) -> Result<()> {
        block_on(async move {
            let remote = Remote::running()?;
            let token = remote.token(&Home::locate().credentials()?).await?;
            match self {
                Image::Load { archive, name } => {
                    let bytes = kit::files::read(&archive)?;
                    let path = match name {
                        Some(name) => {
                            let query = url::form_urlencoded::Serializer::new(String::new())
                                .append_pair("name", &name)
                                .finish();
                            format!("{IMAGES}?{query}")
                        }
                        None => IMAGES.to_owned(),
                    };
                    let answer = remote.send(Method::POST, &path, &token, kit::http::full(bytes)).await?;
                    let loaded = answer["images"].as_array().context("the service named no image")?;
                    for image in loaded {
                        say(image.as_str().unwrap_or_default())?;
                    }
                }
                Image::List { output } => {
                    let answer = remote.send(Method::GET, IMAGES, &token, kit::http::empty()).await?;
                    print(output, &answer)?;
                }
            }
            Ok(())
        })
    }
}

fn print(output: Output, answer: &Value) -> Result<()> {
    match output {
        Output::Json => say(serde_json::to_string_pretty(answer)?)?,
        Output::Table => {
            for image in answer["images"].as_array().into_iter().flatten() {
                say(image.as_str().unwrap_or_default())?;
            }
        }
    }
    Ok(())
}
