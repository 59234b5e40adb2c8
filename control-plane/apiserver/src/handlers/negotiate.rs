//! Which form a response is to have.

use http::HeaderMap;

use crate::ApiError;

/// How an object is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' binary form.
    Protobuf,
}

impl Encoding {
    /// The content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => crate::protobuf::MEDIA_TYPE,
        }
    }
}

/// What an object is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Itself.
    Object,
    /// A table of columns for people.
    Table,
    /// Its metadata only.
    Metadata,
}

/// A response's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The encoding.
    pub encoding: Encoding,
    /// The shape.
    pub shape: Shape,
    /// Indented, for reading.
    pub pretty: bool,
    /// Tables and metadata are of `meta.k8s.io/v1beta1`, not `v1`.
    pub beta: bool,
}

impl Form {
    /// Plain JSON.
    pub const PLAIN: Self =
        Self { encoding: Encoding::Json, shape: Shape::Object, pretty: false, beta: false };

    /// `apiVersion` of tables and metadata.
    pub fn meta_version(self) -> &'static str {
        if self.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
    }
}

/// One element of an `Accept` header.
#[derive(Debug)]
pub struct Accepted<'a> {
    /// `type/subtype`.
    pub media: &'a str,
    /// Its parameters.
    pub parameters: Vec<(&'a str, &'a str)>,
}

impl Accepted<'_> {
    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn quality(&self) -> f32 {
        self.parameter("q").and_then(|value| value.parse().ok()).unwrap_or(1.0)
    }
}

/// The elements of the `Accept` header, best first: by quality, wildcards behind what is named, then as given.
pub fn accepted(header: &str) -> Vec<Accepted<'_>> {
    let mut found: Vec<(f32, usize, Accepted<'_>)> = header
        .split(',')
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let media = parts.next().filter(|media| !media.is_empty())?;
            let parameters = parts.filter_map(|part| part.split_once('='));
            let parameters: Vec<(&str, &str)> =
                parameters.map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))).collect();
            let quality = parameters.iter().find(|(key, _)| *key == "q");
            let quality = quality.and_then(|(_, value)| value.parse().ok()).unwrap_or(1.0);
            let wild = media.matches('*').count();
            Some((quality, wild, Accepted { media, parameters }))
        })
        .filter(|(quality, ..)| *quality > 0.0)
        .collect();
    found.sort_by(|(a, wild_a, _), (b, wild_b, _)| b.total_cmp(a).then(wild_a.cmp(wild_b)));
    found.into_iter().map(|(.., accepted)| accepted).collect()
}

/// What may be chosen besides plain JSON and YAML.
#[derive(Debug, Clone, Copy)]
pub struct Offers {
    /// Tables and metadata.
    pub shapes: bool,
    /// The kind has a binary form; metadata always has.
    pub binary: bool,
    /// Events follow one another: YAML cannot say where one ends.
    pub stream: bool,
}

/// The media types of answers.
const TYPES: &[&str] = &["application/json", "application/yaml", crate::protobuf::MEDIA_TYPE];
/// The media types of streams of events.
const STREAM_TYPES: &[&str] =
    &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// Chooses a form. Of equals the binary one is chosen only when nothing else will do: objects are kept as JSON,
/// so that costs nothing to send, while the binary form has to be made.
///
/// # Errors
/// 406 when nothing that is accepted is offered.
pub fn choose(headers: &HeaderMap, pretty: bool, offers: Offers) -> Result<Form, ApiError> {
    let header = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let plain = Form { pretty, ..Form::PLAIN };
    if header.trim().is_empty() {
        return Ok(plain);
    }
    let mut binary: Option<(Form, f32)> = None;
    for accepted in accepted(header) {
        let Some(form) = form_of(&accepted, plain, offers) else { continue };
        let quality = accepted.quality();
        match binary {
            // What is wanted less than the binary form does not take its place.
            Some((binary, wanted)) if quality < wanted => return Ok(binary),
            Some(_) if form.encoding == Encoding::Protobuf => {}
            _ if form.encoding == Encoding::Protobuf => binary = Some((form, quality)),
            _ => return Ok(form),
        }
    }
    let types = if offers.stream { STREAM_TYPES } else { TYPES };
    binary.map(|(form, _)| form).ok_or_else(|| ApiError::not_acceptable(types))
}

/// The form that an element of the header asks for; none when it is not offered.
fn form_of(accepted: &Accepted<'_>, plain: Form, offers: Offers) -> Option<Form> {
    let mut form = plain;
    form.encoding = match accepted.media {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" if !offers.stream => Encoding::Yaml,
        crate::protobuf::MEDIA_TYPE => Encoding::Protobuf,
        _ => return None,
    };
    form.pretty |= accepted.parameter("pretty").is_some_and(|value| matches!(value, "1" | "true"));
    if let Some(shape) = accepted.parameter("as") {
        form.beta = match (accepted.parameter("g"), accepted.parameter("v")) {
            (Some("meta.k8s.io"), Some("v1")) => false,
            (Some("meta.k8s.io"), Some("v1beta1")) => true,
            _ => return None,
        };
        form.shape = match shape {
            "Table" => Shape::Table,
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Shape::Metadata,
            _ => return None,
        };
    }
    let offered = match form.shape {
        Shape::Object => offers.binary || form.encoding != Encoding::Protobuf,
        Shape::Metadata => offers.shapes,
        Shape::Table => offers.shapes && form.encoding != Encoding::Protobuf,
    };
    offered.then_some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &'static str, offers: Offers) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        match choose(&headers, false, offers) {
            Ok(form) => {
                let shape = match form.shape {
                    Shape::Object => "",
                    Shape::Table => " Table",
                    Shape::Metadata => " Metadata",
                };
                let encoding = match form.encoding {
                    Encoding::Json => "json",
                    Encoding::Yaml => "yaml",
                    Encoding::Protobuf => "protobuf",
                };
                format!(
                    "{encoding}{shape}{}{}",
                    if form.beta { " beta" } else { "" },
                    if form.pretty { " pretty" } else { "" }
                )
            }
            Err(error) => error.message,
        }
    }

    const ALL: Offers = Offers { shapes: true, binary: true, stream: false };
    const NONE: &str = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";

    /// The `Accept` header and what is answered to it.
    const TABLE: &[(&str, &str)] = &[
        ("", "json"),
        ("*/*", "json"),
        ("application/*", "json"),
        ("application/json", "json"),
        ("application/json;pretty=1", "json pretty"),
        ("application/yaml", "yaml"),
        ("*/*, application/yaml", "yaml"),
        ("application/json;q=0.5, application/yaml", "yaml"),
        ("application/json;q=0, application/yaml;q=0.1", "yaml"),
        ("application/vnd.kubernetes.protobuf", "protobuf"),
        ("application/vnd.kubernetes.protobuf,application/json", "json"),
        ("application/vnd.kubernetes.protobuf,application/json;q=0.9", "protobuf"),
        ("application/vnd.kubernetes.protobuf;stream=watch,application/cbor", "protobuf"),
        ("application/cbor", NONE),
        ("application/cbor, application/json", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/html", NONE),
        ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", NONE),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5", "json Table"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", "json Table beta"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io", NONE),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", "json"),
        ("application/json;as=Table;v=v1;g=example.com,application/json", "json"),
        ("application/yaml;as=Table;v=v1;g=meta.k8s.io", "yaml Table"),
        ("application/json;as=Unknown;v=v1;g=meta.k8s.io", NONE),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            "json Metadata",
        ),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            "protobuf Metadata",
        ),
    ];

    #[test]
    fn what_is_accepted_decides_the_form() {
        for (accept, wanted) in TABLE {
            assert_eq!(of(accept, ALL), *wanted, "{accept}");
        }
    }

    #[test]
    fn some_things_have_fewer_forms() {
        let custom = Offers { binary: false, ..ALL };
        assert_eq!(of("application/vnd.kubernetes.protobuf", custom), NONE);
        assert_eq!(
            of("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", custom),
            "protobuf Metadata"
        );
        let stream = Offers { stream: true, ..ALL };
        let streams = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
        assert_eq!(of("application/yaml", stream), streams);
        assert_eq!(of("application/json;stream=watch", stream), "json");
        let bare = Offers { shapes: false, ..ALL };
        assert_eq!(of("application/json;as=Table;v=v1;g=meta.k8s.io", bare), NONE);
    }
}
