//! Blobs on their way down: whole, or the part a `Range` asks for, read from the disk as they are sent.

use std::io::SeekFrom;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::StreamBody;
use kit::http::{Body, Request, Response};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::errors::Failure;
use super::manifests::{DIGEST, insert};
use super::route::Route;
use super::store::{Stored, hex_of};
use super::uploads::broken;

/// How much of a blob is in memory at a time.
const PIECE_MAX_BYTES: u64 = 64 * 1024;

/// GET, HEAD and DELETE of a blob.
pub(super) async fn blob(
    store: &Stored,
    route: &Route,
    digest: &str,
    request: Request,
) -> Result<Response, Failure> {
    let hex = hex_of(digest).ok_or_else(|| Failure::digest("the digest is not a sha256 digest"))?;
    let unknown = || Failure::not_found("BLOB_UNKNOWN", &format!("blob {digest} of `{}`", route.repository));
    if !store.has_blob(&route.repository, digest)? {
        return Err(unknown());
    }
    let length = store.blob_length(digest).ok_or_else(unknown)?;
    let wanted = part(request.headers(), digest, length);
    match *request.method() {
        Method::HEAD => Ok(described(http::Response::new(kit::http::empty()), digest, length)),
        Method::GET => match wanted {
            Part::Whole => {
                let body = piece(&store.blob_path(hex), 0, length).await.map_err(|error| broken(&error))?;
                Ok(described(http::Response::new(body), digest, length))
            }
            Part::Between(first, last) => {
                let some = last - first + 1;
                let body = piece(&store.blob_path(hex), first, some).await.map_err(|error| broken(&error))?;
                let mut response = described(http::Response::new(body), digest, some);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                insert(
                    response.headers_mut(),
                    header::CONTENT_RANGE,
                    &format!("bytes {first}-{last}/{length}"),
                );
                Ok(response)
            }
            Part::Beyond => {
                let mut response = Failure::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "RANGE_INVALID",
                    format!("the blob has {length} bytes"),
                )
                .into_response();
                insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{length}"));
                Ok(response)
            }
        },
        Method::DELETE if !store.is_named(&route.repository, digest)? => {
            store.unlink_blob(&route.repository, hex)?;
            Ok(kit::http::status(StatusCode::ACCEPTED))
        }
        // What a manifest names goes with the manifest.
        _ => Err(Failure::unsupported()),
    }
}

fn described(mut response: Response, digest: &str, length: u64) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(headers, header::CONTENT_TYPE, "application/octet-stream");
    insert(headers, header::ETAG, &format!("\"{digest}\""));
    insert(headers, DIGEST, digest);
    response
}

/// What of a blob is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// The first and the last byte.
    Between(u64, u64),
    /// Nothing that it has.
    Beyond,
}

/// `Range`, if it holds: one that is not understood, asks for several parts, or is for another blob, asks for all.
fn part(headers: &HeaderMap, digest: &str, length: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|of| of.trim().trim_matches('"') != digest) {
        return Part::Whole;
    }
    text(header::RANGE).map_or(Part::Whole, |range| range_of(range, length))
}

fn range_of(range: &str, length: u64) -> Part {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            None => Part::Whole,
            Some(0) => Part::Beyond,
            Some(_) if length == 0 => Part::Beyond,
            Some(suffix) => Part::Between(length.saturating_sub(suffix), length - 1),
        },
        (first, last) => match (number(first), number(last)) {
            (None, _) => Part::Whole,
            (Some(_), None) if !last.is_empty() => Part::Whole,
            (Some(first), Some(last)) if last < first => Part::Whole,
            (Some(first), _) if first >= length => Part::Beyond,
            (Some(first), last) => Part::Between(first, last.unwrap_or(u64::MAX).min(length - 1)),
        },
    }
}

/// `length` bytes of a file from `first` on.
async fn piece(path: &Path, first: u64, length: u64) -> std::io::Result<Body> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(SeekFrom::Start(first)).await?;
    let pieces = futures::stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; usize::try_from(left.min(PIECE_MAX_BYTES)).unwrap_or_default()];
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        buffer.truncate(read);
        let frame = http_body::Frame::data(Bytes::from(buffer));
        Ok(Some((frame, (file, left - read as u64))))
    });
    Ok(kit::http::boxed(StreamBody::new(pieces)))
}

#[cfg(test)]
mod tests {
    use super::{Part, range_of};

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-3", Part::Between(0, 3)),
            ("bytes=4-", Part::Between(4, 9)),
            ("bytes=-3", Part::Between(7, 9)),
            ("bytes=-30", Part::Between(0, 9)),
            ("bytes=8-99", Part::Between(8, 9)),
            ("bytes=9-9", Part::Between(9, 9)),
            ("bytes=10-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=x-", Part::Whole),
            ("bytes=-", Part::Whole),
            ("pages=0-1", Part::Whole),
        ] {
            assert_eq!(range_of(range, 10), expected, "{range}");
        }
        assert_eq!(range_of("bytes=0-", 0), Part::Beyond);
    }
}
