//! Wishes for networks and machines, planned as values and made true on a host or in simulation.
