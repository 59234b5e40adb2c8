//! The plugin in namespaces of its own. SKIPPED without root.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use cni::{CniError, Request, execute};
use linux::Netns;
use serde_json::{Value, json};

struct Node {
    node: Netns,
    pods: Vec<Netns>,
    state: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        for netns in self.pods.iter().chain([&self.node]) {
            let _ = netns.delete();
        }
        let _ = std::fs::remove_dir(linux::netns::DIRECTORY);
    }
}

impl Node {
    fn new(name: &str, pods: usize) -> Option<Self> {
        if !linux::process::is_root() {
            println!("SKIPPED: not root");
            return None;
        }
        let name = format!("lzc{}{name}", std::process::id());
        let node = Netns::named(&name);
        node.create().unwrap();
        node.sysctl(&[("ipv4/ip_forward".into(), "1".into())]).unwrap();
        let pods: Vec<Netns> = (0..pods).map(|i| Netns::named(&format!("{name}{i}"))).collect();
        pods.iter().for_each(|pod| pod.create().unwrap());
        Some(Self { node, pods, state: tempfile::tempdir().unwrap() })
    }

    fn call(&self, command: &str, pod: usize, ports: Value) -> Result<Value, CniError> {
        let request = request(command, pod, Some(self.pods[pod].path()), self.state.path(), ports);
        self.node.run(|| execute(&request)).unwrap()
    }

    fn add(&self, pod: usize, ports: Value) -> Ipv4Addr {
        let result = self.call("ADD", pod, ports).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap();
        address.strip_suffix("/32").unwrap().parse().unwrap()
    }
}

fn request(command: &str, pod: usize, netns: Option<&Path>, state: &Path, ports: Value) -> Request {
    let config = json!({
        "cniVersion": "1.0.0", "name": "azure", "type": "lazurite-cni", "subnet": "10.244.7.0/29",
        "runtimeConfig": {"portMappings": ports},
    });
    Request {
        command: command.into(),
        container: format!("container-{pod}"),
        netns: netns.map(Path::to_owned),
        interface: "eth0".into(),
        config: config.to_string(),
        state: state.to_owned(),
    }
}

/// Serves one connection in a pod: answers with the client's address.
fn serve(pod: &Netns, port: u16) {
    let listener = pod.run(|| TcpListener::bind(("0.0.0.0", port))).unwrap().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

fn ask(from: &Netns, address: Ipv4Addr, port: u16) -> String {
    from.run(|| {
        let to = SocketAddr::from((address, port));
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    })
    .unwrap()
}

#[test]
fn pods_and_node_reach_each_other_and_leave_nothing() {
    let Some(node) = Node::new("a", 2) else { return };
    let line = "addr add 10.224.0.4/32 dev lo".to_owned();
    linux::ip::batch(&node.node, &[line], linux::ip::Repeat::Strict).unwrap();
    let first = node.add(0, json!(null));
    let second = node.add(1, json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]));
    assert_eq!(node.add(0, json!(null)), first, "a repeated ADD keeps the address");
    serve(&node.pods[1], 80);
    assert_eq!(ask(&node.pods[0], second, 80), first.to_string());
    ask(&node.node, second, 80);
    // The host port, from another pod, through an address of the node.
    assert_eq!(ask(&node.pods[0], Ipv4Addr::new(10, 224, 0, 4), 8080), first.to_string());
    ask(&node.pods[1], Ipv4Addr::new(10, 224, 0, 4), 8080);
    node.call("CHECK", 0, json!(null)).unwrap();
    for pod in [0, 1, 1] {
        node.call("DEL", pod, json!(null)).unwrap();
    }
    assert!(matches!(node.call("CHECK", 0, json!(null)), Err(CniError::Unknown { .. })));
    let links = node.node.run(|| linux::Command::new(["ip", "-o", "link"]).run()).unwrap().unwrap();
    assert!(!links.contains("azv"), "{links}");
    assert_eq!(linux::nft::list(&node.node, "ip", "cni-hostports").unwrap(), None);
}

#[test]
fn addresses_go_round_and_end() {
    let Some(node) = Node::new("b", 6) else { return };
    // A /29 without network, gateway and broadcast address.
    let mut given: Vec<_> = (0..5).map(|pod| node.add(pod, json!(null))).collect();
    assert_eq!(given[0], Ipv4Addr::new(10, 244, 7, 2));
    given.dedup();
    assert_eq!(given.len(), 5);
    assert!(matches!(node.call("ADD", 5, json!(null)), Err(CniError::Full(_))));
    node.call("DEL", 1, json!(null)).unwrap();
    // DEL works when the pod's namespace is gone.
    let gone = request("DEL", 3, None, node.state.path(), json!(null));
    node.node.run(|| execute(&gone)).unwrap().unwrap();
    assert_eq!(node.add(5, json!(null)), given[1]);
    assert_eq!(node.add(3, json!(null)), given[3]);
}

#[test]
fn bad_names_and_configurations_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let mut bad = request("ADD", 0, None, state.path(), json!(null));
    bad.container = "../../etc".into();
    assert!(matches!(execute(&bad), Err(CniError::Environment { variable: "CNI_CONTAINERID", .. })));
    bad.config = "{".into();
    assert!(matches!(execute(&bad), Err(CniError::Decode(_))));
    bad.command = "VERSION".into();
    assert_eq!(execute(&bad).unwrap()["supportedVersions"][2], "1.0.0");
}
