//! `az keyvault`.

use anyhow::Result;
use az_lab::Lab;
use serde_json::json;

/// Vaults, who may use them, secrets, deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_keeps_secrets_in_a_vault() -> Result<()> {
    let Some(lab) = Lab::start().await? else { return Ok(()) };
    lab.line("group create -n rg -l eastus").await?;
    let vault = lab.line("keyvault create -n kv-one -g rg -l eastus --retention-days 7").await?;
    assert_eq!(vault["properties"]["vaultUri"], "https://kv-one.vault.azure.net/");
    assert_eq!(vault["properties"]["enableRbacAuthorization"], true);
    assert_eq!(vault["properties"]["provisioningState"], "Succeeded");
    assert_eq!(lab.line("keyvault list -g rg").await?[0]["name"], "kv-one");
    assert_eq!(lab.line("keyvault show -n kv-one").await?["properties"], vault["properties"]);
    let refused = lab.refused("keyvault secret set --vault-name kv-one -n s1 --value one").await?;
    assert!(refused.contains("Caller is not authorized") && refused.contains("ForbiddenByRbac"), "{refused}");
    let scope = vault["id"].as_str().unwrap();
    let assignee = lab.owner.app_id.clone();
    let role = "Key Vault Administrator";
    lab.az(&["role", "assignment", "create", "--role", role, "--assignee", &assignee, "--scope", scope])
        .await?;

    let set = lab.line("keyvault secret set --vault-name kv-one -n s1 --value one --tags a=b").await?;
    assert_eq!((&set["value"], &set["tags"]["a"]), (&json!("one"), &json!("b")));
    lab.line("keyvault secret set --vault-name kv-one -n s1 --value two").await?;
    assert_eq!(lab.line("keyvault secret show --vault-name kv-one -n s1").await?["value"], "two");
    let versions = lab.line("keyvault secret list-versions --vault-name kv-one -n s1").await?;
    assert_eq!(versions.as_array().map(Vec::len), Some(2));
    assert_eq!(lab.line("keyvault secret list --vault-name kv-one").await?[0]["name"], "s1");
    lab.line("keyvault secret set-attributes --vault-name kv-one -n s1 --content-type text/plain").await?;
    lab.line("keyvault secret backup --vault-name kv-one -n s1 --file s1.backup").await?;
    lab.line("keyvault secret delete --vault-name kv-one -n s1").await?;
    let gone = lab.refused("keyvault secret show --vault-name kv-one -n s1").await?;
    assert!(gone.contains("SecretNotFound"), "{gone}");
    assert_eq!(lab.line("keyvault secret list-deleted --vault-name kv-one").await?[0]["name"], "s1");
    lab.line("keyvault secret recover --vault-name kv-one -n s1").await?;
    lab.line("keyvault secret delete --vault-name kv-one -n s1").await?;
    lab.line("keyvault secret purge --vault-name kv-one -n s1").await?;
    lab.line("keyvault secret restore --vault-name kv-one --file s1.backup").await?;
    assert_eq!(lab.line("keyvault secret show --vault-name kv-one -n s1").await?["value"], "two");

    lab.line("keyvault update -n kv-one -g rg --default-action Deny").await?;
    lab.line("keyvault network-rule add -n kv-one -g rg --ip-address 1.2.3.4").await?;
    let rules = lab.line("keyvault network-rule list -n kv-one -g rg").await?;
    assert_eq!(rules["ipRules"][0]["value"], "1.2.3.4/32", "{rules}");
    lab.line("keyvault delete -n kv-one -g rg").await?;
    let deleted = lab.line("keyvault list-deleted --resource-type vault").await?;
    assert_eq!(deleted[0]["properties"]["vaultId"], scope, "{deleted}");
    lab.line("keyvault show-deleted -n kv-one").await?;
    let taken = lab.refused("keyvault create -n kv-one -g rg -l eastus").await?;
    assert!(taken.contains("deleted state") || taken.contains("recover"), "{taken}");
    lab.line("keyvault recover -n kv-one").await?;
    lab.line("keyvault delete -n kv-one -g rg").await?;
    lab.line("keyvault purge -n kv-one").await?;
    assert_eq!(lab.line("keyvault list-deleted --resource-type vault").await?, json!([]));
    Ok(())
}

/// Keys and certificates in a vault with access policies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn az_uses_keys_and_certificates_of_a_vault() -> Result<()> {
    let Some(lab) = Lab::start().await? else { return Ok(()) };
    lab.line("group create -n rg -l eastus").await?;
    lab.line("keyvault create -n kv-two -g rg -l eastus --enable-rbac-authorization false").await?;
    let application = lab.owner.app_id.clone();
    let policy = "--key-permissions all --secret-permissions all --certificate-permissions all";
    lab.line(&format!("keyvault set-policy -n kv-two --spn {application} {policy}")).await?;

    let key = lab.line("keyvault key create --vault-name kv-two -n k1 --kty RSA --size 2048").await?;
    assert_eq!(key["key"]["kty"], "RSA", "{key}");
    let sealed = lab
        .line("keyvault key encrypt --vault-name kv-two -n k1 -a RSA-OAEP-256 --value aGVsbG8= --data-type base64")
        .await?;
    let sealed = sealed["result"].as_str().unwrap().to_owned();
    let opened = lab
        .az(&[
            "keyvault",
            "key",
            "decrypt",
            "--vault-name",
            "kv-two",
            "-n",
            "k1",
            "-a",
            "RSA-OAEP-256",
            "--data-type",
            "base64",
            "--value",
            &sealed,
        ])
        .await?;
    assert_eq!(opened["result"], "aGVsbG8=", "{opened}");
    lab.line("keyvault key rotate --vault-name kv-two -n k1").await?;
    lab.line("keyvault key create --vault-name kv-two -n k2 --kty EC --curve P-256").await?;
    let digest = "qUiQTy8PR5uPgZdpSzAYSw0u0cHNKh7A+4XSmaGSpEc=";
    let signed = lab
        .az(&[
            "keyvault",
            "key",
            "sign",
            "--vault-name",
            "kv-two",
            "-n",
            "k2",
            "-a",
            "ES256",
            "--digest",
            digest,
        ])
        .await?;
    let signature = signed["signature"].as_str().unwrap().to_owned();
    let verified = lab
        .az(&[
            "keyvault",
            "key",
            "verify",
            "--vault-name",
            "kv-two",
            "-n",
            "k2",
            "-a",
            "ES256",
            "--digest",
            digest,
            "--signature",
            &signature,
        ])
        .await?;
    assert_eq!(verified["isValid"], true, "{verified}");
    lab.line("keyvault key download --vault-name kv-two -n k2 -f k2.pem").await?;
    assert_eq!(lab.line("keyvault key list --vault-name kv-two").await?.as_array().map(Vec::len), Some(2));
    lab.line("keyvault key delete --vault-name kv-two -n k2").await?;
    lab.line("keyvault key purge --vault-name kv-two -n k2").await?;

    let policy = lab.line("keyvault certificate get-default-policy").await?;
    std::fs::write(lab.dir.path().join("policy.json"), policy.to_string())?;
    let made = lab.line("keyvault certificate create --vault-name kv-two -n c1 -p @policy.json").await?;
    assert_eq!(made["status"], "completed", "{made}");
    let shown = lab.line("keyvault certificate show --vault-name kv-two -n c1").await?;
    assert_eq!(shown["policy"]["x509CertificateProperties"]["subject"], "CN=CLIGetDefaultPolicy", "{shown}");
    lab.line("keyvault secret download --vault-name kv-two -n c1 -f c1.pfx -e base64").await?;
    let imported = lab.line("keyvault certificate import --vault-name kv-two -n c2 -f c1.pfx").await?;
    assert_eq!(imported["x509ThumbprintHex"], shown["x509ThumbprintHex"], "{imported}");
    lab.line("keyvault certificate download --vault-name kv-two -n c1 -f c1.pem -e PEM").await?;
    assert_eq!(
        lab.line("keyvault certificate list --vault-name kv-two").await?.as_array().map(Vec::len),
        Some(2)
    );
    lab.line("keyvault certificate delete --vault-name kv-two -n c1").await?;
    lab.line("keyvault certificate purge --vault-name kv-two -n c1").await?;
    lab.line(&format!("keyvault delete-policy -n kv-two --spn {application}")).await?;
    let refused = lab.refused("keyvault key list --vault-name kv-two").await?;
    assert!(refused.contains("does not have keys list permission"), "{refused}");
    Ok(())
}
