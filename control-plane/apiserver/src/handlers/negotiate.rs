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
}

impl Encoding {
    /// The content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
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

/// Chooses a form. Tables and metadata are offered when `shapes` says so.
///
/// # Errors
/// 406 when nothing that is accepted is offered.
pub fn choose(headers: &HeaderMap, pretty: bool, shapes: bool) -> Result<Form, ApiError> {
    let header = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut form = Form { pretty, ..Form::PLAIN };
    if header.trim().is_empty() {
        return Ok(form);
    }
    for accepted in accepted(header) {
        form.encoding = match accepted.media {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" | "application/x-yaml" | "text/yaml" => Encoding::Yaml,
            _ => continue,
        };
        form.shape = match (accepted.parameter("as"), accepted.parameter("g")) {
            (None, _) => Shape::Object,
            (Some(_), Some(group)) if !shapes || group != "meta.k8s.io" => continue,
            (Some(_), None) => continue,
            (Some("Table"), _) => Shape::Table,
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), _) => Shape::Metadata,
            _ => continue,
        };
        return Ok(form);
    }
    Err(ApiError::not_acceptable(&["application/json", "application/yaml"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &'static str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        choose(&headers, false, true).ok()
    }

    #[test]
    fn protobuf_falls_through_to_what_can_be_had() {
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Some(Form::PLAIN));
        assert_eq!(form("application/vnd.kubernetes.protobuf"), None);
        let table = form("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5");
        assert_eq!(table.map(|form| form.shape), Some(Shape::Table));
        let partial = form("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
        assert_eq!(partial.map(|form| form.shape), Some(Shape::Metadata));
        assert_eq!(form("application/yaml").map(|form| form.encoding), Some(Encoding::Yaml));
        assert_eq!(form("*/*"), Some(Form::PLAIN));
    }
}
