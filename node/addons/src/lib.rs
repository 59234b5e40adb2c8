//! What runs in kube-system: cluster DNS and its companions, each a subcommand of one [`program`].
//!
//! An add-on is two things here: a part of the program ([`dns`]) that runs in a pod made of Lazurite's own image, and
//! [`manifests`] that put it there. The manifests are applied by the hosted control plane and put back
//! when edited, as AKS does with objects labelled `kubernetes.azure.com/managedby: aks`.

pub mod canipull;
pub mod dns;
pub mod fetch;
pub mod manifests;
pub mod pause;
pub mod program;
pub mod sample;
