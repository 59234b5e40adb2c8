//! The whole way through, as a user walks it. Each test has a Lazurite of its own.

mod crash;
mod quickstart;
mod refusals;
mod simulated;
mod without_az;
