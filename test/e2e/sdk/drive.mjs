// The Azure SDK for JavaScript, unmodified, against a Lazurite: create, read back equal, update, list, delete.
//
// Signs in by AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_TENANT_ID and AZURE_AUTHORITY_HOST, as any program of the SDK
// does; LAZURITE_ENDPOINT and ARM_SUBSCRIPTION_ID say where Resource Manager is. Run with the packages' folder as the only
// argument. Ends with an error at the first difference.

import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { resolve } from "node:path";

const load = createRequire(resolve(process.argv[2], "package.json"));
const { ClientSecretCredential } = load("@azure/identity");
const { ResourceManagementClient } = load("@azure/arm-resources");
const { NetworkManagementClient } = load("@azure/arm-network");
const { ComputeManagementClient } = load("@azure/arm-compute");
const { ManagedServiceIdentityClient } = load("@azure/arm-msi");
const { AuthorizationManagementClient } = load("@azure/arm-authorization");
const { ContainerRegistryManagementClient } = load("@azure/arm-containerregistry");
const { ContainerServiceClient } = load("@azure/arm-containerservice");
const { KeyVaultManagementClient } = load("@azure/arm-keyvault");

const endpoint = process.env.LAZURITE_ENDPOINT.replace(/\/$/, "");
const subscription = process.env.ARM_SUBSCRIPTION_ID;
const tenant = process.env.AZURE_TENANT_ID;
const group = "rg-javascript";
const location = "eastus";

const credential = new ClientSecretCredential(tenant, process.env.AZURE_CLIENT_ID, process.env.AZURE_CLIENT_SECRET, {
  disableInstanceDiscovery: true,
  authorityHost: process.env.AZURE_AUTHORITY_HOST,
});
// Older generations of the SDK name the endpoint `$host`, newer ones `endpoint`.
const options = { endpoint, $host: endpoint, credentialScopes: `${endpoint}/.default`, credentials: { scopes: [`${endpoint}/.default`] } };
const client = (Kind) => new Kind(credential, subscription, options);
const wait = { updateIntervalInMs: 200, intervalInMs: 200 };

function check(what, condition, detail = "") {
  if (!condition) throw new Error(`${what}: ${typeof detail === "string" ? detail : JSON.stringify(detail)}`);
}

function without(names, value) {
  if (Array.isArray(value)) return value.map((inner) => without(names, inner));
  if (value instanceof Date || value instanceof Uint8Array || value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)).map(([name, inner]) => [name, without(names, inner)]));
}

function same(what, made, read, but = []) {
  const [one, other] = [without(but, made), without(but, read)];
  check(`${what}: read back differs`, isDeepStrictEqual(one, other), `\n  made ${JSON.stringify(one)}\n  read ${JSON.stringify(other)}`);
}

async function gone(what, read) {
  try {
    await read();
  } catch (error) {
    check(what, error.statusCode === 404, String(error));
    return;
  }
  throw new Error(`${what} is still there after its deletion`);
}

async function all(pages) {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
}

async function cycle(what, { put, read, change, changed, list, remove }) {
  const made = await put();
  same(what, made, await read());
  const again = await put();
  same(`${what}, put again`, made, again, ["systemData", "etag", "eTag"]);
  check(`${what}, put again`, made.etag === again.etag, "the ETag changed");
  await change(made);
  const now = await read();
  check(`${what}, updated`, changed(now), now);
  check(`${what}, listed`, (await all(list())).some((item) => item.id.toLowerCase() === made.id.toLowerCase()));
  if (remove) {
    await remove();
    await gone(what, read);
  }
  console.log("ok", what);
  return made;
}

async function network(it) {
  await cycle("virtual network", {
    put: () => it.virtualNetworks.beginCreateOrUpdateAndWait(group, "vnet", {
      location, addressSpace: { addressPrefixes: ["10.41.0.0/16"] }, subnets: [{ name: "nodes", addressPrefix: "10.41.0.0/24" }],
    }, wait),
    read: () => it.virtualNetworks.get(group, "vnet"),
    change: () => it.virtualNetworks.updateTags(group, "vnet", { tags: { a: "1" } }),
    changed: (now) => now.tags?.a === "1" && now.subnets.length === 1,
    list: () => it.virtualNetworks.list(group),
  });
  await cycle("network security group", {
    put: () => it.networkSecurityGroups.beginCreateOrUpdateAndWait(group, "nsg", { location }, wait),
    read: () => it.networkSecurityGroups.get(group, "nsg"),
    change: () => it.securityRules.beginCreateOrUpdateAndWait(group, "nsg", "https", {
      protocol: "Tcp", access: "Allow", direction: "Inbound", priority: 100, sourceAddressPrefix: "*", sourcePortRange: "*",
      destinationAddressPrefix: "*", destinationPortRange: "443",
    }, wait),
    changed: (now) => now.securityRules.length === 1 && now.defaultSecurityRules.length === 6,
    list: () => it.networkSecurityGroups.list(group),
    remove: () => it.networkSecurityGroups.beginDeleteAndWait(group, "nsg", wait),
  });
  await cycle("public IP address", {
    put: () => it.publicIPAddresses.beginCreateOrUpdateAndWait(group, "ip", { location, sku: { name: "Standard" }, publicIPAllocationMethod: "Static" }, wait),
    read: () => it.publicIPAddresses.get(group, "ip"),
    change: () => it.publicIPAddresses.updateTags(group, "ip", { tags: { a: "1" } }),
    changed: (now) => now.tags?.a === "1" && now.ipAddress,
    list: () => it.publicIPAddresses.list(group),
    remove: () => it.publicIPAddresses.beginDeleteAndWait(group, "ip", wait),
  });
}

async function compute(it, networks) {
  await cycle("disk", {
    put: () => it.disks.beginCreateOrUpdateAndWait(group, "disk", { location, diskSizeGB: 8, creationData: { createOption: "Empty" } }, wait),
    read: () => it.disks.get(group, "disk"),
    change: () => it.disks.beginUpdateAndWait(group, "disk", { diskSizeGB: 16 }, wait),
    changed: (now) => now.diskSizeGB === 16,
    list: () => it.disks.list(),
    remove: () => it.disks.beginDeleteAndWait(group, "disk", wait),
  });
  const subnet = (await networks.subnets.get(group, "vnet", "nodes")).id;
  const sets = it.virtualMachineScaleSets;
  await cycle("scale set", {
    put: () => sets.beginCreateOrUpdateAndWait(group, "vmss", {
      location, sku: { name: "Standard_D2s_v5", capacity: 1 }, upgradePolicy: { mode: "Manual" },
      virtualMachineProfile: {
        osProfile: { computerNamePrefix: "vm", adminUsername: "azureuser" },
        networkProfile: { networkInterfaceConfigurations: [{ name: "nic", primary: true, ipConfigurations: [{ name: "ip", subnet: { id: subnet } }] }] },
      },
    }, wait),
    read: () => sets.get(group, "vmss"),
    change: () => sets.beginUpdateAndWait(group, "vmss", { sku: { name: "Standard_D2s_v5", capacity: 2 } }, wait),
    changed: (now) => now.sku.capacity === 2,
    list: () => sets.list(group),
  });
  const instances = (await all(it.virtualMachineScaleSetVMs.list(group, "vmss"))).map((one) => one.instanceId);
  check("instances", isDeepStrictEqual(instances, ["0", "1"]), instances);
  await sets.beginDeleteInstancesAndWait(group, "vmss", { instanceIds: ["0"] }, wait);
  check("capacity", (await sets.get(group, "vmss")).sku.capacity === 1);
  await sets.beginDeleteAndWait(group, "vmss", wait);
  await gone("scale set", () => sets.get(group, "vmss"));
}

async function identity(it, authorization, groupId) {
  const made = await cycle("identity", {
    put: () => it.userAssignedIdentities.createOrUpdate(group, "id-js", { location }),
    read: () => it.userAssignedIdentities.get(group, "id-js"),
    change: () => it.userAssignedIdentities.update(group, "id-js", { tags: { a: "1" } }),
    changed: (now) => now.tags?.a === "1" && now.principalId,
    list: () => it.userAssignedIdentities.listByResourceGroup(group),
  });
  const credential = (subject) => () => it.federatedIdentityCredentials.createOrUpdate(group, "id-js", "one", {
    issuer: "https://issuer.example", subject, audiences: ["api://AzureADTokenExchange"],
  });
  await cycle("federated credential", {
    put: credential("a"),
    read: () => it.federatedIdentityCredentials.get(group, "id-js", "one"),
    change: credential("b"),
    changed: (now) => now.subject === "b",
    list: () => it.federatedIdentityCredentials.list(group, "id-js"),
    remove: () => it.federatedIdentityCredentials.delete(group, "id-js", "one"),
  });
  const [reader] = await all(authorization.roleDefinitions.list(groupId, { filter: "roleName eq 'Reader'" }));
  const name = randomUUID();
  const role = await authorization.roleAssignments.create(groupId, name, {
    roleDefinitionId: reader.id, principalId: made.principalId, principalType: "ServicePrincipal",
  });
  same("role assignment", role, await authorization.roleAssignments.get(groupId, name));
  const listed = await all(authorization.roleAssignments.listForScope(groupId, { filter: "atScope()" }));
  check("role assignment, listed", listed.some((one) => one.name === name));
  await authorization.roleAssignments.delete(groupId, name);
  await gone("role assignment", () => authorization.roleAssignments.get(groupId, name));
  console.log("ok roles");
}

async function registry({ registries }) {
  await cycle("registry", {
    put: () => registries.beginCreateAndWait(group, "lazuritejavascript", { location, sku: { name: "Standard" } }, wait),
    read: () => registries.get(group, "lazuritejavascript"),
    change: () => registries.beginUpdateAndWait(group, "lazuritejavascript", { adminUserEnabled: true }, wait),
    changed: (now) => now.adminUserEnabled && now.loginServer,
    list: () => registries.listByResourceGroup(group),
  });
  const credentials = await registries.listCredentials(group, "lazuritejavascript");
  check("registry credentials", credentials.passwords.length === 2 && credentials.username === "lazuritejavascript", credentials.username);
  await registries.beginDeleteAndWait(group, "lazuritejavascript", wait);
  await gone("registry", () => registries.get(group, "lazuritejavascript"));
}

async function vault({ vaults }) {
  await cycle("vault", {
    put: () => vaults.beginCreateOrUpdateAndWait(group, "lazurite-js", {
      location, properties: { tenantId: tenant, sku: { family: "A", name: "standard" }, accessPolicies: [], enableRbacAuthorization: true },
    }, wait),
    read: () => vaults.get(group, "lazurite-js"),
    change: () => vaults.update(group, "lazurite-js", { tags: { a: "1" } }),
    changed: (now) => now.tags?.a === "1",
    list: () => vaults.listByResourceGroup(group),
    remove: () => vaults.delete(group, "lazurite-js"),
  });
}

async function clusters(it) {
  await cycle("managed cluster", {
    put: () => it.managedClusters.beginCreateOrUpdateAndWait(group, "aks", {
      location, dnsPrefix: "js", identity: { type: "SystemAssigned" },
      agentPoolProfiles: [{ name: "nodepool1", mode: "System", count: 1, vmSize: "Standard_D2s_v5", osType: "Linux", type: "VirtualMachineScaleSets" }],
    }, wait),
    read: () => it.managedClusters.get(group, "aks"),
    change: () => it.managedClusters.beginUpdateTagsAndWait(group, "aks", { tags: { a: "1" } }, wait),
    changed: (now) => now.tags?.a === "1" && now.provisioningState === "Succeeded" && now.fqdn,
    list: () => it.managedClusters.listByResourceGroup(group),
  });
  const access = await it.managedClusters.listClusterUserCredentials(group, "aks");
  check("credentials", /"?server"?: "?https:/.test(Buffer.from(access.kubeconfigs[0].value).toString()));
  await it.managedClusters.beginDeleteAndWait(group, "aks", wait);
  await gone("managed cluster", () => it.managedClusters.get(group, "aks"));
}

const parts = process.argv.slice(3);
const wanted = (part) => parts.length === 0 || parts.includes(part);
const resources = client(ResourceManagementClient);
const made = await resources.resourceGroups.createOrUpdate(group, { location, tags: { a: "1" } });
same("resource group", made, await resources.resourceGroups.get(group));
if (wanted("network")) {
  const networks = client(NetworkManagementClient);
  await network(networks);
  await compute(client(ComputeManagementClient), networks);
}
if (wanted("identity")) {
  await identity(client(ManagedServiceIdentityClient), client(AuthorizationManagementClient), made.id);
  await registry(client(ContainerRegistryManagementClient));
}
if (wanted("vault")) await vault(client(KeyVaultManagementClient));
if (wanted("cluster")) await clusters(client(ContainerServiceClient));
await resources.resourceGroups.beginDeleteAndWait(group, wait);
await gone("resource group", () => resources.resourceGroups.get(group));
console.log("done");
