//! Runs pods over CRI: sandboxes, containers, volumes, probes, status, logs, exec, port-forward.
