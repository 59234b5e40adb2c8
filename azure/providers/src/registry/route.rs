//! What a request asks for: its host and path, parsed once.

use http::header;
use kit::http::Request;

use super::errors::Failure;
use super::store::hex_of;

const HOST_MAX_BYTES: usize = 253;
const NAME_MAX_BYTES: usize = 255;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// `/v2/`: is this a registry, and who am I?
    Version,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest(String),
    /// `/v2/<name>/blobs/<digest>`
    Blob(String),
    /// `/v2/<name>/blobs/uploads/[<id>]`
    Upload(Option<String>),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(String),
    /// `/acr/v1/_deleted/_catalog`
    DeletedCatalog,
    /// `/acr/v1/_deleted/<name>…`
    Deleted(super::acr::Part),
    /// `/acr/v1/<name>…`
    Acr(super::acr::Part),
    /// `/oauth2/exchange`
    Exchange,
    /// `/oauth2/token`
    Token,
}

/// A parsed request.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The host the client speaks to, lower case, with its port.
    pub(super) host: String,
    /// `<host the image is from>/<name>`; empty where no repository is asked for.
    pub(super) repository: String,
    /// The name in the path.
    pub(super) name: String,
    /// The path as sent.
    pub(super) path: String,
    /// What of it.
    pub(super) asked: Asked,
    /// The query's fields.
    pub(super) query: Vec<(String, String)>,
}

impl Route {
    /// Parses a request.
    pub(super) fn of(request: &Request) -> Result<Self, Failure> {
        let host = request
            .uri()
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| request.headers().get(header::HOST)?.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let query: Vec<(String, String)> = request
            .uri()
            .query()
            .map(|query| url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
            .unwrap_or_default();
        let path = request.uri().path();
        let (name, asked) = match path {
            "/oauth2/exchange" => (String::new(), Asked::Exchange),
            "/oauth2/token" => (String::new(), Asked::Token),
            "/v2" | "/v2/" => (String::new(), Asked::Version),
            "/v2/_catalog" | "/acr/v1/_catalog" => (String::new(), Asked::Catalog),
            "/acr/v1/_deleted/_catalog" => (String::new(), Asked::DeletedCatalog),
            _ => match path.strip_prefix("/acr/v1/") {
                Some(rest) => {
                    let (rest, deleted) = match rest.strip_prefix("_deleted/") {
                        Some(rest) => (rest, true),
                        None => (rest, false),
                    };
                    let (name, part) = super::acr::below(rest);
                    if !is_name(&name) {
                        return Err(name_invalid(&name));
                    }
                    if let Some(object) = part.object().filter(|one| !is_tag(one) && hex_of(one).is_none()) {
                        return Err(Failure::new(
                            http::StatusCode::BAD_REQUEST,
                            "TAG_INVALID",
                            format!("`{object}` is not a tag"),
                        ));
                    }
                    (name, if deleted { Asked::Deleted(part) } else { Asked::Acr(part) })
                }
                None => below(path)?,
            },
        };
        let mut route = Self { host, repository: String::new(), name, path: path.to_owned(), asked, query };
        if matches!(route.asked, Asked::Catalog | Asked::DeletedCatalog) {
            // Whoever lists must be allowed to pull from the registry as a whole.
            route.repository.clone_from(&route.host);
        }
        if !route.name.is_empty() {
            let meant = route.field("ns").unwrap_or(&route.host).to_ascii_lowercase();
            if !is_host(&meant) {
                return Err(name_invalid(&meant));
            }
            route.repository = format!("{meant}/{}", route.name);
        }
        Ok(route)
    }

    /// The repository that an upload asks to take a blob over from. It is of the registry that is pushed to, whatever host
    /// the client speaks to: that is where it may read.
    pub(super) fn mounted(&self) -> Option<Self> {
        let name = self.field("from").filter(|name| self.field("mount").is_some() && is_name(name))?;
        let registry = self.repository.strip_suffix(&self.name)?;
        Some(Self { repository: format!("{registry}{name}"), name: name.to_owned(), ..self.clone() })
    }

    /// A field of the query.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Whether this can name a host. It becomes a directory's name: no label may be empty, so `..` is none.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= HOST_MAX_BYTES
        && text.bytes().all(is_host_byte)
        && text.split('.').all(|label| !label.is_empty())
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':')
}

fn below(path: &str) -> Result<(String, Asked), Failure> {
    let rest = path.strip_prefix("/v2/").ok_or_else(Failure::unsupported)?;
    // From the end: a repository may be called `web/manifests`, a tag or digest holds no slash.
    let (name, asked) = if let Some(name) = rest.strip_suffix("/tags/list") {
        (name, Asked::Tags)
    } else if let Some(name) = rest.trim_end_matches('/').strip_suffix("/blobs/uploads") {
        (name, Asked::Upload(None))
    } else {
        let (before, last) = rest.rsplit_once('/').ok_or_else(Failure::unsupported)?;
        let (name, kind) = match before.strip_suffix("/blobs/uploads") {
            Some(name) => (name, "uploads"),
            None => before
                .rsplit_once('/')
                .filter(|(_, kind)| *kind != "uploads")
                .ok_or_else(Failure::unsupported)?,
        };
        let last = last.to_owned();
        let asked = match kind {
            "uploads" => Asked::Upload(Some(last)),
            "referrers" => Asked::Referrers(last),
            "manifests" => Asked::Manifest(last),
            "blobs" => Asked::Blob(last),
            _ => return Err(Failure::unsupported()),
        };
        (name, asked)
    };
    if !is_name(name) {
        return Err(name_invalid(name));
    }
    Ok((name.to_owned(), asked))
}

fn name_invalid(name: &str) -> Failure {
    Failure::new(http::StatusCode::BAD_REQUEST, "NAME_INVALID", format!("`{name}` is not a repository name"))
}

/// Whether this is a repository's path, as the distribution specification has it.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES
        && name.split('/').all(|part| {
            let bytes = part.as_bytes();
            let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            edge(bytes.first())
                && edge(bytes.last())
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b))
        })
}

/// Whether this is a tag.
pub(super) fn is_tag(tag: &str) -> bool {
    let first = tag.bytes().next();
    tag.len() <= 128
        && first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
