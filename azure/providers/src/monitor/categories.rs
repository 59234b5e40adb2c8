//! What the types have to say: categories of logs, and names of metrics.

/// The logs and metrics of a type.
pub(super) struct Signals {
    full_type: &'static str,
    /// Categories, blank-separated; those with `!` are audit logs.
    logs: &'static str,
    /// `name:unit:aggregation`, blank-separated.
    metrics: &'static str,
}

const SIGNALS: &[Signals] = &[
    Signals {
        full_type: "Microsoft.ContainerService/managedClusters",
        logs: "kube-apiserver kube-audit! kube-audit-admin! kube-controller-manager kube-scheduler cluster-autoscaler cloud-controller-manager guard csi-azuredisk-controller csi-azurefile-controller csi-snapshot-controller fleet-member-agent fleet-member-net-controller-manager fleet-mcs-controller-manager karpenter-events",
        metrics: "apiserver_cpu_usage_percentage:Percent:Maximum apiserver_memory_usage_percentage:Percent:Maximum apiserver_current_inflight_requests:Count:Total cluster_autoscaler_cluster_safe_to_autoscale:Count:Total cluster_autoscaler_unneeded_nodes_count:Count:Total cluster_autoscaler_unschedulable_pods_count:Count:Total etcd_cpu_usage_percentage:Percent:Maximum etcd_database_usage_percentage:Percent:Maximum etcd_memory_usage_percentage:Percent:Maximum kube_node_status_allocatable_cpu_cores:Count:Average kube_node_status_allocatable_memory_bytes:Bytes:Average kube_node_status_condition:Count:Average kube_pod_status_phase:Count:Average kube_pod_status_ready:Count:Average node_cpu_usage_millicores:MilliCores:Average node_cpu_usage_percentage:Percent:Average node_disk_usage_bytes:Bytes:Average node_disk_usage_percentage:Percent:Average node_memory_rss_bytes:Bytes:Average node_memory_rss_percentage:Percent:Average node_memory_working_set_bytes:Bytes:Average node_memory_working_set_percentage:Percent:Average node_network_in_bytes:Bytes:Average node_network_out_bytes:Bytes:Average",
    },
    Signals {
        full_type: "Microsoft.KeyVault/vaults",
        logs: "AuditEvent! AzurePolicyEvaluationDetails",
        metrics: "Availability:Percent:Average SaturationShoebox:Percent:Average ServiceApiHit:Count:Count ServiceApiLatency:MilliSeconds:Average ServiceApiResult:Count:Count",
    },
    Signals {
        full_type: "Microsoft.ContainerRegistry/registries",
        logs: "ContainerRegistryRepositoryEvents! ContainerRegistryLoginEvents!",
        metrics: "StorageUsed:Bytes:Average SuccessfulPullCount:Count:Total SuccessfulPushCount:Count:Total TotalPullCount:Count:Total TotalPushCount:Count:Total",
    },
    Signals {
        full_type: "Microsoft.Network/networkSecurityGroups",
        logs: "NetworkSecurityGroupEvent NetworkSecurityGroupRuleCounter",
        metrics: "",
    },
    Signals {
        full_type: "Microsoft.Network/virtualNetworks",
        logs: "VMProtectionAlerts",
        metrics: "IfUnderDDoSAttack:Count:Maximum PingMeshAverageRoundtripMs:MilliSeconds:Average",
    },
    Signals {
        full_type: "Microsoft.Network/publicIPAddresses",
        logs: "DDoSProtectionNotifications DDoSMitigationFlowLogs DDoSMitigationReports",
        metrics: "ByteCount:Bytes:Total PacketCount:Count:Total SynCount:Count:Total VipAvailability:Count:Average IfUnderDDoSAttack:Count:Maximum",
    },
    Signals {
        full_type: "Microsoft.Network/loadBalancers",
        logs: "LoadBalancerHealthEvent",
        metrics: "AllocatedSnatPorts:Count:Average ByteCount:Bytes:Total DipAvailability:Count:Average PacketCount:Count:Total SnatConnectionCount:Count:Total SYNCount:Count:Total UsedSnatPorts:Count:Average VipAvailability:Count:Average",
    },
    Signals {
        full_type: "Microsoft.Network/natGateways",
        logs: "",
        metrics: "ByteCount:Bytes:Total DatapathAvailability:Count:Average PacketCount:Count:Total SNATConnectionCount:Count:Total TotalConnectionCount:Count:Total",
    },
    Signals {
        full_type: "Microsoft.Compute/virtualMachineScaleSets",
        logs: "",
        metrics: "Percentage_CPU:Percent:Average Network_In_Total:Bytes:Total Network_Out_Total:Bytes:Total Disk_Read_Bytes:Bytes:Total Disk_Write_Bytes:Bytes:Total Available_Memory_Bytes:Bytes:Average VmAvailabilityMetric:Count:Average",
    },
    Signals {
        full_type: "Microsoft.OperationalInsights/workspaces",
        logs: "Audit! SummaryLogs",
        metrics: "Query_Count:Count:Count Query_Success_Rate:Percent:Average",
    },
    Signals {
        full_type: "Microsoft.Storage/storageAccounts",
        logs: "",
        metrics: "Availability:Percent:Average Egress:Bytes:Total Ingress:Bytes:Total SuccessE2ELatency:MilliSeconds:Average SuccessServerLatency:MilliSeconds:Average Transactions:Count:Total UsedCapacity:Bytes:Average",
    },
];

/// A category of logs.
pub(super) struct Log {
    pub(super) name: &'static str,
    /// Whether it is in the group `audit`; all are in `allLogs`.
    pub(super) audit: bool,
}

/// A metric.
pub(super) struct Metric {
    /// As metrics are asked for.
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) aggregation: &'static str,
}

/// What a type has to say; none for a type that cannot be monitored.
pub(super) fn of(full_type: &str) -> Option<&'static Signals> {
    SIGNALS.iter().find(|signals| signals.full_type.eq_ignore_ascii_case(full_type))
}

impl Signals {
    pub(super) fn full_type(&self) -> &'static str {
        self.full_type
    }

    pub(super) fn logs(&self) -> impl Iterator<Item = Log> {
        self.logs.split_whitespace().map(|word| match word.strip_suffix('!') {
            Some(name) => Log { name, audit: true },
            None => Log { name: word, audit: false },
        })
    }

    pub(super) fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.metrics.split_whitespace().filter_map(|word| {
            let mut parts = word.split(':');
            let (name, unit, aggregation) = (parts.next()?, parts.next()?, parts.next()?);
            // The metrics of machines and workspaces have blanks in their names.
            let blanks = name.starts_with(|c: char| c.is_ascii_uppercase());
            let name = if blanks { name.replace('_', " ") } else { name.to_owned() };
            Some(Metric { name, unit, aggregation })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_whole() {
        for signals in SIGNALS {
            let (read, written) = (signals.metrics().count(), signals.metrics.split_whitespace().count());
            assert_eq!(read, written, "{}", signals.full_type);
        }
        let cluster = of("microsoft.containerservice/managedclusters").unwrap();
        assert!(cluster.logs().any(|log| log.name == "kube-audit" && log.audit));
        assert!(of("Microsoft.Nothing/here").is_none());
    }
}
