//! CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may have which certificate signed.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

use super::{concerns, creates, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Attributes, Operation, text};
use crate::authz::Authorizer;

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";

pub(super) fn check(request: &AdmissionRequest<'_>, authorizer: &Authorizer) -> Result<(), ApiError> {
    if request.resource.group != GROUP || request.resource.plural != PLURAL {
        return Ok(());
    }
    let Some(object) = request.object.as_deref() else { return Ok(()) };
    let signer = text(request.old.unwrap_or(object), "/spec/signerName").to_owned();
    if request.operation == Operation::Update {
        if concerns(request, GROUP, PLURAL, "approval") && !may(request, authorizer, "approve", &signer) {
            let why = format!("user not permitted to approve requests with signerName \"{signer}\"");
            return Err(forbid(request, &why));
        }
        let signs = concerns(request, GROUP, PLURAL, "status")
            && object.pointer("/status/certificate")
                != request.old.and_then(|old| old.pointer("/status/certificate"));
        if signs && !may(request, authorizer, "sign", &signer) {
            let why = format!("user not permitted to sign requests with signerName \"{signer}\"");
            return Err(forbid(request, &why));
        }
    }
    if creates(request, GROUP, PLURAL)
        && signer == "kubernetes.io/kube-apiserver-client"
        && organizations(object).iter().any(|one| one == crate::authz::MASTERS)
    {
        let why =
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        return Err(forbid(request, why));
    }
    Ok(())
}

/// Whether the user may do it to this signer, or to all of its domain.
fn may(request: &AdmissionRequest<'_>, authorizer: &Authorizer, verb: &str, signer: &str) -> bool {
    let user = Arc::new(request.user.clone());
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let attributes = Attributes {
            user: user.clone(),
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            is_resource: true,
            ..Attributes::default()
        };
        authorizer.authorize(&attributes).allowed()
    })
}

/// The organisations a request asks for; none when it cannot be read, which validation refuses.
fn organizations(object: &Value) -> Vec<String> {
    let encoded = text(object, "/spec/request");
    let read = || {
        let pem = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
        let (_, request) = <x509_parser::certification_request::X509CertificationRequest<'_> as x509_parser::prelude::FromDer<'_, _>>::from_der(&pem.contents).ok()?;
        let names = request.certification_request_info.subject.iter_organization();
        Some(names.filter_map(|one| one.as_str().ok()).map(str::to_owned).collect())
    };
    read().unwrap_or_default()
}
