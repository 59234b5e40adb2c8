//! `Microsoft.ContainerService`: managed clusters and agent pools, as sagas and reconcilers.

pub mod control_planes;

pub use control_planes::{
    ControlPlaneError, ControlPlaneSpec, ControlPlaneStatus, ControlPlanes, Credential, NodeStatus,
};
