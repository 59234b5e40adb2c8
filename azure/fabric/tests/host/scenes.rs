//! The scenes. Each has a fabric of its own, with a prefix of its own, and leaves nothing.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::fabric::{
    Access, Balancer, BalancerRule, Direction, Distribution, Fabric, Idle, ImdsTokenError, ImdsTokenRequest,
    ImdsTokens, LinuxConfig, LinuxFabric, Machine, MachineId, MachineState, Network, NetworkId, Peer, Place,
    PortRange, Power, Probe, ProbeProtocol, Protocol, SecurityRule, Subnet, Translation, Wanted,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const LIMIT: Duration = Duration::from_secs(20);

pub type Outcome = Result<(), String>;

pub struct Scene {
    pub config: LinuxConfig,
}

pub fn text(error: impl std::error::Error) -> String {
    kit::Chain(&error).to_string()
}

pub fn run<F: Future<Output = Outcome>>(prefix: &str, scene: impl FnOnce(Scene) -> F) -> Outcome {
    let directory = tempfile::tempdir().map_err(text)?;
    let state = directory.path().to_owned();
    let prefix = format!("lzt{}{prefix}", std::process::id() % 10_000);
    let mut config = LinuxConfig::new(&state, std::env::current_exe().map_err(text)?, state.join("images"));
    config.prefix = prefix.clone();
    let runtime = tokio::runtime::Runtime::new().map_err(text)?;
    runtime.block_on(async {
        let outcome = tokio::time::timeout(Duration::from_secs(60), scene(Scene { config }));
        let outcome = outcome.await.map_err(|_| "took too long".to_owned()).and_then(|o| o);
        let purged = LinuxFabric::purge(&state).await.map_err(text);
        let left = nothing_left(&prefix);
        outcome.and(purged.map(drop)).and(left)
    })
}

fn nothing_left(prefix: &str) -> Outcome {
    let names = linux::Netns::list(prefix);
    if !names.is_empty() {
        return Err(format!("namespaces are left: {names:?}"));
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(text)?;
    let group = format!("lazurite-{prefix}");
    let groups: Vec<_> = linux::cgroup::hierarchies()
        .map_err(text)?
        .into_iter()
        .filter(|h| h.mount_point.join(&group).exists())
        .collect();
    match (mounts.contains(prefix), groups.is_empty()) {
        (false, true) => Ok(()),
        _ => Err(format!("mounts or control groups of `{prefix}` are left: {groups:?}")),
    }
}

fn network() -> Network {
    Network {
        id: NetworkId::of("/vnet"),
        resource_id: "/vnet".into(),
        prefixes: vec!["10.224.0.0/12".parse().unwrap()],
        subnets: vec![Subnet {
            name: "aks-subnet".into(),
            prefix: "10.224.0.0/16".parse().unwrap(),
            rules: Vec::new(),
            routes: Vec::new(),
            nat: Vec::new(),
            translation: Translation::default(),
            private: false,
            services: Vec::new(),
        }],
        outbound: Some(Ipv4Addr::new(20, 2, 0, 4)),
        peerings: Vec::new(),
        endpoints: Vec::new(),
        dns_servers: Vec::new(),
    }
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 224, 0, 3 + number)
}

fn machine(number: u8) -> Machine {
    let resource_id = format!("/subscriptions/s/resourceGroups/g/vm/{number}");
    Machine {
        id: MachineId::of(&resource_id),
        resource_id,
        hostname: format!("node-{number}"),
        network: NetworkId::of("/vnet"),
        subnet: "aks-subnet".into(),
        address: address(number),
        routed_prefixes: vec![format!("10.244.{number}.0/24").parse().unwrap()],
        rules: Vec::new(),
        ip_forwarding: false,
        outbound: Vec::new(),
        translation: Translation::default(),
        cpus: 2,
        memory_bytes: 1 << 30,
        vm_size: "Standard_D2s_v3".into(),
        zone: "1".into(),
        location: "eastus".into(),
        custom_data: Vec::new(),
        imds: Value::Null,
        generation: 1,
        power: Power::On,
    }
}

pub fn wanted(machines: u8) -> Wanted {
    Wanted {
        generation: 1,
        networks: vec![network()],
        machines: (1..=machines).map(machine).collect(),
        balancers: Vec::new(),
        names: vec![("*.hcp.eastus.azmk8s.io".into(), Ipv4Addr::new(20, 1, 0, 4))],
        zones: Vec::new(),
        aliases: Vec::new(),
    }
}

async fn until(
    fabric: &LinuxFabric,
    id: &MachineId,
    good: impl Fn(Option<&MachineState>) -> bool,
) -> Outcome {
    let mut states = fabric.machines();
    let waited = tokio::time::timeout(LIMIT, states.wait_for(|all| good(all.get(id)))).await;
    match waited {
        Ok(Ok(_)) => Ok(()),
        _ => {
            let log = fabric.serial_log(id).await.unwrap_or_default();
            Err(format!("machine {id} is {:?}\n{log}", fabric.machines().borrow().get(id)))
        }
    }
}

pub async fn all_running(fabric: &LinuxFabric, wanted: &Wanted) -> Outcome {
    for machine in &wanted.machines {
        until(fabric, &machine.id, |state| state == Some(&MachineState::Running)).await?;
    }
    Ok(())
}

/// Sends an order to a machine of the usual network.
async fn order(fabric: &LinuxFabric, number: u8, order: &str) -> Result<String, String> {
    order_in(fabric, "/vnet", address(number), order).await
}

/// Sends an order to a machine.
pub async fn order_in(
    fabric: &LinuxFabric,
    network: &str,
    machine: Ipv4Addr,
    order: &str,
) -> Result<String, String> {
    let to = SocketAddrV4::new(machine, 7000);
    let mut stream = fabric.connect(Place::Network(NetworkId::of(network)), to).await.map_err(text)?;
    stream.write_all(format!("{order}\n").as_bytes()).await.map_err(text)?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.map_err(text)?;
    Ok(reply)
}

#[track_caller]
pub fn same(left: &str, right: &str) -> Outcome {
    let at = std::panic::Location::caller();
    if left == right { Ok(()) } else { Err(format!("{at}: `{left}` is not `{right}`")) }
}

pub async fn open(scene: &Scene) -> Result<(Arc<LinuxFabric>, kit::Tasks), String> {
    let tasks = kit::Tasks::new();
    let fabric = LinuxFabric::open(scene.config.clone(), tasks.clone()).await.map_err(text)?;
    Ok((fabric, tasks))
}

pub fn reach_and_rules() -> Outcome {
    run("a", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let mut wish = wanted(2);
        fabric.apply(wish.clone()).await.map_err(text)?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, 1, "ask 10.224.0.5:7000").await?, "node-2")?;
        same(&order(&fabric, 1, "exists /root/.bashrc").await?, "false")?;
        same(&order(&fabric, 1, &format!("exists {}", scene.config.state_dir.display())).await?, "false")?;
        same(&order(&fabric, 1, "exists /etc/shadow").await?, "false")?;
        let refused = order(&fabric, 1, "write /usr/bin/evil").await?;
        same(&refused, "error: Read-only file system (os error 30)")?;
        same(&fabric.apply(wish.clone()).await.map_err(text)?.steps.join(), "")?;

        wish.generation = 2;
        wish.networks[0].subnets[0].rules = vec![SecurityRule {
            name: "no-seven-thousand".into(),
            priority: 100,
            direction: Direction::Inbound,
            access: Access::Deny,
            protocol: Protocol::Tcp,
            sources: vec![Peer::Prefix("10.224.0.4/32".parse().unwrap())],
            source_ports: Vec::new(),
            destinations: vec![Peer::Any],
            destination_ports: vec![PortRange { first: 7000, last: 7000 }],
        }];
        fabric.apply(wish.clone()).await.map_err(text)?;
        same(&order(&fabric, 1, "ask 10.224.0.5:7000").await?, "error: connection timed out")?;
        let counters = fabric.counters(&NetworkId::of("/vnet")).await.map_err(text)?;
        if !counters.iter().any(|c| c.rule == "no-seven-thousand" && c.packets > 0) {
            return Err(format!("the rule did not count: {counters:?}"));
        }
        same(&order(&fabric, 2, "ask 10.224.0.4:7000").await?, "node-1")
    })
}

trait Join {
    fn join(&self) -> String;
}

impl Join for Vec<String> {
    fn join(&self) -> String {
        self[..].join("; ")
    }
}

pub fn outlive() -> Outcome {
    run("b", |scene| async move {
        let mut wish = wanted(1);
        let id = wish.machines[0].id.clone();
        let (fabric, tasks) = open(&scene).await?;
        fabric.apply(wish.clone()).await.map_err(text)?;
        all_running(&fabric, &wish).await?;
        order(&fabric, 1, "write /var/kept").await?;
        let started = order(&fabric, 1, "read /proc/1/stat").await?;
        // As after a kill: nothing is told to the machine.
        tasks.drain(LIMIT).await;
        drop(fabric);

        let (fabric, tasks) = open(&scene).await?;
        all_running(&fabric, &wish).await?;
        same(&fabric.apply(wish.clone()).await.map_err(text)?.steps.join(), "")?;
        let start_time = |stat: &str| stat.split(' ').nth(21).unwrap_or_default().to_owned();
        same(&start_time(&order(&fabric, 1, "read /proc/1/stat").await?), &start_time(&started))?;

        // Dies while nobody looks.
        tasks.drain(LIMIT).await;
        let _ = order(&fabric, 1, "die 7").await;
        drop(fabric);
        wait_for_exit(&scene.config.state_dir.join("machines").join(id.as_str())).await?;
        let (fabric, _tasks) = open(&scene).await?;
        until(&fabric, &id, |s| matches!(s, Some(MachineState::Failed { exit_code: 7, .. }))).await?;
        same(&fabric.apply(wish.clone()).await.map_err(text)?.steps.join(), "")?;

        wish.machines[0].power = Power::Off;
        fabric.apply(wish.clone()).await.map_err(text)?;
        wish.machines[0].power = Power::On;
        let steps = fabric.apply(wish.clone()).await.map_err(text)?.steps;
        same(&steps.join(), &format!("start machine {id}"))?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, 1, "read /var/kept").await?, "written")
    })
}

async fn wait_for_exit(machine: &Path) -> Outcome {
    let waited = tokio::time::timeout(LIMIT, linux::watch::file_appears(machine, "exit.json")).await;
    waited.map_err(|_| "no exit code was written".to_owned())?.map_err(text)
}

pub fn failed_boot() -> Outcome {
    run("c", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let mut wish = wanted(1);
        let id = wish.machines[0].id.clone();
        wish.machines[0].custom_data = b"exit 51".to_vec();
        fabric.apply(wish.clone()).await.map_err(text)?;
        until(&fabric, &id, |state| match state {
            Some(MachineState::Failed { exit_code: 51, last_lines }) => {
                last_lines.contains(&"giving up".into())
            }
            _ => false,
        })
        .await?;
        wish.machines[0].custom_data.clear();
        wish.machines[0].generation = 2;
        fabric.apply(wish.clone()).await.map_err(text)?;
        all_running(&fabric, &wish).await?;
        wish.machines.clear();
        fabric.apply(wish).await.map_err(text)?;
        until(&fabric, &id, |state| state.is_none()).await?;
        same(&scene.config.state_dir.join("machines").join(id.as_str()).exists().to_string(), "false")
    })
}

struct Tokens;

#[async_trait]
impl ImdsTokens for Tokens {
    async fn token(&self, request: ImdsTokenRequest) -> Result<Value, ImdsTokenError> {
        Ok(json!({"access_token": "t", "resource": request.resource, "for": request.machine_resource_id}))
    }
}

pub fn services() -> Outcome {
    run("d", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let wish = wanted(2);
        let public = SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), 443);
        let listener = fabric.listen(Place::Internet, public).await.map_err(text)?;
        tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                let _ = stream.write_all(peer.ip().to_string().as_bytes()).await;
                let _ = stream.read_u8().await;
            }
        });
        fabric.apply(wish.clone()).await.map_err(text)?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, 1, "name x.hcp.eastus.azmk8s.io").await?, "20.1.0.4")?;
        same(&order(&fabric, 1, "name node-2").await?, "10.224.0.5")?;
        same(&order(&fabric, 1, "name example.org").await?, "code 3")?;
        same(&order(&fabric, 1, "ask 20.1.0.4:443").await?, "20.2.0.4")?;
        let location =
            "http 169.254.169.254:80 /metadata/instance/compute/location?api-version=2021-02-01&format=text";
        let reply = order(&fabric, 1, location).await?;
        same(reply.lines().last().unwrap_or_default(), "eastus")?;
        let token =
            "http 169.254.169.254:80 /metadata/identity/oauth2/token?api-version=2018-02-01&resource=r";
        let refused = order(&fabric, 2, token).await?;
        same(refused.lines().next().unwrap_or_default(), "HTTP/1.1 400 Bad Request")?;
        fabric.set_tokens(Arc::new(Tokens));
        let reply = order(&fabric, 2, token).await?;
        let expected =
            r#"{"access_token":"t","for":"/subscriptions/s/resourceGroups/g/vm/2","resource":"r"}"#;
        same(reply.lines().last().unwrap_or_default(), expected)
    })
}

pub fn balancer() -> Outcome {
    run("e", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let mut wish = wanted(2);
        let frontend = Ipv4Addr::new(20, 2, 0, 9);
        let rule = |name: &str, port, floating_ip| BalancerRule {
            name: name.into(),
            protocol: Protocol::Tcp,
            frontend_port: port,
            backend_port: 7000,
            floating_ip,
            distribution: Distribution::default(),
            backends: wish.machines.iter().map(|m| m.id.clone()).collect(),
            probe: Some(Probe { protocol: ProbeProtocol::Tcp, port: 7000, interval_s: 1, threshold: 1 }),
            all_when_none: false,
            idle: Idle::default(),
        };
        let rules = vec![rule("floating", 7000, true), rule("translated", 80, false)];
        wish.balancers = vec![Balancer { frontend, network: None, source: None, rules }];
        fabric.apply(wish.clone()).await.map_err(text)?;
        all_running(&fabric, &wish).await?;
        for number in [1, 2] {
            same(&order(&fabric, number, &format!("address {frontend}")).await?, "ok")?;
        }
        for port in [7000, 80] {
            let reply = ask_until(&fabric, SocketAddrV4::new(frontend, port), "node-").await?;
            same(reply.strip_prefix("node-").map_or("no", |_| "node"), "node")?;
        }
        // One machine goes: the probe finds out and the other one serves.
        wish.machines[0].power = Power::Off;
        wish.generation = 2;
        fabric.apply(wish.clone()).await.map_err(text)?;
        for _ in 0..5 {
            ask_until(&fabric, SocketAddrV4::new(frontend, 80), "node-2").await?;
        }
        Ok(())
    })
}

/// A client on the internet asks until the answer begins as expected.
pub async fn ask_until(fabric: &LinuxFabric, to: SocketAddrV4, expected: &str) -> Result<String, String> {
    let asking = async {
        loop {
            let once = async {
                let mut stream = fabric.connect(Place::Internet, to).await.map_err(text)?;
                stream.write_all(b"\n").await.map_err(text)?;
                let mut reply = String::new();
                stream.read_to_string(&mut reply).await.map_err(text)?;
                Ok::<_, String>(reply)
            };
            match tokio::time::timeout(Duration::from_secs(1), once).await {
                Ok(Ok(reply)) if reply.starts_with(expected) => return reply,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(LIMIT, asking).await.map_err(|_| format!("no `{expected}` from {to}"))
}
