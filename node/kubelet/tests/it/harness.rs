//! A kubelet with its API, its directories and a caller's certificate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kit::pki::{Authority, Leaf, Usage};
use kubelet::runtime::Runtime;
use kubelet::{Config, Kubelet};
use serde_json::{Value, json};

use crate::api::Api;

pub const NODE: &str = "aks-nodepool1-12345678-vmss000000";
pub const SOON: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

pub struct Harness {
    pub api: Api,
    pub kubelet: Kubelet,
    pub tasks: kit::Tasks,
    pub root: PathBuf,
    authority: Authority,
}

fn leaf(name: &str, organizations: &[&str], usage: Usage) -> Leaf {
    Leaf {
        common_name: name.into(),
        organizations: organizations.iter().map(|one| (*one).to_owned()).collect(),
        dns_names: vec![NODE.into()],
        addresses: vec!["127.0.0.1".parse().unwrap()],
        usage,
        valid: DAY,
    }
}

impl Harness {
    /// Starts a kubelet with its files under `root`. An API that is there already is used again.
    pub async fn start(
        root: PathBuf,
        runtime: Arc<dyn Runtime>,
        cgroup_root: Option<PathBuf>,
        api: Option<Api>,
    ) -> Self {
        kit::tls::install_provider();
        let api = api.unwrap_or_else(|| {
            let api = Api::new();
            api.put("services", json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "kubernetes", "namespace": "default"},
                "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}}));
            api
        });
        let authority = Authority::new("cluster", DAY).unwrap();
        let own = authority.issue(&leaf("system:node", &["system:nodes"], Usage::Server)).unwrap();
        let serving = kit::tls::Certificates::new();
        serving.set_default(&own.certificate_pem, &own.key_pem).unwrap();
        let tasks = kit::Tasks::new();
        let config = Config {
            node_name: NODE.into(),
            node_address: "127.0.0.1".parse().unwrap(),
            hostname: NODE.into(),
            provider_id: None,
            labels: BTreeMap::from([("agentpool".into(), "nodepool1".into())]),
            taints: vec![],
            max_pods: 110,
            client: api.client(),
            kubernetes_version: "1.35.6".into(),
            serving,
            client_ca_pem: authority.certificate_pem().into(),
            runtime,
            root_dir: root.join("kubelet"),
            pod_log_dir: root.join("pods"),
            cluster_dns: vec!["10.0.0.10".parse().unwrap()],
            cluster_domain: "cluster.local".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            cpus: 2,
            memory_bytes: 8 << 30,
            ephemeral_storage_bytes: 100 << 30,
            os_image: "Ubuntu 22.04.5 LTS".into(),
            cgroup_root,
            clock: Arc::new(kit::SystemClock),
            credentials: None,
        };
        let kubelet = kubelet::start(config, &tasks).await.unwrap();
        Self { api, kubelet, tasks, root, authority }
    }

    /// Makes a pod that is bound to the node.
    pub fn pod(&self, name: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["nodeName"] = json!(NODE);
        self.api.put(
            "pods",
            json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}, "generation": 1},
            "spec": spec}),
        )
    }

    pub fn seen(&self, name: &str) -> Value {
        self.api.get("pods", "default", name).unwrap_or_default()
    }

    /// Waits until the pod's status is as wanted.
    pub async fn until(&self, name: &str, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        self.api
            .wait(&format!("{name}: {what}"), SOON, |api| {
                api.get("pods", "default", name).filter(|pod| check(&pod["status"]))
            })
            .await
    }

    pub async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "ready", |status| condition(status, "Ready") == "True").await
    }

    pub async fn until_gone(&self, name: &str) {
        self.api
            .wait(&format!("{name} gone"), SOON, |api| {
                api.get("pods", "default", name).is_none().then_some(())
            })
            .await;
    }

    /// A connection to the kubelet as the API server makes it.
    pub async fn connect(
        &self,
        name: &str,
        organizations: &[&str],
    ) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        let issued = self.authority.issue(&leaf(name, organizations, Usage::Client)).unwrap();
        let identity =
            kit::tls::ClientIdentity { chain_pem: issued.certificate_pem, key_pem: issued.key_pem };
        let config = kit::tls::client(self.authority.certificate_pem(), Some(&identity)).unwrap();
        let stream = tokio::net::TcpStream::connect(self.kubelet.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap()
    }

    /// A GET as the API server sends it.
    pub async fn get(&self, path: &str) -> (u16, String) {
        self.get_as("kube-apiserver-kubelet-client", &["system:masters"], path).await
    }

    pub async fn get_as(&self, name: &str, organizations: &[&str], path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = self.connect(name, organizations).await;
        let request = format!("GET {path} HTTP/1.0\r\nHost: node\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, body.to_owned())
    }

    pub async fn stop(self) -> Api {
        assert!(self.tasks.drain(Duration::from_secs(10)).await, "the kubelet stops when told");
        self.api
    }
}

pub fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions
        .iter()
        .find(|one| one["type"] == kind)
        .and_then(|one| one["status"].as_str())
        .unwrap_or_default()
}
