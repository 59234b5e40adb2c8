//! The one binary: service, command line, node agent, CNI plugin and add-ons.
//!
//! What it is depends on how it is called: under the name of a program of a node (`lazurite-cni`,
//! `pause`, …) it is that program; else it is the command line, whose `serve` is the service.

mod cli;
mod inside;
mod place;
mod service;

use std::process::ExitCode;

use clap::Parser;

// A write makes and drops thousands of small values; the C library's allocator took a quarter of its time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Some(code) = inside::by_name() {
        return code;
    }
    let done = match cli::as_kubelogin() {
        Some(done) => done.map(|()| ExitCode::SUCCESS),
        None => cli::run(cli::Arguments::parse()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
