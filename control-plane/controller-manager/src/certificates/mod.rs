//! Certificate requests: approves those of nodes, signs approved ones, removes old ones.

mod request;

use std::sync::Arc;
use std::time::Duration;

use informers::objects::until;
use informers::{Change, Error, Informer, Key, Next, Queue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest as Csr, CertificateSigningRequestCondition,
};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, PostParams};

use crate::context::Context;
use request::{Asked, CLIENT, CLIENT_KUBELET, Opinion, SERVING};

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

struct Controller {
    client: kube::Client,
    requests: Informer<Csr>,
    nodes: Informer<Node>,
    authority: kit::pki::Authority,
    clock: Arc<dyn kit::Clock>,
}

fn new(context: &Context) -> Arc<Controller> {
    Arc::new(Controller {
        client: context.client("certificate-controller"),
        requests: context.informer(),
        nodes: context.informer(),
        authority: context.config.authority.clone(),
        clock: context.clock(),
    })
}

fn run<F, Fut>(
    context: &Context,
    name: &'static str,
    controller: &Arc<Controller>,
    queue: Queue<Key>,
    sync: F,
) where
    F: Fn(Arc<Controller>, Arc<Csr>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Result<Next, Error>> + Send + 'static,
{
    controller.requests.enqueue_to(&queue);
    let c = controller.clone();
    let ready = async move {
        c.requests.synced().await;
        c.nodes.synced().await;
    };
    let controller = controller.clone();
    context.loops.run(name, 2, queue, ready, move |key| {
        let (controller, sync) = (controller.clone(), sync.clone());
        async move {
            match controller.requests.get(&key) {
                Some(csr) => sync(controller.clone(), csr).await,
                None => Ok(None),
            }
        }
    });
}

/// Starts the loop that approves.
pub(crate) fn start_approving(context: &Context) {
    let controller = new(context);
    let queue = Queue::new();
    // A serving certificate may wait for its node's addresses.
    let (requests, waiting) = (controller.requests.clone(), queue.clone());
    controller.nodes.subscribe(move |change| {
        if matches!(change, Change::Deleted(_)) {
            return;
        }
        let pending = requests.list();
        let pending = pending.iter().filter(|r| r.spec.signer_name == SERVING && !is_decided(r));
        pending.for_each(|r| waiting.add(Key::of(r.as_ref())));
    });
    run(context, "certificatesigningrequest-approving-controller", &controller, queue, |c, csr| async move {
        c.approve(&csr).await
    });
}

/// Starts the loop that signs.
pub(crate) fn start_signing(context: &Context) {
    let controller = new(context);
    run(
        context,
        "certificatesigningrequest-signing-controller",
        &controller,
        Queue::new(),
        |c, csr| async move { c.sign(&csr).await },
    );
}

/// Starts the loop that removes old requests.
pub(crate) fn start_cleaning(context: &Context) {
    let controller = new(context);
    run(
        context,
        "certificatesigningrequest-cleaner-controller",
        &controller,
        Queue::new(),
        |c, csr| async move { c.clean(&csr).await },
    );
}

fn has(csr: &Csr, kind: &str) -> bool {
    csr.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == kind)
}

fn is_decided(csr: &Csr) -> bool {
    has(csr, "Approved") || has(csr, "Denied")
}

fn is_issued(csr: &Csr) -> bool {
    csr.status.as_ref().and_then(|s| s.certificate.as_ref()).is_some_and(|c| !c.0.is_empty())
}

fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

impl Controller {
    fn api(&self) -> Api<Csr> {
        Api::all(self.client.clone())
    }

    async fn approve(&self, csr: &Csr) -> Result<Next, Error> {
        if is_decided(csr) || is_issued(csr) {
            return Ok(None);
        }
        let Ok(asked) = Asked::of(csr) else { return Ok(None) };
        let node = asked.node().and_then(|name| self.nodes.find("", name));
        let message = match asked.opinion(csr, node.as_deref()) {
            Opinion::None => return Ok(None),
            Opinion::SelfClient if self.may(csr, "selfnodeclient").await? => {
                "Auto approving self kubelet client certificate after SubjectAccessReview."
            }
            Opinion::SelfClient | Opinion::Client if self.may(csr, "nodeclient").await? => {
                "Auto approving kubelet client certificate after SubjectAccessReview."
            }
            Opinion::SelfClient | Opinion::Client => {
                return Err(Error::other("the requester may not ask for a node's client certificate"));
            }
            Opinion::Serving => "Auto approving kubelet serving certificate after checking its addresses.",
        };
        let mut changed = csr.clone();
        let conditions = changed.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.push(condition("Approved", "AutoApproved", message, self.clock.now()));
        let name = csr.metadata.name.as_deref().unwrap_or_default();
        let bytes = &changed;
        let approved =
            self.api().replace_subresource("approval", name, &PostParams::default(), bytes).await?;
        self.requests.observe(approved);
        Ok(None)
    }

    /// Asks the API whether the requester may create this kind of request.
    async fn may(&self, csr: &Csr, subresource: &str) -> Result<bool, Error> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: csr.spec.username.clone(),
                groups: csr.spec.groups.clone(),
                uid: csr.spec.uid.clone(),
                extra: csr.spec.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".into()),
                    resource: Some("certificatesigningrequests".into()),
                    verb: Some("create".into()),
                    subresource: Some(subresource.into()),
                    version: Some("*".into()),
                    ..Default::default()
                }),
                ..Default::default()
            },
            ..Default::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|s| s.allowed))
    }

    async fn sign(&self, csr: &Csr) -> Result<Next, Error> {
        if !has(csr, "Approved") || has(csr, "Denied") || has(csr, "Failed") || is_issued(csr) {
            return Ok(None);
        }
        let signer = csr.spec.signer_name.as_str();
        if ![CLIENT, CLIENT_KUBELET, SERVING, request::LEGACY].contains(&signer) {
            return Ok(None);
        }
        let name = csr.metadata.name.as_deref().unwrap_or_default();
        let mut changed = csr.clone();
        let status = changed.status.get_or_insert_default();
        match self.issue(csr) {
            Ok(pem) => status.certificate = Some(ByteString(pem.into_bytes())),
            Err(reason) => {
                let failed = condition("Failed", "SignerValidationFailure", &reason, self.clock.now());
                status.conditions.get_or_insert_default().push(failed);
            }
        }
        self.requests.observe(self.api().replace_status(name, &PostParams::default(), &changed).await?);
        Ok(None)
    }

    fn issue(&self, csr: &Csr) -> Result<String, String> {
        let asked = Asked::of(csr)?;
        let usage = asked.allowed_usage(csr)?;
        let seconds = csr.spec.expiration_seconds.and_then(|s| u64::try_from(s).ok());
        let valid = seconds.map_or(YEAR, Duration::from_secs).clamp(Duration::from_secs(600), YEAR);
        self.authority.sign_request(&asked.pem, usage, valid).map_err(|error| kit::Chain(&error).to_string())
    }

    async fn clean(&self, csr: &Csr) -> Result<Next, Error> {
        let made = csr.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |t| t.0);
        let age = if is_decided(csr) || has(csr, "Failed") { Duration::from_secs(3600) } else { DAY };
        let due = made.saturating_add(SignedDuration::try_from(age).unwrap_or_default()).unwrap_or(made);
        let now = self.clock.now();
        if due > now {
            return Ok(Some(until(due, now)));
        }
        self.requests.delete(&self.api(), csr, DeleteParams::default()).await?;
        Ok(None)
    }
}
