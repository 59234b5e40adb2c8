//! The front door with a real directory in front of it, by HTTP in the process, and by the real `az`.
#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod access_matrix;
mod access_routes;
mod authorization;
mod az;
mod deployments;
mod door;
mod harness;
mod lifecycle;
mod signin;
