//! Private zones, and public names that stand for names in them.

use std::net::Ipv4Addr;

use arm::{ResourceId, Resources};
use fabric::{NetworkId, Zone};

use super::World;
use crate::json::text;
use crate::network::private_dns::{LINKS, ZONES, records};
use crate::network::private_link::{self, targets};
use crate::network::{reference, uses};

pub(super) fn zones(resources: &Resources) -> Vec<Zone> {
    uses::all(resources, ZONES)
        .iter()
        .map(|zone| {
            let links = resources.list_type(&zone.id, LINKS);
            let linked = |only_falling_back: bool| {
                links
                    .iter()
                    .filter(|l| {
                        !only_falling_back
                            || text(&l.properties, "/resolutionPolicy") == Some("NxDomainRedirect")
                    })
                    .filter_map(|l| reference(&l.properties, "/virtualNetwork/id").ok().flatten())
                    .map(|network| NetworkId::of(&network.to_string()))
                    .collect::<Vec<_>>()
            };
            Zone {
                name: zone.name.clone(),
                networks: linked(false),
                falling_back: linked(true),
                records: records::sets(resources, &zone.id).iter().flat_map(records::data).collect(),
            }
        })
        .collect()
}

/// Public names of services that have an approved endpoint, with their names in private zones.
pub(super) fn aliases(resources: &Resources) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = uses::all(resources, private_link::ENDPOINTS)
        .iter()
        .flat_map(|endpoint| {
            let approved = private_link::connections(endpoint).filter(|c| private_link::approved(c));
            let names = approved.filter_map(|c| {
                targets::names(&private_link::target(c)?, text(c, "/properties/groupIds/0")?)
            });
            names.map(|names| (names.public, names.private)).collect::<Vec<_>>()
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Where a service answers on the internet.
pub(super) fn address_of(world: &World<'_>, service: &ResourceId, group: &str) -> Option<Ipv4Addr> {
    let name = match targets::names(service, group) {
        Some(names) => names.public,
        // A cluster says itself what its API server is called.
        None => {
            let cluster = world.resources.get(service)?;
            let own =
                text(&cluster.properties, "/fqdn").or_else(|| text(&cluster.properties, "/privateFQDN"));
            own?.to_ascii_lowercase()
        }
    };
    let exact = world.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    let below = || {
        world.names.iter().find(|(known, _)| {
            known.strip_prefix('*').is_some_and(|suffix| name.ends_with(&suffix.to_ascii_lowercase()))
        })
    };
    exact.or_else(below).map(|(_, address)| *address)
}
