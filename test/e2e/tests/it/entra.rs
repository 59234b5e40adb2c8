//! A cluster that knows the directory, as a user meets it: the real az and kubectl, and kubelogin under its own name.

use anyhow::{Result, ensure};
use e2e::{Fabric, Lab};
use serde_json::Value;

const READER: &str = "7f6c6a51-bcf8-42ba-9220-52d62157d7db";

#[test]
fn a_person_of_the_directory_uses_a_cluster() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    lab.az("group create -n rg-dev -l eastus")?;
    let refused =
        lab.az_refused("aks create -g rg-dev -n plain --node-count 1 --no-ssh-key --disable-local-accounts")?;
    ensure!(
        refused.contains("disableLocalAccounts can only be set on Azure AD integration enabled cluster"),
        "{refused}"
    );
    let made = lab.az_json(
        "aks create -g rg-dev -n dev --node-count 1 --no-ssh-key --enable-aad --enable-azure-rbac",
    )?;
    let profile = &made["aadProfile"];
    ensure!(profile["managed"] == true && profile["enableAzureRbac"] == true, "{profile}");
    let (id, tenant) = (text(&made["id"]), text(&profile["tenantId"]));

    let told = lab.az("aks get-credentials -g rg-dev -n dev --overwrite-existing")?.stderr;
    ensure!(told.contains("Converted kubeconfig to use Azure CLI authentication"), "{told}");
    let who = lab.kubectl_json("auth whoami")?["status"]["userInfo"].clone();
    let object_id = text(&who["username"]);
    ensure!(who["extra"]["oid"][0] == object_id.as_str(), "{who}");

    roles_count_at_once(&lab, &id, &object_id)?;
    kubelogin_signs_in_an_application(&lab, &tenant)?;
    administrators_are_members_of_a_group(&lab, &object_id)?;
    without_local_accounts(&lab)?;
    let refused = lab.az_refused(
        "resource update --ids IDS --set properties.aadProfile.managed=false".replace("IDS", &id).as_str(),
    )?;
    ensure!(refused.contains("Changing property 'aadProfile.managed' is not allowed"), "{refused}");
    lab.finish()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn roles_count_at_once(lab: &Lab, cluster: &str, object_id: &str) -> Result<()> {
    let refused = lab.kubectl_refused("get pods")?;
    ensure!(
        refused.contains(
            "User does not have access to the resource in Azure. Update role assignment to allow access."
        ),
        "{refused}"
    );
    let scope = format!("{cluster}/namespaces/default");
    let given = format!(
        "role assignment create --assignee-object-id {object_id} --assignee-principal-type ServicePrincipal --role {READER} --scope {scope}"
    );
    let assignment = lab.az_json(&given)?;
    lab.kubectl("get pods")?;
    let refused = lab.kubectl_refused("get pods -n kube-system")?;
    ensure!(refused.contains("in the namespace \"kube-system\": User does not have access"), "{refused}");
    ensure!(lab.kubectl_refused("create configmap one")?.contains("cannot create resource \"configmaps\""));
    lab.az(&format!("role assignment delete --ids {}", text(&assignment["id"])))?;
    ensure!(lab.kubectl_refused("get pods")?.contains("cannot list resource \"pods\""));
    Ok(())
}

/// Another application, known to the cluster by its object id, signs in by itself.
fn kubelogin_signs_in_an_application(lab: &Lab, tenant: &str) -> Result<()> {
    let robot = lab.az_json("ad sp create-for-rbac -n robot")?;
    let object_id = text(&lab.az_json(&format!("ad sp show --id {}", text(&robot["appId"])))?["id"]);
    let config = lab.file("home/kubeconfig");
    let own = lab.file("robot.kubeconfig");
    std::fs::copy(&config, &own)?;
    let line = format!(
        "kubelogin convert-kubeconfig -l spn --client-id {} --tenant-id {tenant} --kubeconfig {}",
        text(&robot["appId"]),
        own.display()
    );
    ensure!(lab.try_lazurite(&line)?.success);
    let kubectl = e2e::tool("kubectl")?;
    let output = lab
        .command(&kubectl)
        .args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])
        .env("KUBECONFIG", &own)
        .env("AZURE_CLIENT_SECRET", text(&robot["password"]))
        .env_remove("AAD_LOGIN_METHOD")
        .output()?;
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(said == object_id, "{said} is not {object_id}: {error}");
    Ok(())
}

fn administrators_are_members_of_a_group(lab: &Lab, object_id: &str) -> Result<()> {
    let group = text(&lab.az_json("ad group create --display-name admins --mail-nickname admins")?["id"]);
    lab.az(&format!("ad group member add --group {group} --member-id {object_id}"))?;
    let changed =
        lab.az_json(&format!("aks update -g rg-dev -n dev --aad-admin-group-object-ids {group}"))?;
    ensure!(changed["aadProfile"]["adminGroupObjectIDs"][0] == group.as_str(), "{}", changed["aadProfile"]);
    // The token of before does not know the group.
    lab.az("account get-access-token --resource 6dae42f8-4368-4678-94ff-3960e28e3630")?;
    let bindings = lab.az("aks get-credentials -g rg-dev -n dev --admin --overwrite-existing")?;
    ensure!(bindings.success);
    let bound =
        lab.kubectl_json("get clusterrolebinding aks-cluster-admin-binding-aad --context dev-admin")?;
    ensure!(bound["subjects"][0]["name"] == group.as_str(), "{bound}");
    Ok(())
}

fn without_local_accounts(lab: &Lab) -> Result<()> {
    lab.az("aks update -g rg-dev -n dev --disable-local-accounts")?;
    let refused = lab.az_refused("aks get-credentials -g rg-dev -n dev --admin")?;
    let words =
        "Getting static credential is not allowed because this cluster is set to disable local accounts.";
    ensure!(refused.contains("(BadRequest)") && refused.contains(words), "{refused}");
    lab.az("aks get-credentials -g rg-dev -n dev --overwrite-existing")?;
    let me = lab.kubectl_json("auth whoami")?;
    ensure!(me["status"]["userInfo"]["groups"][0].is_string(), "{me}");
    Ok(())
}
