//! Scale sets: instances, their addresses and states, and what is done to them.

use serde_json::{Value, json};

use crate::world::{World, id, network, scale_set};

const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
const VNET: &str = "Microsoft.Network/virtualNetworks";

async fn world(subnet: &str) -> (World, String) {
    let world = World::new().await;
    world.put(&id(VNET, "v"), network(subnet, json!({}))).await.unwrap();
    (world, id(SET, "vmss"))
}

async fn instances(world: &World, set: &str) -> Vec<Value> {
    world.owner().list(format!("{set}/virtualMachines"), "2024-11-01").await.unwrap()
}

#[tokio::test]
async fn instances_come_up_and_go_with_their_addresses() {
    let (world, set) = world("10.1.0.0/16").await;
    let made = world.put(&set, scale_set(3, &[])).await.unwrap();
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    assert!(!made.to_string().contains("aGVsbG8="));
    let listed = instances(&world, &set).await;
    let names: Vec<_> =
        listed.iter().map(|i| i["properties"]["osProfile"]["computerName"].as_str().unwrap()).collect();
    assert_eq!(names, ["vm-000000", "vm-000001", "vm-000002"]);
    assert_eq!(listed[1]["name"], "vmss_1");
    assert_eq!(listed[1]["instanceId"], "1");
    let nics = world.get(&format!("{set}/networkInterfaces")).await;
    let addresses: Vec<_> = nics["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, ["10.1.0.4", "10.1.0.5", "10.1.0.6"]);
    let view = world.get(&format!("{set}/virtualMachines/0/instanceView")).await;
    assert_eq!(view["statuses"][1]["code"], "PowerState/running");
    // The same again changes nothing and starts nothing.
    world.put(&set, scale_set(3, &[])).await.unwrap();
    assert_eq!(world.machines.booted.lock().len(), 3);
    world.put(&set, scale_set(1, &[])).await.unwrap();
    assert_eq!(instances(&world, &set).await.len(), 1);
    world.put(&set, scale_set(2, &[])).await.unwrap();
    let ids: Vec<String> =
        instances(&world, &set).await.iter().map(|i| i["instanceId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["0", "3"]);
    // What is left out stays: `az vmss scale` sends the SKU and nothing else.
    let sku = json!({ "location": "eastus", "sku": { "name": "Standard_D2s_v3", "capacity": 3 } });
    world.put(&set, sku).await.unwrap();
    assert_eq!(instances(&world, &set).await.len(), 3);
    // There is nothing to run a script in.
    let script = json!({ "commandId": "RunShellScript", "script": ["hostname"] });
    let refused =
        world.post(&format!("{set}/virtualMachines/3/runCommand"), script.clone()).await.unwrap_err();
    assert_eq!(refused.code, "NotImplemented");
    world.post(&format!("{set}/deallocate"), json!({ "instanceIds": ["3"] })).await.unwrap();
    let refused = world.post(&format!("{set}/virtualMachines/3/runCommand"), script).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code.as_str()), (409, "OperationNotAllowed"));
    world.post(&format!("{set}/delete"), json!({ "instanceIds": ["0"] })).await.unwrap();
    assert_eq!(world.get(&set).await["sku"]["capacity"], 2);
    world.delete(&set).await.unwrap();
    world.delete(&id(VNET, "v")).await.unwrap();
}

#[tokio::test]
async fn a_full_subnet_is_told_before_anything_is_made() {
    let (world, set) = world("10.1.0.0/29").await;
    assert_eq!(world.put(&set, scale_set(4, &[])).await.unwrap_err().code, "SubnetIsFull");
    assert!(world.machines.booted.lock().is_empty());
    world.put(&set, scale_set(3, &[])).await.unwrap();
    assert_eq!(world.put(&set, scale_set(4, &[])).await.unwrap_err().code, "SubnetIsFull");
    assert_eq!(world.get(&set).await["sku"]["capacity"], 3);
}

#[tokio::test]
async fn a_failed_boot_is_the_sets_failure_and_a_reimage_mends_it() {
    let (world, set) = world("10.1.0.0/16").await;
    *world.machines.exit_code.lock() = Some(51);
    let error = world.put(&set, scale_set(1, &[])).await.unwrap_err();
    assert_eq!(error.code, "VMExtensionProvisioningError");
    assert!(error.message.contains("VMExtensionError_K8SAPIServerConnFail"));
    assert_eq!(world.get(&set).await["properties"]["provisioningState"], "Failed");
    *world.machines.exit_code.lock() = None;
    world.post(&format!("{set}/reimage"), json!({ "instanceIds": ["0"] })).await.unwrap();
    assert_eq!(instances(&world, &set).await[0]["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn power_and_restart_reach_the_machine() {
    let (world, set) = world("10.1.0.0/16").await;
    world.put(&set, scale_set(1, &[])).await.unwrap();
    world.post(&format!("{set}/poweroff"), json!({})).await.unwrap();
    let view = world.get(&format!("{set}/virtualMachines/0/instanceView")).await;
    assert_eq!(view["statuses"][1]["code"], "PowerState/stopped");
    world.post(&format!("{set}/deallocate"), json!({})).await.unwrap();
    let view = world.get(&format!("{set}/virtualMachines/0/instanceView")).await;
    assert_eq!(view["statuses"][1]["code"], "PowerState/deallocated");
    world.post(&format!("{set}/start"), json!({})).await.unwrap();
    world.post(&format!("{set}/restart"), json!({})).await.unwrap();
    assert_eq!(world.machines.booted.lock().len(), 3);
}

#[tokio::test]
async fn more_cores_than_the_quota_are_refused_before_anything_is_made() {
    let (world, set) = world("10.0.0.0/8").await;
    let mut wanted = scale_set(1000, &[]);
    wanted["sku"]["name"] = json!("Standard_D16s_v5");
    let error = world.put(&set, wanted).await.unwrap_err();
    assert_eq!(error.code, "OperationNotAllowed");
    assert!(
        error.message.contains("Current Limit: 10000")
            && error.message.contains("Additional Required: 16000"),
        "{}",
        error.message
    );
    assert!(world.machines.booted.lock().is_empty());
}

#[tokio::test]
async fn a_disk_has_one_of_the_types_on_offer_and_never_shrinks() {
    let (world, _) = world("10.1.0.0/16").await;
    let disk = id("Microsoft.Compute/disks", "d");
    let body = |sku: &str, gib: u32| json!({ "location": "eastus", "sku": { "name": sku }, "properties": { "diskSizeGB": gib } });
    assert_eq!(world.put(&disk, body("Fast_LRS", 8)).await.unwrap_err().code, "InvalidParameter");
    let made = world.put(&disk, body("premium_lrs", 8)).await.unwrap();
    assert_eq!(made["sku"], json!({ "name": "Premium_LRS", "tier": "Premium" }));
    assert_eq!(world.put(&disk, body("Premium_LRS", 4)).await.unwrap_err().code, "OperationNotAllowed");
    let again = world.put(&disk, body("Premium_LRS", 8)).await.unwrap();
    assert_eq!(again, made, "the same PUT again changes nothing");
}

#[tokio::test]
async fn a_spot_machine_that_is_evicted_goes_or_stops_as_its_set_says() {
    let (world, _) = world("10.1.0.0/16").await;
    for (name, policy) in [("gone", "Delete"), ("stopped", "Deallocate")] {
        let set = id(SET, name);
        let mut body = scale_set(1, &[]);
        body["properties"]["virtualMachineProfile"]["priority"] = json!("Spot");
        body["properties"]["virtualMachineProfile"]["evictionPolicy"] = json!(policy);
        world.put(&set, body).await.unwrap();
        world.post(&format!("{set}/virtualMachines/0/simulateEviction"), json!({})).await.unwrap();
        let ended = async {
            loop {
                let there = instances(&world, &set).await;
                if policy == "Delete" && there.is_empty() {
                    return;
                }
                if policy == "Deallocate" {
                    let view = world.get(&format!("{set}/virtualMachines/0/instanceView")).await;
                    if view["statuses"][1]["code"] == "PowerState/deallocated" {
                        return;
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.expect(policy);
    }
}
