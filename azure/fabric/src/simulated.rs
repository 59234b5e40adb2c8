//! A fabric without processes: machines are tasks, the internet is a table of loopback listeners.
//!
//! Guarantees: the same states in the same order as the real one; a machine's exit code is the task's.
//! Does not: enforce security rules, isolate anything or carry packets between machines.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::fabric::{Fabric, FabricError, FabricKind, Place, Report};
use crate::ids::{MachineId, NetworkId};
use crate::plan::Counter;
use crate::script::{Script, ScriptEnd};
use crate::state::{MachineState, Machines};
use crate::wanted::{Machine, Power, Wanted};

const LOG_LINES_MAX: usize = 2000;
const LAST_LINES: usize = 20;
/// How long a machine that is deleted may take to let go of its disk.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What a machine finds on its disk at boot.
#[derive(Debug, Clone)]
pub struct MachineFiles {
    /// Which machine.
    pub id: MachineId,
    /// Of which making it is; a reimage makes it anew, with an empty disk.
    pub generation: u64,
    /// `/var/lib/waagent/custom-data`.
    pub custom_data: Vec<u8>,
    /// `/var/lib/waagent/machine.json`.
    pub machine_json: Value,
}

/// How a running machine speaks to the fabric.
#[derive(Clone)]
pub struct Booted {
    id: MachineId,
    shared: Arc<Shared>,
    run: u64,
}

impl Booted {
    /// The boot is done: the machine is `Running`.
    pub fn booted(&self) {
        self.shared.set(&self.id, self.run, MachineState::Running);
    }

    /// A line for the serial log.
    pub fn log(&self, line: &str) {
        let mut logs = self.shared.logs.lock();
        let log = logs.entry(self.id.clone()).or_default();
        if log.len() == LOG_LINES_MAX {
            log.pop_front();
        }
        log.push_back(line.to_owned());
    }
}

/// What a simulated machine does while it is on. Dropped at power off.
#[async_trait]
pub trait MachineStarter: Send + Sync + 'static {
    /// Runs the machine; the result is the exit code of its boot. Does not return while the machine is up.
    async fn run(&self, files: MachineFiles, report: Booted) -> i32;

    /// Deletes the disks of all machines but these. Called at the first wish, since a disk may be left of a machine that was
    /// deleted while the power failed, and at each that deletes a machine, once that has ended.
    ///
    /// # Errors
    /// When a disk cannot be deleted; the wish then counts as not fulfilled.
    async fn keep_disks(&self, _of: &BTreeSet<MachineId>) -> std::io::Result<()> {
        Ok(())
    }
}

struct Shared {
    states: watch::Sender<Arc<Machines>>,
    logs: Mutex<HashMap<MachineId, VecDeque<String>>>,
    running: Mutex<BTreeMap<MachineId, Run>>,
}

struct Run {
    number: u64,
    generation: u64,
    power: Power,
    tasks: kit::Tasks,
}

impl Shared {
    /// Sets a state unless another run of the machine has begun.
    fn set(&self, id: &MachineId, run: u64, state: MachineState) {
        let current = self.running.lock().get(id).is_some_and(|r| r.number == run);
        if current {
            self.put(id, Some(state));
        }
    }

    fn put(&self, id: &MachineId, state: Option<MachineState>) {
        self.states.send_modify(|states| {
            let states = Arc::make_mut(states);
            match state {
                Some(state) => states.insert(id.clone(), state),
                None => states.remove(id),
            };
        });
    }

    fn last_lines(&self, id: &MachineId) -> Vec<String> {
        let logs = self.logs.lock();
        let Some(log) = logs.get(id) else { return Vec::new() };
        log.iter().skip(log.len().saturating_sub(LAST_LINES)).cloned().collect()
    }
}

/// The simulated fabric.
pub struct SimulatedFabric {
    starter: Arc<dyn MachineStarter>,
    tasks: kit::Tasks,
    shared: Arc<Shared>,
    applied: Mutex<(u64, u64)>,
    listeners: Mutex<HashMap<SocketAddrV4, SocketAddr>>,
    opened: Notify,
}

impl SimulatedFabric {
    /// A fabric whose machines are what `starter` runs.
    pub fn new(starter: Arc<dyn MachineStarter>, tasks: kit::Tasks) -> Self {
        let shared = Shared {
            states: watch::Sender::new(Arc::new(BTreeMap::new())),
            logs: Mutex::default(),
            running: Mutex::default(),
        };
        Self {
            starter,
            tasks,
            shared: Arc::new(shared),
            applied: Mutex::new((0, 0)),
            listeners: Mutex::default(),
            opened: Notify::new(),
        }
    }

    /// Where a listener of this fabric really listens; waits until there is one.
    pub async fn real_address(&self, address: SocketAddrV4) -> SocketAddr {
        loop {
            let opened = self.opened.notified();
            let known = self.listeners.lock().get(&address).copied();
            match known {
                Some(real) => return real,
                None => opened.await,
            }
        }
    }

    fn start(&self, machine: &Machine, files: MachineFiles) {
        let number = {
            let mut applied = self.applied.lock();
            applied.1 += 1;
            applied.1
        };
        let tasks = self.tasks.child();
        let run = Run { number, generation: machine.generation, power: machine.power, tasks: tasks.clone() };
        let old = self.shared.running.lock().insert(machine.id.clone(), run);
        if let Some(old) = &old {
            old.tasks.stop();
        }
        if machine.power == Power::Off {
            self.shared.put(&machine.id, Some(MachineState::Stopped));
            return;
        }
        self.shared.put(&machine.id, Some(MachineState::Booting));
        let report = Booted { id: machine.id.clone(), shared: self.shared.clone(), run: number };
        let (starter, shared, id) = (self.starter.clone(), self.shared.clone(), machine.id.clone());
        tasks.spawn("simulated machine", async move {
            // Both have the same disk.
            if let Some(old) = old {
                old.tasks.drain(END_LIMIT).await;
            }
            let exit_code = starter.run(files, report).await;
            let last_lines = shared.last_lines(&id);
            shared.set(&id, number, MachineState::Failed { exit_code, last_lines });
        });
    }
}

impl SimulatedFabric {
    /// Ends the machines that nobody wants any more and deletes their disks; at the first wish also those that none is left of.
    async fn delete_all_but(&self, wanted: &Wanted, first: bool) -> Result<Vec<String>, FabricError> {
        let there: BTreeSet<MachineId> = wanted.machines.iter().map(|machine| machine.id.clone()).collect();
        let gone: Vec<MachineId> = {
            let running = self.shared.running.lock();
            running.keys().filter(|id| !there.contains(id)).cloned().collect()
        };
        let mut steps = Vec::new();
        for id in &gone {
            steps.push(format!("delete machine {id}"));
            let run = self.shared.running.lock().remove(id);
            if let Some(run) = run {
                run.tasks.drain(END_LIMIT).await;
            }
            self.shared.logs.lock().remove(id);
        }
        if first || !gone.is_empty() {
            let failed = |source: std::io::Error| FabricError::Host {
                deed: "delete the disks of machines that are gone".to_owned(),
                source: source.into(),
            };
            self.starter.keep_disks(&there).await.map_err(failed)?;
        }
        for id in &gone {
            self.shared.put(id, None);
        }
        Ok(steps)
    }
}

/// The content of `/var/lib/waagent/machine.json`.
pub fn machine_json(wanted: &Wanted, machine: &Machine) -> Value {
    let subnet = wanted
        .networks
        .iter()
        .find(|n| n.id == machine.network)
        .and_then(|n| n.subnets.iter().find(|s| s.name == machine.subnet));
    let gateway = subnet.map_or(Ipv4Addr::UNSPECIFIED, |s| s.gateway());
    json!({
        "id": machine.id, "hostname": machine.hostname, "resourceId": machine.resource_id,
        "location": machine.location, "zone": machine.zone, "vmSize": machine.vm_size,
        "cpus": machine.cpus, "memoryBytes": machine.memory_bytes, "address": machine.address,
        "prefixLength": subnet.map_or(32, |s| s.prefix.prefix_len()), "gateway": gateway,
        "dns": "168.63.129.16", "routedPrefixes": machine.routed_prefixes,
    })
}

#[async_trait]
impl Fabric for SimulatedFabric {
    async fn apply(&self, wanted: Wanted) -> Result<Report, FabricError> {
        let applied = self.applied.lock().0;
        if wanted.generation < applied {
            return Err(FabricError::Stale { asked: wanted.generation, applied });
        }
        let mut steps = self.delete_all_but(&wanted, applied == 0).await?;
        for machine in &wanted.machines {
            let seen = self.shared.running.lock().get(&machine.id).map(|run| (run.generation, run.power));
            if seen == Some((machine.generation, machine.power)) {
                continue;
            }
            steps.push(format!(
                "machine {} generation {} {:?}",
                machine.id, machine.generation, machine.power
            ));
            let files = MachineFiles {
                id: machine.id.clone(),
                generation: machine.generation,
                custom_data: machine.custom_data.clone(),
                machine_json: machine_json(&wanted, machine),
            };
            self.start(machine, files);
        }
        self.applied.lock().0 = wanted.generation;
        Ok(Report { generation: wanted.generation, steps })
    }

    fn machines(&self) -> watch::Receiver<Arc<Machines>> {
        self.shared.states.subscribe()
    }

    async fn serial_log(&self, id: &MachineId) -> Result<String, FabricError> {
        if !self.shared.states.borrow().contains_key(id) {
            return Err(FabricError::NoMachine(id.clone()));
        }
        let logs = self.shared.logs.lock();
        Ok(logs.get(id).map(|l| l.iter().map(|line| format!("{line}\n")).collect()).unwrap_or_default())
    }

    async fn run_script(&self, id: &MachineId, _: Script) -> Result<ScriptEnd, FabricError> {
        Err(FabricError::NoProcesses(id.clone()))
    }

    async fn listen(&self, _: Place, address: SocketAddrV4) -> Result<TcpListener, FabricError> {
        let failed = |source| FabricError::Socket { deed: "listen on", address, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let real = listener.local_addr().map_err(failed)?;
        self.listeners.lock().insert(address, real);
        self.opened.notify_waiters();
        Ok(listener)
    }

    async fn connect(&self, _: Place, to: SocketAddrV4) -> Result<TcpStream, FabricError> {
        let failed = |source| FabricError::Socket { deed: "connect to", address: to, source };
        let real = self.listeners.lock().get(&to).copied();
        let real = real.ok_or_else(|| failed(std::io::ErrorKind::ConnectionRefused.into()))?;
        TcpStream::connect(real).await.map_err(failed)
    }

    async fn counters(&self, _: &NetworkId) -> Result<Vec<Counter>, FabricError> {
        Ok(Vec::new())
    }

    fn kind(&self) -> FabricKind {
        FabricKind::Simulated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NetworkId;
    use crate::wanted::Translation;

    /// Remembers whose disks are there.
    #[derive(Default)]
    struct Told(Mutex<BTreeSet<MachineId>>);

    #[async_trait]
    impl MachineStarter for Told {
        async fn run(&self, files: MachineFiles, report: Booted) -> i32 {
            report.log("hello");
            self.0.lock().insert(files.id);
            if files.custom_data == b"fail" {
                return 51;
            }
            report.booted();
            std::future::pending().await
        }

        async fn keep_disks(&self, of: &BTreeSet<MachineId>) -> std::io::Result<()> {
            self.0.lock().retain(|id| of.contains(id));
            Ok(())
        }
    }

    fn machine(id: &str, custom_data: &[u8]) -> Machine {
        Machine {
            id: MachineId::of(id),
            resource_id: id.into(),
            hostname: id.into(),
            network: NetworkId::of("n"),
            subnet: "s".into(),
            address: Ipv4Addr::new(10, 224, 0, 4),
            routed_prefixes: Vec::new(),
            rules: Vec::new(),
            ip_forwarding: false,
            outbound: Vec::new(),
            translation: Translation::default(),
            cpus: 2,
            memory_bytes: 1,
            vm_size: String::new(),
            zone: String::new(),
            location: String::new(),
            custom_data: custom_data.to_vec(),
            imds: Value::Null,
            generation: 1,
            power: Power::On,
        }
    }

    #[tokio::test]
    async fn machines_run_fail_stop_and_go() {
        let fabric = SimulatedFabric::new(Arc::new(Told::default()), kit::Tasks::new());
        let mut wanted = Wanted { generation: 1, ..Wanted::default() };
        wanted.machines = vec![machine("a", b""), machine("b", b"fail")];
        fabric.apply(wanted.clone()).await.unwrap();
        let (a, b) = (MachineId::of("a"), MachineId::of("b"));
        let mut states = fabric.machines();
        let failed = MachineState::Failed { exit_code: 51, last_lines: vec!["hello".into()] };
        let settled = |all: &Arc<Machines>| all[&a] == MachineState::Running && all[&b] == failed;
        states.wait_for(settled).await.unwrap();
        assert_eq!(fabric.apply(wanted.clone()).await.unwrap().steps, Vec::<String>::new());
        wanted.generation = 2;
        wanted.machines[0].power = Power::Off;
        wanted.machines.remove(1);
        fabric.apply(wanted.clone()).await.unwrap();
        assert_eq!(**fabric.machines().borrow(), BTreeMap::from([(a, MachineState::Stopped)]));
        wanted.generation = 1;
        assert!(matches!(fabric.apply(wanted).await, Err(FabricError::Stale { asked: 1, applied: 2 })));
    }

    #[tokio::test]
    async fn a_disk_goes_with_its_machine_and_at_the_first_wish_where_none_is_left() {
        let (a, b, old) = (MachineId::of("a"), MachineId::of("b"), MachineId::of("old"));
        let told = Arc::new(Told(Mutex::new(BTreeSet::from([a.clone(), old]))));
        let fabric = SimulatedFabric::new(told.clone(), kit::Tasks::new());
        let mut wanted = Wanted { generation: 1, ..Wanted::default() };
        wanted.machines = vec![machine("a", b""), machine("b", b"")];
        fabric.apply(wanted.clone()).await.unwrap();
        let mut states = fabric.machines();
        states.wait_for(|all| all.values().all(|one| *one == MachineState::Running)).await.unwrap();
        assert_eq!(*told.0.lock(), BTreeSet::from([a.clone(), b]));
        wanted.generation = 2;
        wanted.machines.pop();
        fabric.apply(wanted).await.unwrap();
        assert_eq!(*told.0.lock(), BTreeSet::from([a]));
    }

    #[tokio::test]
    async fn listeners_are_found_by_their_address() {
        let fabric = SimulatedFabric::new(Arc::new(Told::default()), kit::Tasks::new());
        let address = SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), 443);
        assert!(fabric.connect(Place::Internet, address).await.is_err());
        let (real, listener) =
            tokio::join!(fabric.real_address(address), fabric.listen(Place::Internet, address));
        let listener = listener.unwrap();
        assert_eq!(listener.local_addr().unwrap(), real);
        fabric.connect(Place::Internet, address).await.unwrap();
    }
}
