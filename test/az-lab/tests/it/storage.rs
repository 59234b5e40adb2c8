//! `az storage`, as far as it asks the resource manager.

use anyhow::Result;
use az_lab::Lab;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_keeps_accounts_containers_and_shares() -> Result<()> {
    let Some(lab) = Lab::start().await? else { return Ok(()) };
    lab.line("group create -n rg -l eastus").await?;
    let free = lab.line("storage account check-name -n store1").await?;
    assert_eq!(free["nameAvailable"], true, "{free}");
    let account = lab.line("storage account create -n store1 -g rg -l eastus --sku Standard_LRS").await?;
    assert_eq!(account["provisioningState"], "Succeeded", "{account}");
    assert_eq!(account["primaryEndpoints"]["file"], "https://store1.file.core.windows.net/");
    assert_eq!(account["kind"], "StorageV2");
    assert_eq!(lab.line("storage account show -n store1 -g rg").await?, account);
    let keys = lab.line("storage account keys list -n store1 -g rg").await?;
    let renewed = lab.line("storage account keys renew -n store1 -g rg --key primary").await?;
    assert_ne!(keys[0]["value"], renewed[0]["value"]);
    assert_eq!(keys[1]["value"], renewed[1]["value"]);
    let updated =
        lab.line("storage account update -n store1 -g rg --min-tls-version TLS1_2 --tags a=b").await?;
    assert_eq!((&updated["minimumTlsVersion"], &updated["tags"]["a"]), (&"TLS1_2".into(), &"b".into()));
    let share = lab.line("storage share-rm create -n data -g rg --storage-account store1 --quota 10").await?;
    assert_eq!(share["shareQuota"], 10, "{share}");
    assert_eq!(lab.line("storage share-rm list -g rg --storage-account store1").await?[0]["name"], "data");
    lab.line("storage share-rm update -n data -g rg --storage-account store1 --quota 20").await?;
    lab.line("storage share-rm delete -n data -g rg --storage-account store1 -y").await?;
    let container = lab.line("storage container-rm create -n logs -g rg --storage-account store1").await?;
    assert_eq!(container["publicAccess"], "None", "{container}");
    assert_eq!(
        lab.line("storage container-rm list -g rg --storage-account store1").await?[0]["name"],
        "logs"
    );
    let service = "storage account blob-service-properties update -n store1 -g rg --enable-delete-retention true --delete-retention-days 9";
    assert_eq!(lab.line(service).await?["deleteRetentionPolicy"]["days"], 9);
    let files = lab.line("storage account file-service-properties show -n store1 -g rg").await?;
    assert_eq!(files["shareDeleteRetentionPolicy"]["days"], 7, "{files}");
    let taken = lab.line("storage account check-name -n store1").await?;
    assert_eq!(taken["reason"], "AlreadyExists", "{taken}");
    lab.line("storage account delete -n store1 -g rg -y").await?;
    Ok(())
}
