//! The CNI plugin: a pod's interface, address and routes.
