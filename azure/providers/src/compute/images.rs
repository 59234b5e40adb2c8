//! The catalogue of platform images: `locations/{l}/publishers/…/artifacttypes/vmimage/…`.
//!
//! It has the Linux images that clients ask for by their short names; a scale set that names another one is refused, as
//! one that names an image of Windows is, which no machine here can run. Does not: hold what is in an image. Every
//! machine boots from the cloud's own root, whichever of these it was asked for.

use arm::{Acted, ArmError, Ctx, ResourceId};
use http::StatusCode;
use serde_json::{Value, json};

use crate::json::{set, text};

struct Image {
    publisher: &'static str,
    offer: &'static str,
    sku: &'static str,
    version: &'static str,
    generation: &'static str,
}

const fn image(
    publisher: &'static str,
    offer: &'static str,
    sku: &'static str,
    version: &'static str,
    generation: &'static str,
) -> Image {
    Image { publisher, offer, sku, version, generation }
}

/// By publisher, offer and SKU.
const IMAGES: &[Image] = &[
    image("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "22.04.202410020", "V1"),
    image("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "22.04.202410020", "V2"),
    image("Canonical", "ubuntu-24_04-lts", "server", "24.04.202410170", "V2"),
    image("Canonical", "ubuntu-24_04-lts", "server-gen1", "24.04.202410170", "V1"),
    image("Debian", "debian-11", "11-backports-gen2", "0.20241004.1890", "V2"),
    image("Debian", "debian-12", "12", "0.20241004.1890", "V1"),
    image("Debian", "debian-12", "12-gen2", "0.20241004.1890", "V2"),
];
/// The word for the newest version.
const LATEST: &str = "latest";

impl Image {
    fn is(&self, publisher: &str, offer: &str, sku: &str) -> bool {
        self.publisher.eq_ignore_ascii_case(publisher)
            && self.offer.eq_ignore_ascii_case(offer)
            && self.sku.eq_ignore_ascii_case(sku)
    }

    fn is_version(&self, version: &str) -> bool {
        version == self.version || version.eq_ignore_ascii_case(LATEST)
    }
}

fn not_found() -> ArmError {
    ArmError::new(StatusCode::NOT_FOUND, "NotFound", "Artifact: VMImage was not found.")
}

/// A level of the catalogue: each name once, with its id.
fn level<'a>(location: &str, base: &str, names: impl Iterator<Item = &'a str>) -> Result<Value, ArmError> {
    let mut found: Vec<&str> = names.collect();
    found.dedup();
    if found.is_empty() {
        return Err(not_found());
    }
    let shown = found
        .iter()
        .map(|name| json!({ "location": location, "name": name, "id": format!("{base}/{name}") }));
    Ok(Value::Array(shown.collect()))
}

/// Answers below `locations/{location}/publishers`; `path` is in lower case. `None`: that is no part of this catalogue.
pub(super) fn answer(
    ctx: &Ctx,
    scope: &ResourceId,
    location: &str,
    path: &[&str],
) -> Option<Result<Acted, ArmError>> {
    let location = arm::locations::normal(location);
    let subscription = scope.subscription().unwrap_or_default();
    let root =
        format!("/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers");
    let answered = match path {
        [] => level(&location, &root, IMAGES.iter().map(|image| image.publisher)),
        [publisher, "artifacttypes", "vmimage", rest @ ..] => below(ctx, &location, &root, publisher, rest)?,
        _ => return None,
    };
    Some(answered.map(|shown| Acted::Done(Some(shown))))
}

fn below(
    ctx: &Ctx,
    location: &str,
    root: &str,
    publisher: &str,
    rest: &[&str],
) -> Option<Result<Value, ArmError>> {
    let of: Vec<&Image> =
        IMAGES.iter().filter(|image| image.publisher.eq_ignore_ascii_case(publisher)).collect();
    let Some(first) = of.first() else { return Some(Err(not_found())) };
    let base = format!("{root}/{}/ArtifactTypes/VMImage/Offers", first.publisher);
    Some(match rest {
        ["offers"] => level(location, &base, of.iter().map(|image| image.offer)),
        ["offers", offer, "skus"] => {
            let of = of.iter().filter(|image| image.offer.eq_ignore_ascii_case(offer));
            level(location, &format!("{base}/{offer}/Skus"), of.map(|image| image.sku))
        }
        ["offers", offer, "skus", sku, "versions", version @ ..] => {
            let Some(image) = of.iter().find(|image| image.is(publisher, offer, sku)) else {
                return Some(Err(not_found()));
            };
            let base = format!("{base}/{}/Skus/{}/Versions", image.offer, image.sku);
            match version {
                [] if ctx.query("$top") == Some("0") => Ok(json!([])),
                [] => level(location, &base, std::iter::once(image.version)),
                [version] if *version == image.version => Ok(one(location, &base, image)),
                [_] => Err(not_found()),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn one(location: &str, base: &str, image: &Image) -> Value {
    json!({
        "location": location,
        "name": image.version,
        "id": format!("{base}/{}", image.version),
        "properties": {
            "hyperVGeneration": image.generation,
            "architecture": "x64",
            "replicaType": "Managed",
            "disallowed": { "vmDiskType": "Unmanaged" },
            "automaticOSUpgradeProperties": { "automaticOSUpgradeSupported": false },
            "imageDeprecationStatus": { "imageState": "Active" },
            "features": [{ "name": "IsAcceleratedNetworkSupported", "value": "True" }],
            "osDiskImage": { "operatingSystem": "Linux", "sizeInGb": 30 },
            "dataDiskImages": [],
        },
    })
}

fn part<'a>(reference: &'a Value, name: &str) -> &'a str {
    text(reference, &format!("/{name}")).unwrap_or_default()
}

fn named(reference: &Value) -> Option<&'static Image> {
    IMAGES.iter().find(|image| {
        image.is(part(reference, "publisher"), part(reference, "offer"), part(reference, "sku"))
            && image.is_version(part(reference, "version"))
    })
}

/// Refuses a reference to a platform image that is not in the catalogue. References to images of one's own have an id.
pub(super) fn require(reference: &Value) -> Result<(), ArmError> {
    if part(reference, "publisher").is_empty() || named(reference).is_some() {
        return Ok(());
    }
    let [publisher, offer, sku, version] =
        ["publisher", "offer", "sku", "version"].map(|name| part(reference, name));
    Err(ArmError::bad_request(
        "PlatformImageNotFound",
        format!(
            "The platform image '{publisher}:{offer}:{sku}:{version}' is not available. Verify that all fields in the \
             storage profile are correct. For more details about storage profile information, please refer to \
             https://aka.ms/storageprofile"
        ),
    )
    .target("imageReference"))
}

/// Says in an instance's reference which version it is of.
pub(super) fn set_exact_version(storage: &mut Value) {
    let reference = storage.pointer_mut("/imageReference");
    if let Some((reference, image)) = reference.and_then(|r| named(r).map(|image| (r, image))) {
        set(reference, &["exactVersion"], image.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_in_any_case_by_its_version_or_as_the_latest() {
        let reference = |version: &str| json!({ "publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "Server", "version": version });
        for version in ["latest", "Latest", "24.04.202410170"] {
            require(&reference(version)).unwrap();
        }
        assert_eq!(require(&reference("1.0.0")).unwrap_err().code, "PlatformImageNotFound");
        require(&json!({ "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i" }))
            .unwrap();
        let mut storage = json!({ "imageReference": reference("latest") });
        set_exact_version(&mut storage);
        assert_eq!(storage["imageReference"]["exactVersion"], "24.04.202410170");
    }

    #[test]
    fn the_catalogue_names_each_thing_once() {
        let mut keys: Vec<_> = IMAGES.iter().map(|i| (i.publisher, i.offer, i.sku)).collect();
        let sorted = keys.clone();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys, sorted, "sorted by publisher, offer and SKU, each once");
    }
}
