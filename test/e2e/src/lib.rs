//! The whole way through with the real az, kubectl and containerd.
