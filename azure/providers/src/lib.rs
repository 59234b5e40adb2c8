//! A module per resource provider: network, compute, managed identity, authorization, container registry.
