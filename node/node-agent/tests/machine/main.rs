//! The boot in a real machine, against an API server of the test's. SKIPPED without root or tools.
//!
//! This binary plays three roles: the tests, the starter of machines and their first program (`node boot`).

mod api_server;
mod host;
mod scenes;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, "node", "boot"] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return node_agent::main();
    }
    kit::tls::install_provider();
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
        trial("a_machine_joins_and_its_agent_is_replaced", scenes::joins),
        trial("without_a_way_out_the_boot_ends_with_50", scenes::outbound),
        trial("without_a_name_the_boot_ends_with_52", scenes::name),
        trial("without_an_api_server_the_boot_ends_with_51", scenes::server),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Why the tests cannot run here.
fn missing() -> Option<String> {
    if !linux::process::is_root() {
        return Some("not root".into());
    }
    let tools = [["ip", "-V"], ["nft", "-v"], ["containerd", "-v"], ["runc", "-v"]];
    tools.iter().find_map(|argv| linux::Command::new(argv).run().err()).map(|error| error.to_string())
}
