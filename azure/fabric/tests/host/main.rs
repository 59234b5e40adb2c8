//! The Linux fabric on a real host: namespaces, packets, processes. SKIPPED without root or tools.
//!
//! This binary plays three roles: the tests, the starter of machines and what runs in them (`node boot`).

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod balancers;
mod exits;
mod groups;
mod guest;
mod named;
mod network;
mod platform;
mod scenes;
mod services;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, "node", "boot"] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return linux::machine::start_if_asked().unwrap_or_else(guest::boot);
    }
    let trial = |name: &'static str, scene: fn() -> Result<(), String>| {
        Trial::test(name, move || match missing() {
            Some(reason) => {
                println!("SKIPPED: {reason}");
                Ok(())
            }
            None => scene().map_err(Failed::from),
        })
    };
    let trials = vec![
        trial("machines_reach_each_other_and_rules_hold", scenes::reach_and_rules),
        trial("machines_outlive_the_service", scenes::outlive),
        trial("a_boot_that_fails_keeps_its_exit_code", scenes::failed_boot),
        trial("names_metadata_and_the_internet_are_there", scenes::services),
        trial("a_balancer_with_a_floating_address_reaches_a_machine", scenes::balancer),
        trial("groups_of_interfaces_stop_packets_and_count_them", network::interface_groups),
        trial("a_peering_connects_and_its_absence_separates", network::peerings),
        trial("routes_lead_through_an_appliance_or_nowhere", network::appliance),
        trial("packets_leave_with_the_address_that_is_wanted", network::sources),
        trial("private_zones_answer_where_they_are_linked", network::zones),
        trial("probes_decide_who_is_asked_and_a_private_link_hides_the_client", network::balancing),
        trial("one_port_leads_to_one_machine_and_private_frontends_keep_their_address", balancers::frontends),
        trial("clients_stay_with_a_backend_and_connections_outlive_a_probe", balancers::distribution),
        trial("a_balancer_is_the_next_hop_to_several_appliances", balancers::next_hop),
        trial("what_is_said_of_a_packet_is_what_becomes_of_it", groups::random),
        trial("connections_outlive_a_new_rule_and_every_protocol_has_its_rules", groups::stateful),
        trial("ports_of_source_addresses_run_out", exits::ports),
        trial("the_group_of_a_subnet_judges_private_endpoints_when_told", exits::endpoint),
        trial("who_says_nothing_is_forgotten", exits::idle),
        trial("a_tag_stops_one_service_and_an_endpoint_leads_past_a_route", services::tags),
        trial("an_application_group_is_who_is_in_it", groups::members),
        trial("what_a_rule_has_counted_outlives_other_changes", groups::counts),
        trial("only_its_tag_keeps_a_machine_from_the_platform", platform::tags),
        trial("a_route_leads_past_a_private_endpoint_when_told", services::routed_endpoint),
        trial("every_kind_of_record_is_answered_where_its_zone_is_linked", named::records),
        trial("machines_ask_the_servers_of_their_network", named::servers),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Why the tests cannot run here.
fn missing() -> Option<String> {
    if !linux::process::is_root() {
        return Some("not root".into());
    }
    let tools = [["ip", "-V"], ["nft", "-v"]];
    tools.iter().find_map(|argv| linux::Command::new(argv).run().err()).map(|error| error.to_string())
}
