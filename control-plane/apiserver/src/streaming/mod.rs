//! Logs, exec, attach, port-forward and proxies, through the tunnel.
