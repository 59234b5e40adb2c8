//! `az monitor`.

use anyhow::Result;
use az_lab::Lab;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_keeps_workspaces_settings_and_alerts() -> Result<()> {
    let Some(lab) = Lab::start().await? else { return Ok(()) };
    lab.line("group create -n rg -l eastus").await?;
    let workspace = lab.line("monitor log-analytics workspace create -g rg -n logs -l eastus").await?;
    assert_eq!(workspace["provisioningState"], "Succeeded", "{workspace}");
    assert_eq!(workspace["retentionInDays"], 30);
    let workspace = workspace["id"].as_str().unwrap().to_owned();
    lab.line("monitor log-analytics workspace update -g rg -n logs --retention-time 60").await?;
    let shown = lab.line("monitor log-analytics workspace show -g rg -n logs").await?;
    assert_eq!(shown["retentionInDays"], 60);
    let keys = lab.line("monitor log-analytics workspace get-shared-keys -g rg -n logs").await?;
    assert!(keys["primarySharedKey"].as_str().is_some_and(|key| key.len() == 88));
    assert_eq!(lab.line("monitor log-analytics workspace list -g rg").await?[0]["name"], "logs");

    let vault = lab.line("keyvault create -n kv-mon -g rg -l eastus").await?;
    let vault = vault["id"].as_str().unwrap();
    let categories =
        lab.line(&format!("monitor diagnostic-settings categories list --resource {vault}")).await?;
    assert!(categories.to_string().contains("AuditEvent"), "{categories}");
    let logs = r#"[{"category":"AuditEvent","enabled":true}]"#;
    let metrics = r#"[{"category":"AllMetrics","enabled":true}]"#;
    let create = format!(
        "monitor diagnostic-settings create -n audit --resource {vault} --workspace {workspace} --logs {logs} --metrics {metrics}"
    );
    let made = lab.line(&create).await?;
    assert_eq!(made["logs"][0]["category"], "AuditEvent", "{made}");
    let list = format!("monitor diagnostic-settings list --resource {vault}");
    assert!(lab.line(&list).await?.to_string().contains("AuditEvent"));
    let definitions = lab.line(&format!("monitor metrics list-definitions --resource {vault}")).await?;
    assert!(definitions.to_string().contains("ServiceApiHit"), "{definitions}");
    let values =
        lab.refused(&format!("monitor metrics list --resource {vault} --metric ServiceApiHit")).await?;
    assert!(values.contains("not implemented"), "{values}");

    let group = lab.line("monitor action-group create -n ops -g rg --action email me a@contoso.com").await?;
    assert_eq!(group["emailReceivers"][0]["emailAddress"], "a@contoso.com", "{group}");
    lab.az(&[
        "monitor",
        "metrics",
        "alert",
        "create",
        "-n",
        "slow",
        "-g",
        "rg",
        "--scopes",
        vault,
        "--condition",
        "avg ServiceApiLatency > 100",
        "--action",
        group["id"].as_str().unwrap(),
    ])
    .await?;
    let alert = lab.line("monitor metrics alert show -n slow -g rg").await?;
    assert_eq!(alert["criteria"]["allOf"][0]["metricName"], "ServiceApiLatency", "{alert}");
    lab.line("monitor metrics alert delete -n slow -g rg").await?;
    lab.line(&format!("monitor diagnostic-settings delete -n audit --resource {vault}")).await?;
    lab.line("monitor log-analytics workspace delete -g rg -n logs -y").await?;
    let deleted = lab.line("monitor log-analytics workspace list-deleted-workspaces").await?;
    assert_eq!(deleted[0]["name"], "logs", "{deleted}");
    lab.line("monitor log-analytics workspace recover -g rg -n logs").await?;
    assert_eq!(lab.line("monitor log-analytics workspace list-deleted-workspaces").await?, json!([]));
    Ok(())
}
