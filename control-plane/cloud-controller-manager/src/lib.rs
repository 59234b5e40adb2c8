//! The loops that tie nodes, services and routes to the cloud, as the cluster's identity.
