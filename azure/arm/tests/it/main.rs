//! The front door with a real directory in front of it, by HTTP in the process, and by the real `az`.
#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod access_matrix;
mod access_routes;
mod activity;
mod authorization;
mod az;
mod bad_requests;
mod deployment_modes;
mod deployments;
mod door;
mod front_door;
mod harness;
mod lifecycle;
mod locks;
mod scale;
mod signin;
