//! Which slices to make, change and remove so that they hold exactly the wanted endpoints. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// Endpoints in one slice at most.
pub(super) const SLICE_MAX: usize = 100;

/// Endpoints that share an address family and ports.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Group {
    pub address_type: String,
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

/// What must be written. `create` holds only groups of endpoints; names and labels are the caller's.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub create: Vec<Group>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<Arc<EndpointSlice>>,
}

fn identity(endpoint: &Endpoint) -> (Vec<String>, Option<String>) {
    (endpoint.addresses.clone(), endpoint.target_ref.as_ref().and_then(|t| t.uid.clone()))
}

fn ports_key(ports: &[EndpointPort]) -> String {
    let mut all: Vec<String> = ports
        .iter()
        .map(|p| {
            let text = |t: &Option<String>| t.clone().unwrap_or_default();
            format!("{}/{}/{:?}/{}", text(&p.name), text(&p.protocol), p.port, text(&p.app_protocol))
        })
        .collect();
    all.sort();
    all.join(",")
}

/// Compares wanted groups with present slices. Endpoints stay in the slice they are in; new ones fill slices
/// that change anyway, then those with room, then new ones.
pub(super) fn plan(wanted: Vec<Group>, present: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut taken = vec![false; present.len()];
    for group in wanted {
        let key = ports_key(&group.ports);
        let mut open: BTreeMap<_, _> = group.endpoints.iter().map(|e| (identity(e), e.clone())).collect();
        let mut kept: Vec<(usize, Vec<Endpoint>, bool)> = Vec::new();
        for (at, slice) in present.iter().enumerate() {
            let same = slice.address_type == group.address_type
                && ports_key(slice.ports.as_deref().unwrap_or_default()) == key;
            if !same || taken[at] {
                continue;
            }
            taken[at] = true;
            let stay: Vec<Endpoint> =
                slice.endpoints.iter().filter_map(|e| open.remove(&identity(e))).collect();
            let changed = stay != slice.endpoints;
            kept.push((at, stay, changed));
        }
        let mut fresh: Vec<Endpoint> = open.into_values().collect();
        kept.sort_by_key(|(_, stay, changed)| (!*changed, std::cmp::Reverse(stay.len())));
        for (_, stay, changed) in &mut kept {
            let room = SLICE_MAX.saturating_sub(stay.len()).min(fresh.len());
            if room > 0 {
                stay.extend(fresh.drain(..room));
                *changed = true;
            }
        }
        let mut filled = kept.iter().filter(|(_, stay, _)| !stay.is_empty()).count();
        for (at, stay, changed) in kept {
            let placeholder = stay.is_empty() && group.endpoints.is_empty() && filled == 0;
            if stay.is_empty() && !placeholder {
                plan.delete.push(present[at].clone());
                continue;
            }
            filled += usize::from(placeholder);
            if changed {
                let mut slice = present[at].as_ref().clone();
                slice.endpoints = stay;
                plan.update.push(slice);
            }
        }
        while !fresh.is_empty() || (filled == 0 && group.endpoints.is_empty()) {
            let some = fresh.len().min(SLICE_MAX);
            let endpoints = fresh.drain(..some).collect();
            plan.create.push(Group {
                endpoints,
                address_type: group.address_type.clone(),
                ports: group.ports.clone(),
            });
            filled += 1;
        }
    }
    let stale = present.iter().zip(taken).filter(|(_, taken)| !taken).map(|(s, _)| s.clone());
    plan.delete.extend(stale);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(range: std::ops::Range<usize>) -> Vec<Endpoint> {
        range
            .map(|n| Endpoint {
                addresses: vec![format!("10.0.{}.{}", n / 250, n % 250)],
                ..Default::default()
            })
            .collect()
    }

    fn group(endpoints: Vec<Endpoint>) -> Group {
        let port = EndpointPort { port: Some(80), ..Default::default() };
        Group { address_type: "IPv4".into(), ports: vec![port], endpoints }
    }

    fn slice(name: &str, group: &Group) -> Arc<EndpointSlice> {
        let mut slice = EndpointSlice {
            address_type: group.address_type.clone(),
            ports: Some(group.ports.clone()),
            endpoints: group.endpoints.clone(),
            ..Default::default()
        };
        slice.metadata.name = Some(name.into());
        Arc::new(slice)
    }

    #[test]
    fn many_endpoints_need_many_slices() {
        let plan = plan(vec![group(endpoints(0..250))], &[]);
        assert_eq!(plan.create.iter().map(|g| g.endpoints.len()).collect::<Vec<_>>(), [100, 100, 50]);
    }

    #[test]
    fn nothing_changed_nothing_written() {
        let same = group(endpoints(0..3));
        assert_eq!(plan(vec![same.clone()], &[slice("a", &same)]), Plan::default());
        let none = group(vec![]);
        assert_eq!(plan(vec![none.clone()], &[slice("a", &none)]), Plan::default(), "the placeholder stays");
    }

    #[test]
    fn one_more_endpoint_changes_one_slice() {
        let plan = plan(
            vec![group(endpoints(0..151))],
            &[slice("full", &group(endpoints(0..100))), slice("half", &group(endpoints(100..150)))],
        );
        assert_eq!((plan.create.len(), plan.delete.len()), (0, 0));
        assert_eq!(plan.update.len(), 1);
        assert_eq!(plan.update[0].metadata.name.as_deref(), Some("half"));
    }

    #[test]
    fn slices_of_other_ports_go() {
        let mut other = group(endpoints(0..1));
        other.ports[0].port = Some(81);
        let plan = plan(vec![group(endpoints(0..1))], &[slice("old", &other)]);
        assert_eq!((plan.create.len(), plan.delete.len()), (1, 1));
        let emptied = super::plan(vec![group(vec![])], &[slice("old", &group(endpoints(0..1)))]);
        assert_eq!((emptied.create.len(), emptied.update.len(), emptied.delete.len()), (0, 1, 0));
    }
}
