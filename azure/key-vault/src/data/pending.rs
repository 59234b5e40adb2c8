//! `/certificates/<name>/pending`: a request, until it is a certificate or given up.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode, header};
use kit::http::Response;
use serde_json::{Value, json};

use super::asked::{Asked, check_name};
use super::certificates::Fresh;
use super::kind::{CREATE_CERTIFICATE, Deed, Kind};
use super::model::{Head, Pending, bundle, url};
use super::objects::ok;
use super::store::Changes;
use super::{DataPlane, Failure};
use crate::certificates::Chain;

const WAITING: &str = "inProgress";

impl Pending {
    pub(super) fn new(issuer: &str, csr: &[u8], tags: Option<BTreeMap<String, String>>) -> Self {
        Self {
            request_id: uuid::Uuid::new_v4().simple().to_string(),
            issuer: issuer.to_owned(),
            csr: STANDARD.encode(csr),
            status: WAITING.to_owned(),
            cancellation_requested: false,
            material: None,
            tags,
        }
    }
}

/// The head of a certificate that was made or at least asked for.
pub(super) fn known(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Head, Failure> {
    check_name(name)?;
    let head = plane.head(asked, Kind::Certificate, name)?.filter(|head| head.deleted.is_none());
    head.ok_or_else(|| Failure::not_found(Kind::Certificate, name, None))
}

fn asked_for<'a>(head: &'a Head, name: &str) -> Result<&'a Pending, Failure> {
    head.pending.as_ref().ok_or_else(|| {
        Failure::new(
            StatusCode::NOT_FOUND,
            "PendingCertificateNotFound",
            format!("Pending certificate not found: {name}"),
        )
    })
}

fn shown(asked: &Asked, head: &Head, pending: &Pending) -> Value {
    let base = url(&asked.vault, Kind::Certificate, &head.name, None);
    let mut shown = json!({
        "id": format!("{base}/pending"), "issuer": {"name": pending.issuer}, "csr": pending.csr,
        "cancellation_requested": pending.cancellation_requested, "status": pending.status,
        "request_id": pending.request_id,
    });
    match pending.status.as_str() {
        "completed" => shown["target"] = json!(base),
        WAITING if pending.issuer == "Unknown" => {
            shown["status_details"] =
                json!("Pending certificate created. Please Perform Merge to complete the request.");
        }
        _ => {}
    }
    shown
}

/// 202 for a certificate that was asked for.
pub(super) fn accepted(asked: &Asked, head: &Head) -> Result<Response, Failure> {
    let body = shown(asked, head, asked_for(head, &head.name)?);
    let mut response = kit::http::json(StatusCode::ACCEPTED, &body);
    let location = format!(
        "{}/pending?api-version={}&request_id={}",
        url(&asked.vault, Kind::Certificate, &head.name, None),
        asked.api_version,
        body["request_id"].as_str().unwrap_or_default()
    );
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Everything below `/certificates/<name>/pending`.
pub(super) async fn answer(
    plane: &DataPlane,
    asked: &Asked,
    name: &str,
    words: &[&str],
) -> Result<Response, Failure> {
    match (&asked.method, words) {
        (&Method::GET, []) => {
            plane.authorize(asked, Kind::Certificate.right(Deed::Get), Some(name))?;
            let head = known(plane, asked, name)?;
            Ok(ok(&shown(asked, &head, asked_for(&head, name)?)))
        }
        (&Method::PATCH, []) => cancel(plane, asked, name).await,
        (&Method::DELETE, []) => give_up(plane, asked, name).await,
        (&Method::POST, ["merge"]) => merge(plane, asked, name).await,
        _ => Err(asked.no_such_operation()),
    }
}

async fn cancel(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Certificate.right(Deed::Update), Some(name))?;
    if asked.body.get("cancellation_requested") != Some(&json!(true)) {
        return Err(Failure::bad("The property 'cancellation_requested' can only be set to true."));
    }
    let _turn = plane.store.turn().await;
    let mut head = known(plane, asked, name)?;
    let mut pending = asked_for(&head, name)?.clone();
    if pending.status != WAITING {
        return Err(Failure::forbidden(format!("The pending certificate {name} is not in progress.")));
    }
    pending.cancellation_requested = true;
    "cancelled".clone_into(&mut pending.status);
    head.pending = Some(pending.clone());
    let mut changes = Changes::default();
    plane.store.put_head(&mut changes, &asked.vault, Kind::Certificate, &head)?;
    plane.store.write(changes).await?;
    Ok(ok(&shown(asked, &head, &pending)))
}

async fn give_up(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Certificate.right(Deed::Delete), Some(name))?;
    let _turn = plane.store.turn().await;
    let mut head = known(plane, asked, name)?;
    let pending = asked_for(&head, name)?.clone();
    let body = shown(asked, &head, &pending);
    head.pending = None;
    let mut changes = Changes::default();
    if head.current.is_empty() {
        plane.store.forget(&mut changes, &asked.vault, Kind::Certificate, name)?;
    } else {
        plane.store.put_head(&mut changes, &asked.vault, Kind::Certificate, &head)?;
    }
    plane.store.write(changes).await?;
    Ok(ok(&body))
}

async fn merge(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, CREATE_CERTIFICATE, Some(name))?;
    let given = arm::json::list(&asked.body, "/x5c");
    let decode = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        STANDARD
            .decode(text)
            .map_err(|_| Failure::bad("The property 'x5c' is a list of certificates in base64."))
    };
    let certificates = given.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    let _turn = plane.store.turn().await;
    let mut head = known(plane, asked, name)?;
    let mut pending = asked_for(&head, name)?.clone();
    let Some(material) = pending.material.take().filter(|_| pending.status == WAITING) else {
        return Err(Failure::forbidden(format!("The pending certificate {name} does not wait for a merge.")));
    };
    let chain = Chain::for_key(certificates, &material)?;
    "completed".clone_into(&mut pending.status);
    let mut body = asked.body.clone();
    if let (None, Some(tags)) = (body.get("tags"), &pending.tags) {
        body["tags"] = json!(tags);
    }
    head.pending = Some(pending);
    let fresh = Fresh { chain, material, body: &body };
    let (head, version) = plane.store_certificate(asked, head, fresh, Changes::default()).await?;
    Ok(kit::http::json(StatusCode::CREATED, &bundle(&asked.vault, Kind::Certificate, &head, &version)))
}
