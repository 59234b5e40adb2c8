//! A machine's first program on a node: boot steps with exit codes, containerd, TLS bootstrap, tunnel, kubelet, kube-proxy.
