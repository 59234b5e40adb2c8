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
}

impl Form {
    /// Plain JSON.
    pub const PLAIN: Self = Self { encoding: Encoding::Json, shape: Shape::Object, pretty: false };
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
}

/// The elements of the `Accept` header, best first.
pub fn accepted(header: &str) -> Vec<Accepted<'_>> {
    let mut found: Vec<(f32, Accepted<'_>)> = header
        .split(',')
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let media = parts.next().filter(|media| !media.is_empty())?;
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let quality = parameters.iter().find(|(key, _)| *key == "q");
            let quality = quality.and_then(|(_, value)| value.parse().ok()).unwrap_or(1.0);
            Some((quality, Accepted { media, parameters }))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    found.into_iter().map(|(_, accepted)| accepted).collect()
}

/// What may be chosen besides plain JSON and YAML.
#[derive(Debug, Clone, Copy)]
pub struct Offers {
    /// Tables and metadata.
    pub shapes: bool,
    /// The kind has a binary form; metadata always has.
    pub binary: bool,
}

/// Chooses a form. The binary one is chosen only when nothing else will do: objects are kept as JSON, so that
/// costs nothing to send, while the binary form has to be made.
///
/// # Errors
/// 406 when nothing that is accepted is offered.
pub fn choose(headers: &HeaderMap, pretty: bool, offers: Offers) -> Result<Form, ApiError> {
    let header = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut form = Form { pretty, ..Form::PLAIN };
    if header.trim().is_empty() {
        return Ok(form);
    }
    let mut binary = None;
    for accepted in accepted(header) {
        form.encoding = match accepted.media {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" | "application/x-yaml" | "text/yaml" => Encoding::Yaml,
            crate::protobuf::MEDIA_TYPE => Encoding::Protobuf,
            _ => continue,
        };
        form.shape = match (accepted.parameter("as"), accepted.parameter("g")) {
            (None, _) => Shape::Object,
            (Some(_), Some(group)) if !offers.shapes || group != "meta.k8s.io" => continue,
            (Some(_), None) => continue,
            (Some("Table"), _) => Shape::Table,
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), _) => Shape::Metadata,
            _ => continue,
        };
        if form.encoding != Encoding::Protobuf {
            return Ok(form);
        }
        let made = form.shape == Shape::Metadata || (offers.binary && form.shape == Shape::Object);
        binary = binary.or(made.then_some(form));
    }
    binary.ok_or_else(|| {
        ApiError::not_acceptable(&["application/json", "application/yaml", crate::protobuf::MEDIA_TYPE])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &'static str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        choose(&headers, false, Offers { shapes: true, binary: true }).ok()
    }

    #[test]
    fn protobuf_is_chosen_when_nothing_else_will_do() {
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Some(Form::PLAIN));
        let binary = form("application/vnd.kubernetes.protobuf;stream=watch,application/cbor");
        assert_eq!(binary, Some(Form { encoding: Encoding::Protobuf, ..Form::PLAIN }));
        assert_eq!(form("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1"), None);
        let table = form("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5");
        assert_eq!(table.map(|form| form.shape), Some(Shape::Table));
        let partial = form(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        );
        assert_eq!(partial.map(|form| form.shape), Some(Shape::Metadata));
        assert_eq!(form("application/yaml").map(|form| form.encoding), Some(Encoding::Yaml));
        assert_eq!(form("*/*"), Some(Form::PLAIN));
    }
}
