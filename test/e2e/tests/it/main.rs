//! The whole way through, as a user walks it. Each test has a Lazurite of its own.

mod az;
mod crash;
mod entra;
mod hostile;
mod kill;
mod lost_keys;
mod many;
mod quickstart;
mod refusals;
mod registry;
mod restart;
mod sdks;
mod simulated;
mod without_az;
