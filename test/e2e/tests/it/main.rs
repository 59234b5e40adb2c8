//! The whole way through, as a user walks it. Each test has a Lazurite of its own.

mod az;
mod crash;
mod entra;
mod quickstart;
mod refusals;
mod registry;
mod sdks;
mod simulated;
mod without_az;
