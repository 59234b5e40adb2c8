//! The scenes.

use std::sync::Arc;
use std::time::Duration;

use kit::tunnel::Target;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::api_server::{Answers, ApiServer, TOKEN};
use crate::host::{API, FQDN, FRONT_DOOR, Host, text};

type Outcome = Result<(), String>;
const LIMIT: Duration = Duration::from_secs(20);

fn run<F: Future<Output = Outcome>>(
    name: &str,
    scene: impl FnOnce(Arc<Host>, Arc<ApiServer>) -> F,
) -> Outcome {
    let runtime = tokio::runtime::Runtime::new().map_err(text)?;
    let host = Arc::new(Host::new(name)?);
    let log = host.clone();
    let outcome = runtime.block_on(async {
        host.names().await?;
        tokio::time::timeout(Duration::from_secs(90), scene(host, ApiServer::new()))
            .await
            .unwrap_or_else(|_| Err("took too long".into()))
    });
    outcome.map_err(|error| format!("{error}\n--- serial log\n{}", log.log()))
}

fn bootstrap(server: &ApiServer) -> Value {
    json!({
        "kubernetesVersion": "1.35.6", "fqdn": FQDN, "apiServerPort": 443,
        "caPem": server.authority.certificate_pem(), "bootstrapToken": TOKEN,
        "serviceCidr": "10.0.0.0/16", "podCidr": "10.244.0.0/16", "dnsServiceIp": "10.0.0.10",
        "clusterDomain": "cluster.local", "maxPods": 30, "labels": {"kubernetes.azure.com/agentpool": "nodepool1"},
        "taints": [], "systemImage": "lazurite.azurecr.io/lazurite:0.1.0",
    })
}

async fn front_door(host: &Host) -> Result<tokio::net::TcpListener, String> {
    host.outside.listen_tcp(FRONT_DOOR).await.map_err(text)
}

pub fn joins() -> Outcome {
    run("a", |host, server| async move {
        let _door = front_door(&host).await?;
        let tasks = kit::Tasks::new();
        let listener = host.outside.listen_tcp(API).await.map_err(text)?;
        let tls = kit::tls::server(server.certificates()).map_err(text)?;
        kit::serve::tls(listener, tls, Arc::new(Answers(server.clone())), &tasks);
        let names = format!("20.1.0.4 {FQDN}\n20.0.0.10 management.azure.com\n");
        host.start(&names, &bootstrap(&server))?;
        host.booted().await?;
        println!("{}", host.log());
        let registered = async {
            let mut changes = server.changes.subscribe();
            loop {
                let node = server.objects.lock().get("/api/v1/nodes/aks-test-000000").cloned();
                match node {
                    Some(node) => return node,
                    None => drop(changes.changed().await),
                }
            }
        };
        let node = tokio::time::timeout(LIMIT, registered).await.map_err(|_| "the node did not register")?;
        if node["metadata"]["labels"]["kubernetes.azure.com/agentpool"] != "nodepool1" {
            return Err(format!("the node has no label of its pool: {node}"));
        }

        // The control plane reaches the kubelet through the tunnel.
        let mut tunnel = server.tunnel.subscribe();
        let kubelet = Target { host: "aks-test-000000".into(), port: 10250 };
        let opened = async {
            let opener = tunnel.wait_for(Option::is_some).await.map_err(text)?.clone();
            opener.ok_or("no tunnel")?.open(&kubelet).await.map(drop).map_err(text)
        };
        tokio::time::timeout(LIMIT, opened).await.map_err(|_| "there is no tunnel")??;

        // The agent dies: containerd lives on, another agent takes over and opens its own tunnel.
        let daemons = host.find("containerd");
        server.tunnel.send_replace(None);
        let init = host.processes().ok_or("no processes")?.init.pid;
        let agent = host.find("node boot").into_iter().find(|pid| *pid != init).ok_or("no agent")?;
        linux::Process::of(agent).and_then(|p| p.signal(Signal::SIGKILL)).map_err(text)?;
        tokio::time::timeout(LIMIT, tunnel.wait_for(Option::is_some))
            .await
            .map_err(|_| "no new agent opened a tunnel")?
            .map_err(text)?;
        if daemons.is_empty() || host.find("containerd") != daemons {
            return Err(format!("containerd was not kept: {daemons:?}, {:?}", host.find("containerd")));
        }

        // Told to stop, it stops in order.
        let processes = host.processes().ok_or("no processes")?;
        processes.init.signal(Signal::SIGTERM).map_err(text)?;
        match host.exit_code().await? {
            0 => Ok(()),
            code => Err(format!("stopped with {code}")),
        }
    })
}

async fn fails_with(host: &Host, names: &str, server: &ApiServer, expected: i32) -> Outcome {
    host.start(names, &bootstrap(server))?;
    match host.exit_code().await? {
        code if code == expected => Ok(()),
        code => Err(format!("ended with {code}")),
    }
}

pub fn outbound() -> Outcome {
    run("b", |host, server| async move {
        let names = format!("20.1.0.4 {FQDN}\n20.0.0.10 management.azure.com\n");
        fails_with(&host, &names, &server, 50).await
    })
}

pub fn name() -> Outcome {
    run("c", |host, server| async move {
        let _door = front_door(&host).await?;
        fails_with(&host, "20.0.0.10 management.azure.com\n", &server, 52).await
    })
}

pub fn server() -> Outcome {
    run("d", |host, server| async move {
        let _door = front_door(&host).await?;
        let names = format!("20.1.0.4 {FQDN}\n20.0.0.10 management.azure.com\n");
        fails_with(&host, &names, &server, 51).await
    })
}
