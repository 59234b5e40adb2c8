//! Resources to wish: a pure translation, in the order of ids, so that equal resources give equal wishes.

mod balancers;
mod exits;
mod names;
mod networks;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arm::{Resource, ResourceId, Resources};
use base64::Engine;
use fabric::{Machine, NetworkId, Power, SecurityRule, Wanted};
use serde_json::Value;

use crate::compute::instances::{self, Instance};
use crate::compute::sizes;
use crate::json::text;
use crate::network::{reference, rules, security_groups, uses};

/// What several parts of a wish are made of, read once.
struct World<'a> {
    resources: &'a Resources,
    names: &'a [(String, Ipv4Addr)],
    instances: Vec<Instance>,
    /// The members of each backend pool, as places in `instances`.
    members: HashMap<ResourceId, Vec<usize>>,
    /// What every security group means.
    groups: HashMap<ResourceId, Vec<SecurityRule>>,
    /// Pools with what their members leave with.
    exits: Vec<(ResourceId, exits::Exit)>,
    /// The private endpoints of each network.
    endpoints: HashMap<ResourceId, Vec<Arc<Resource>>>,
}

impl World<'_> {
    /// The running members of a backend pool, in the order of instances.
    fn running(&self, pool: &ResourceId) -> impl Iterator<Item = &Instance> {
        let members = self.members.get(pool).into_iter().flatten();
        members.filter_map(|at| self.instances.get(*at)).filter(|instance| instance.private.on)
    }

    fn group(&self, id: Option<&ResourceId>) -> Vec<SecurityRule> {
        id.and_then(|id| self.groups.get(id)).cloned().unwrap_or_default()
    }
}

/// The wish that the store's resources make, without a generation. `names` are those of the internet.
pub fn wanted(resources: &Resources, names: &[(String, Ipv4Addr)]) -> Wanted {
    let instances: Vec<Instance> =
        instances::all(resources).into_iter().filter(|instance| !instance.deleting).collect();
    let mut members = HashMap::<ResourceId, Vec<usize>>::new();
    for (at, instance) in instances.iter().enumerate() {
        for pool in &instance.pools {
            let members = members.entry(pool.clone()).or_default();
            // An interface may name a pool twice.
            if members.last() != Some(&at) {
                members.push(at);
            }
        }
    }
    let groups = uses::all(resources, "Microsoft.Network/networkSecurityGroups");
    let groups = groups.iter().map(|group| {
        (group.id.clone(), rules::effective(resources, &security_groups::shown(resources, group)))
    });
    let balancers = uses::all(resources, "Microsoft.Network/loadBalancers");
    let exits = exits::all(resources, &balancers, &instances);
    let endpoints = networks::endpoints_by_network(resources);
    let world = World { resources, names, instances, members, groups: groups.collect(), exits, endpoints };
    let networks = uses::all(resources, "Microsoft.Network/virtualNetworks");
    let mut made = Wanted {
        generation: 0,
        networks: networks.iter().map(|network| networks::network(&world, network)).collect(),
        machines: world.instances.iter().filter_map(|instance| machine(&world, instance)).collect(),
        balancers: balancers.iter().flat_map(|b| balancers::frontends(&world, b)).collect(),
        names: names.to_vec(),
        zones: names::zones(resources),
        aliases: names::aliases(resources),
    };
    let links = balancers::private_links(&world, &made.balancers);
    made.balancers.extend(links);
    made
}

/// The address of the public address that a reference leads to.
fn public_address(resources: &Resources, value: &Value, pointer: &str) -> Option<Ipv4Addr> {
    let id = reference(value, pointer).ok()??;
    text(&resources.get(&id)?.properties, "/ipAddress")?.parse().ok()
}

fn machine(world: &World<'_>, instance: &Instance) -> Option<Machine> {
    let size = sizes::find(&instance.size)?;
    let private = &instance.private;
    let exit = world.exits.iter().find(|(pool, _)| instance.pools.contains(pool));
    let (outbound, translation) = exit.map(|(_, exit)| exit.of(&instance.id)).unwrap_or_default();
    Some(Machine {
        id: instance.machine(),
        resource_id: instance.id.to_string(),
        hostname: instance.computer_name.clone(),
        network: NetworkId::of(&instance.subnet.top().to_string()),
        subnet: instance.subnet.name().to_owned(),
        address: instance.address,
        routed_prefixes: private.pods.into_iter().collect(),
        rules: world.group(instance.group.as_ref()),
        ip_forwarding: instance.ip_forwarding,
        outbound,
        translation,
        cpus: size.cpus,
        memory_bytes: size.memory_mib << 20,
        vm_size: size.name.to_owned(),
        zone: instance.zone.clone(),
        location: instance.location.clone(),
        custom_data: base64::engine::general_purpose::STANDARD
            .decode(&private.custom_data)
            .unwrap_or_default(),
        imds: Value::Null,
        generation: private.generation,
        power: if private.on { Power::On } else { Power::Off },
    })
}
