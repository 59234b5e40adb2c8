//! The program in Lazurite's own image. Each node unpacks it, so it carries nothing that runs elsewhere: a fifth of the whole.

use std::process::ExitCode;

fn main() -> ExitCode {
    addons::program::main()
}
