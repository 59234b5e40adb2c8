//! What a failed boot means in Azure's words: the exit codes of AKS's bootstrap (AgentBaker's `cse_helpers.sh`).

use arm::ArmError;

/// Name of the extension that boots a node.
pub const NAME: &str = "vmssCSE";

/// Short code and sentence of an exit code.
pub fn meaning(exit_code: i32) -> (&'static str, &'static str) {
    match exit_code {
        28 => ("ContainerdInstallTimeout", "The container runtime could not be started on the node."),
        31 => ("K8SDownloadTimeout", "Agents timed out downloading Kubernetes."),
        34 => ("KubeletStartFail", "The kubelet could not be started on the node."),
        41 => ("CniDownloadTimeout", "Agents timed out downloading the network plugin."),
        50 => (
            "OutboundConnFail",
            "Agents are unable to establish outbound connectivity, see https://aka.ms/aks/required-outbound-rules.",
        ),
        51 => ("K8SAPIServerConnFail", "Agents are unable to establish connection to Kubernetes API server."),
        52 => ("K8SAPIServerDNSLookupFail", "Agents are unable to resolve Kubernetes API server name."),
        53 => ("AzureDNSLookupFail", "Agents are unable to resolve names through Azure DNS."),
        65 => ("VHDFileNotFound", "A file of the node image was not found."),
        211 => ("ORASPullNetworkTimeout", "Agents timed out pulling artifacts from the registry."),
        212 => ("ORASPullUnauthorized", "Agents are not authorized to pull artifacts from the registry."),
        220 => ("SecureTLSBootstrapFail", "The node could not get its certificate."),
        _ => ("ProvisioningFailed", "The bootstrap of the node failed."),
    }
}

/// The error of a scale set whose instance failed to boot.
pub fn error(instance: &str, exit_code: i32, last_lines: &[String]) -> ArmError {
    let (short, sentence) = meaning(exit_code);
    let tail = last_lines.iter().rev().take(5).rev().cloned().collect::<Vec<_>>().join(" | ");
    let detail = if tail.is_empty() { String::new() } else { format!(" Last output: {tail}.") };
    ArmError::conflict(
        "VMExtensionProvisioningError",
        format!(
            "CSE failed with 'VMExtensionError_{short}'. {sentence} VM '{instance}' has reported a failure when \
             processing extension '{NAME}'. Error message: Enable failed: failed to execute command: command \
             terminated with exit status={exit_code}.{detail} For more detailed troubleshooting, see \
             https://aka.ms/aks/vmextensionerror_{}",
            short.to_ascii_lowercase()
        ),
    )
    .subcode(format!("VMExtensionError_{short}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_exit_code_is_explained() {
        let error = super::error("aks-a-vmss000000", 51, &["connecting".to_owned()]);
        assert_eq!(error.code, "VMExtensionProvisioningError");
        assert!(error.message.starts_with("CSE failed with 'VMExtensionError_K8SAPIServerConnFail'."));
        assert!(error.message.contains("exit status=51"));
    }
}
