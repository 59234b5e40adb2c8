//! The names a kubelet writes on sandboxes and containers, so that the next kubelet finds them.

/// The pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// The pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The pod's UID.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// The container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: what the container was made from.
pub const HASH: &str = "io.kubernetes.container.hash";
/// Annotation: how often it was started before.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: where a container writes its last words.
pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: whether logs serve as last words.
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: the pod's grace period, for a kubelet that finds only the container.
pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Annotation on sandboxes: where the pod came from.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation on sandboxes: when the pod was first seen.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
