//! `importImage`: an image of one registry becomes one of another, with all it refers to.
//!
//! The source is a registry of this cloud, or a registry outside of which the image was loaded before
//! (`lazurite image load`). Not built: fetching from the internet.

use arm::{ArmError, Ctx, Resource, ResourceId};
use serde_json::Value;

use super::deleted::SoftDelete;
use super::registries::registry_of;
use super::route::{is_name, is_tag};
use super::store::{StoreError, Stored, hex_of};

const IMPORT: &str = "Microsoft.ContainerRegistry/registries/importImage/action";
const PULL: &str = "Microsoft.ContainerRegistry/registries/pull/read";

/// An image in the store: `host/name` and its tag or digest.
struct Image {
    repository: String,
    reference: String,
}

fn invalid(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("InvalidParameters", message)
}

/// `name:tag` or `name@digest`; the tag is `latest` where none is given.
fn image(host: &str, text: &str) -> Result<Image, ArmError> {
    let (name, reference) = match (text.split_once('@'), text.rsplit_once(':')) {
        (Some(parts), _) => parts,
        (None, Some((name, tag))) if !tag.contains('/') => (name, tag),
        _ => (text, "latest"),
    };
    if !is_name(name) || !(is_tag(reference) || hex_of(reference).is_some()) {
        return Err(invalid(format!("The image name '{text}' is not valid.")));
    }
    Ok(Image { repository: format!("{host}/{name}"), reference: reference.to_owned() })
}

/// Where the image comes from, once the caller may read there.
fn source(ctx: &Ctx, target: &Resource, source: &Value) -> Result<Image, ArmError> {
    let named = source["sourceImage"].as_str().filter(|s| !s.is_empty());
    let named = named.ok_or_else(|| invalid("The source image is missing."))?;
    let own = match (source["resourceId"].as_str(), source["registryUri"].as_str()) {
        (Some(id), _) => {
            Some(ResourceId::parse(id).map_err(|_| invalid(format!("'{id}' is not a resource id.")))?)
        }
        (None, Some(host)) => registry_of(&ctx.resources, host),
        (None, None) => {
            return Err(invalid("Either the source's 'resourceId' or its 'registryUri' must be given."));
        }
    };
    let Some(own) = own else {
        let host = source["registryUri"].as_str().unwrap_or_default().to_ascii_lowercase();
        if host.split('.').any(str::is_empty) || host.contains('/') {
            return Err(invalid(format!("The source registry '{host}' is not valid.")));
        }
        return image(&host, named);
    };
    let registry = ctx.resources.get(&own).ok_or_else(|| ArmError::resource_not_found(&own))?;
    ctx.authorize_linked(IMPORT, &target.id, PULL, &own)?;
    image(registry.properties["loginServer"].as_str().unwrap_or_default(), named)
}

fn stored(error: &StoreError) -> ArmError {
    tracing::error!(error = %kit::Chain(error), "an import failed");
    ArmError::internal()
}

/// Copies a manifest, the manifests it lists and what they name. Answers whether all was there.
fn copy(store: &Stored, from: &Image, to: &str, tag: Option<&str>, depth: usize) -> Result<bool, StoreError> {
    let Some(found) = store.manifest(&from.repository, &from.reference)? else { return Ok(false) };
    let body: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
    for child in body["manifests"].as_array().into_iter().flatten().filter_map(|m| m["digest"].as_str()) {
        let child = Image { repository: from.repository.clone(), reference: child.to_owned() };
        // An index of an index is as deep as anybody goes.
        if depth == 0 || !copy(store, &child, to, None, depth - 1)? {
            return Ok(false);
        }
    }
    store.put_manifest(to, tag, &found.media_type, &found.bytes)?;
    Ok(true)
}

/// Imports. `dir` is where the images are kept.
pub(super) fn run(ctx: &Ctx, dir: &std::path::Path, target: &Resource, body: &Value) -> Result<(), ArmError> {
    let from = source(ctx, target, &body["source"])?;
    let host = target.properties["loginServer"].as_str().unwrap_or_default();
    let texts = |name: &str| body[name].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut targets = texts("targetTags").map(|text| image(host, text)).collect::<Result<Vec<_>, _>>()?;
    let untagged =
        texts("untaggedTargetRepositories").map(|text| image(host, text)).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() && untagged.is_empty() {
        let name = body.pointer("/source/sourceImage").and_then(Value::as_str).unwrap_or_default();
        targets.push(image(host, name)?);
    }
    let store = Stored::at(dir);
    let there = store.manifest(&from.repository, &from.reference).map_err(|e| stored(&e))?;
    if there.is_none() {
        return Err(invalid(format!(
            "The source image {}:{} is not known here. Images from outside this cloud are loaded with 'lazurite image load'.",
            from.repository, from.reference
        )));
    }
    let expired_at = SoftDelete::of(target).at(ctx.clock.now()).expired_at;
    let force = body["mode"].as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("Force"));
    for to in &targets {
        let tag = Some(to.reference.as_str()).filter(|r| is_tag(r));
        let taken = store.manifest(&to.repository, &to.reference).map_err(|e| stored(&e))?;
        if taken.is_some() && !force {
            let name = to.repository.strip_prefix(&format!("{host}/")).unwrap_or(&to.repository);
            return Err(ArmError::conflict(
                "Conflict",
                format!("Tag {name}:{} already exists in target registry.", to.reference),
            ));
        }
        unless_kept(&store, &from, &to.repository, host, expired_at)?;
        finish(copy(&store, &from, &to.repository, tag, 2))?;
    }
    for to in &untagged {
        unless_kept(&store, &from, &to.repository, host, expired_at)?;
        finish(copy(&store, &from, &to.repository, None, 2))?;
    }
    Ok(())
}

/// What is soft deleted in the target is not imported there: it is to be restored.
fn unless_kept(
    store: &Stored,
    from: &Image,
    to: &str,
    host: &str,
    expired_at: jiff::Timestamp,
) -> Result<(), ArmError> {
    let Some(found) = store.manifest(&from.repository, &from.reference).map_err(|e| stored(&e))? else {
        return Ok(());
    };
    if !store.is_kept(to, &found.digest, expired_at).map_err(|e| stored(&e))? {
        return Ok(());
    }
    let name = to.strip_prefix(&format!("{host}/")).unwrap_or(to);
    Err(ArmError::conflict(
        "Conflict",
        format!("Manifest {name}@{} is soft deleted in target registry. Restore it instead.", found.digest),
    ))
}

fn finish(copied: Result<bool, StoreError>) -> Result<(), ArmError> {
    match copied {
        Ok(true) => Ok(()),
        Ok(false) => Err(invalid("The source image is incomplete: a manifest that it lists is missing.")),
        Err(error) => Err(stored(&error)),
    }
}
