//! TLS bootstrap: from a token to the node's own certificates, and their renewal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kit::Clock;
use kit::tls::{Certificates, ClientIdentity};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Endpoint, Transport};
use crate::error::{BootError, Cause};
use crate::keys::{KeyFile, renew_in};
use crate::report::Report;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
const SIGNING_LIMIT: Duration = Duration::from_secs(60);
const BOOTSTRAP_PATIENCE: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// A node that speaks for itself.
#[derive(Clone)]
pub(crate) struct Joined {
    pub transport: Transport,
    pub identity: tokio::sync::watch::Receiver<Arc<ClientIdentity>>,
    pub serving: Certificates,
}

/// What joining needs.
#[derive(Clone)]
pub(crate) struct Joining {
    pub endpoint: Endpoint,
    pub bootstrap_token: String,
    pub node_name: String,
    pub address: IpAddr,
    pub client_file: KeyFile,
    pub serving_file: KeyFile,
    pub clock: Arc<dyn Clock>,
    pub report: Report,
}

impl Joining {
    fn user(&self) -> String {
        format!("system:node:{}", self.node_name)
    }

    /// Gets or finds the node's certificate; its serving certificate and all renewals follow in the background.
    pub async fn join(self, tasks: &kit::Tasks) -> Result<Joined, BootError> {
        let failed = |e: Cause| BootError::Certificate(e);
        let identity = match self.client_file.load(self.clock.now()) {
            Some(identity) => identity,
            None => self.bootstrap().await.map_err(failed)?,
        };
        let transport =
            Transport::new(&self.endpoint, Some(&identity), None).map_err(|e| failed(e.into()))?;
        let (sender, receiver) = tokio::sync::watch::channel(Arc::new(identity));
        let serving = Certificates::new();
        let joined = Joined { transport, identity: receiver, serving: serving.clone() };
        let (joining, transport) = (self.clone(), joined.transport.clone());
        tasks.spawn("client certificate", async move { joining.keep_client(transport, sender).await });
        let client = joined.transport.client();
        tasks.spawn("serving certificate", async move { self.keep_serving(client, serving).await });
        Ok(joined)
    }

    /// The token's one use. Tries for a while: the cluster may be as new as the node.
    async fn bootstrap(&self) -> Result<ClientIdentity, Cause> {
        let client = Transport::new(&self.endpoint, None, Some(&self.bootstrap_token))?.client();
        let end = Instant::now() + BOOTSTRAP_PATIENCE;
        let mut pause = RETRY_FIRST;
        loop {
            match self.client_certificate(&client).await {
                Ok(identity) => return Ok(identity),
                Err(error) if Instant::now() >= end => return Err(error),
                Err(error) => {
                    let text = kit::Chain(error.as_ref()).to_string();
                    self.report.line(&format!("certificate: {text}; trying again"));
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn client_certificate(&self, client: &kube::Client) -> Result<ClientIdentity, Cause> {
        let request = kit::pki::request(&self.user(), &["system:nodes".into()], &[], &[])?;
        let chain_pem = sign(client, CLIENT_SIGNER, "client auth", &request.request_pem).await?;
        let pair = ClientIdentity { chain_pem, key_pem: request.key_pem };
        self.client_file.store(&pair)?;
        Ok(pair)
    }

    async fn serving_certificate(&self, client: &kube::Client) -> Result<ClientIdentity, Cause> {
        let names = std::slice::from_ref(&self.node_name);
        let request = kit::pki::request(&self.user(), &["system:nodes".into()], names, &[self.address])?;
        let chain_pem = sign(client, SERVING_SIGNER, "server auth", &request.request_pem).await?;
        let pair = ClientIdentity { chain_pem, key_pem: request.key_pem };
        self.serving_file.store(&pair)?;
        Ok(pair)
    }

    async fn keep_client(
        self,
        transport: Transport,
        sender: tokio::sync::watch::Sender<Arc<ClientIdentity>>,
    ) {
        loop {
            let current = sender.borrow().clone();
            sleep(renew_in(&current, self.clock.now()).unwrap_or_default()).await;
            let client = transport.client();
            let renewed = retry("client certificate", || self.client_certificate(&client)).await;
            match transport.renew(&renewed) {
                Ok(()) => drop(sender.send_replace(Arc::new(renewed))),
                Err(error) => {
                    tracing::error!(error = %kit::Chain(&error), "a renewed certificate is of no use")
                }
            }
        }
    }

    async fn keep_serving(self, client: kube::Client, serving: Certificates) {
        let mut next = self.serving_file.load(self.clock.now());
        loop {
            let pair = match next.take() {
                Some(pair) => pair,
                None => retry("serving certificate", || self.serving_certificate(&client)).await,
            };
            if let Err(error) = serving.set_default(&pair.chain_pem, &pair.key_pem) {
                tracing::error!(error = %kit::Chain(&error), "a serving certificate is of no use");
            }
            sleep(renew_in(&pair, self.clock.now()).unwrap_or(RETRY_LAST).max(RETRY_FIRST)).await;
        }
    }
}

async fn retry<T, F: Future<Output = Result<T, Cause>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    let mut pause = RETRY_FIRST;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => tracing::warn!(what, error = %kit::Chain(error.as_ref()), "failed; trying again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Asks the API server to have a request signed and waits for the certificate.
async fn sign(client: &kube::Client, signer: &str, usage: &str, request_pem: &str) -> Result<String, Cause> {
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let object = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("csr-".into()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request_pem.as_bytes().to_vec()),
            signer_name: signer.to_owned(),
            usages: Some(vec!["digital signature".into(), usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let created = api.create(&PostParams::default(), &object).await?;
    let name = created.metadata.name.ok_or("the created request has no name")?;
    let decided = |object: Option<&CertificateSigningRequest>| outcome(object).is_some();
    let decided = timeout(SIGNING_LIMIT, await_condition(api, &name, decided)).await;
    let object = decided.map_err(|_| format!("request `{name}` was not signed in time"))??;
    outcome(object.as_ref())
        .unwrap_or_else(|| Err("undecided".into()))
        .map_err(|why| format!("request `{name}`: {why}").into())
}

/// The certificate, or why there will be none; `None` while neither is known.
fn outcome(object: Option<&CertificateSigningRequest>) -> Option<Result<String, String>> {
    let Some(object) = object else { return Some(Err("it was deleted".into())) };
    let status = object.status.as_ref()?;
    if let Some(certificate) = &status.certificate {
        return Some(
            String::from_utf8(certificate.0.clone()).map_err(|_| "the certificate is not text".into()),
        );
    }
    let refused = |c: &&k8s_openapi::api::certificates::v1::CertificateSigningRequestCondition| {
        matches!(c.type_.as_str(), "Denied" | "Failed")
    };
    let condition = status.conditions.iter().flatten().find(refused)?;
    Some(Err(format!("{}: {}", condition.type_, condition.message.clone().unwrap_or_default())))
}
