//! What runs in kube-system: cluster DNS and its companions, each a subcommand of the one binary.
