"""The Azure SDK for Python, unmodified, against a Lazurite: create, read back equal, update, list, delete.

Signs in by AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_TENANT_ID and AZURE_AUTHORITY_HOST, as any program of the SDK
does; LAZURITE_ENDPOINT and ARM_SUBSCRIPTION_ID say where Resource Manager is. Ends with an error at the first difference.
"""

import os
import sys
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential, DefaultAzureCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource import ResourceManagementClient

ENDPOINT = os.environ["LAZURITE_ENDPOINT"].rstrip("/")
SUBSCRIPTION = os.environ["ARM_SUBSCRIPTION_ID"]
TENANT = os.environ["AZURE_TENANT_ID"]
GROUP = "rg-python"
REGION = "eastus"


def client(kind, **more):
    return kind(
        CREDENTIAL, SUBSCRIPTION, base_url=ENDPOINT, credential_scopes=[ENDPOINT + "/.default"], polling_interval=1, **more
    )


def plain(value):
    """A model as what was on the wire."""
    return value.as_dict() if hasattr(value, "as_dict") else value


def without(names, value):
    if isinstance(value, dict):
        return {k: without(names, v) for k, v in value.items() if k not in names}
    if isinstance(value, list):
        return [without(names, v) for v in value]
    return value


def same(what, made, read, but=()):
    one, other = without(but, plain(made)), without(but, plain(read))
    if one != other:
        sys.exit(f"{what}: read back differs\n  made {one}\n  read {other}")


def check(what, condition, detail=""):
    if not condition:
        sys.exit(f"{what}: {detail}")


def gone(what, read):
    try:
        read()
    except ResourceNotFoundError as error:
        check(what, error.error and error.error.code in ("ResourceNotFound", "NotFound"), f"{error}")
        return
    sys.exit(f"{what} is still there after its deletion")


def cycle(what, begin, read, change, changed, names, delete):
    """One resource's life. `begin` and `change` make it, `changed` looks at what was changed."""
    made = finish(begin())
    same(what, made, read())
    again = finish(begin())
    same(f"{what}, put again", made, again, ("system_data", "systemData", "etag", "eTag", "e_tag"))
    if "etag" in plain(made):
        check(f"{what}, put again", plain(made)["etag"] == plain(again)["etag"], "the ETag changed")
    finish(change(made))
    check(f"{what}, updated", changed(read()), f"{plain(read())}")
    check(f"{what}, listed", any(item.id.lower() == made.id.lower() for item in names()), "it is not in the list")
    if delete:
        finish(delete())
        gone(what, read)
    print("ok", what, flush=True)
    return made


def finish(poller):
    return poller.result() if hasattr(poller, "result") else poller


def groups(resources):
    def make(tags):
        return lambda *_: resources.resource_groups.create_or_update(GROUP, {"location": REGION, "tags": tags})

    cycle(
        "resource group",
        make({"a": "1"}),
        lambda: resources.resource_groups.get(GROUP),
        make({"a": "2"}),
        lambda group: group.tags == {"a": "2"},
        resources.resource_groups.list,
        None,
    )
    check("resource group exists", resources.resource_groups.check_existence(GROUP))
    check("resource group exists", not resources.resource_groups.check_existence("rg-none"))


def network(network):
    vnet = {
        "location": REGION,
        "address_space": {"address_prefixes": ["10.40.0.0/16"]},
        "subnets": [{"name": "nodes", "address_prefix": "10.40.0.0/24"}],
    }
    cycle(
        "virtual network",
        lambda: network.virtual_networks.begin_create_or_update(GROUP, "vnet", vnet),
        lambda: network.virtual_networks.get(GROUP, "vnet"),
        lambda _: network.virtual_networks.update_tags(GROUP, "vnet", {"tags": {"a": "1"}}),
        lambda it: it.tags == {"a": "1"} and len(it.subnets) == 1,
        lambda: network.virtual_networks.list(GROUP),
        None,
    )
    cycle(
        "network security group",
        lambda: network.network_security_groups.begin_create_or_update(GROUP, "nsg", {"location": REGION}),
        lambda: network.network_security_groups.get(GROUP, "nsg"),
        lambda _: network.security_rules.begin_create_or_update(
            GROUP,
            "nsg",
            "https",
            {
                "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 100,
                "source_address_prefix": "*", "source_port_range": "*",
                "destination_address_prefix": "*", "destination_port_range": "443",
            },
        ),
        lambda it: [rule.name for rule in it.security_rules] == ["https"] and len(it.default_security_rules) == 6,
        lambda: network.network_security_groups.list_all(),
        lambda: network.network_security_groups.begin_delete(GROUP, "nsg"),
    )
    cycle(
        "subnet",
        lambda: network.subnets.begin_create_or_update(GROUP, "vnet", "more", {"address_prefix": "10.40.1.0/24"}),
        lambda: network.subnets.get(GROUP, "vnet", "more"),
        lambda _: network.subnets.begin_create_or_update(GROUP, "vnet", "more", {"address_prefix": "10.40.2.0/24"}),
        lambda it: it.address_prefix == "10.40.2.0/24",
        lambda: network.subnets.list(GROUP, "vnet"),
        lambda: network.subnets.begin_delete(GROUP, "vnet", "more"),
    )
    cycle(
        "public IP address",
        lambda: network.public_ip_addresses.begin_create_or_update(
            GROUP, "ip", {"location": REGION, "sku": {"name": "Standard"}, "public_ip_allocation_method": "Static"}
        ),
        lambda: network.public_ip_addresses.get(GROUP, "ip"),
        lambda _: network.public_ip_addresses.update_tags(GROUP, "ip", {"tags": {"a": "1"}}),
        lambda it: it.tags == {"a": "1"} and it.ip_address,
        lambda: network.public_ip_addresses.list(GROUP),
        lambda: network.public_ip_addresses.begin_delete(GROUP, "ip"),
    )
    cycle(
        "route table",
        lambda: network.route_tables.begin_create_or_update(GROUP, "routes", {"location": REGION}),
        lambda: network.route_tables.get(GROUP, "routes"),
        lambda _: network.routes.begin_create_or_update(
            GROUP, "routes", "out", {"address_prefix": "0.0.0.0/0", "next_hop_type": "VirtualAppliance", "next_hop_ip_address": "10.40.0.9"}
        ),
        lambda it: it.routes[0].next_hop_ip_address == "10.40.0.9",
        lambda: network.route_tables.list(GROUP),
        lambda: network.route_tables.begin_delete(GROUP, "routes"),
    )


def compute(compute, network):
    cycle(
        "disk",
        lambda: compute.disks.begin_create_or_update(
            GROUP, "disk", {"location": REGION, "disk_size_gb": 8, "creation_data": {"create_option": "Empty"}, "sku": {"name": "StandardSSD_LRS"}}
        ),
        lambda: compute.disks.get(GROUP, "disk"),
        lambda _: compute.disks.begin_update(GROUP, "disk", {"disk_size_gb": 16}),
        lambda it: it.disk_size_gb == 16,
        compute.disks.list,
        lambda: compute.disks.begin_delete(GROUP, "disk"),
    )
    subnet = network.subnets.get(GROUP, "vnet", "nodes").id
    made = {
        "location": REGION,
        "sku": {"name": "Standard_D2s_v5", "capacity": 2},
        "upgrade_policy": {"mode": "Manual"},
        "virtual_machine_profile": {
            "os_profile": {"computer_name_prefix": "vm", "admin_username": "azureuser"},
            "network_profile": {
                "network_interface_configurations": [
                    {"name": "nic", "primary": True, "ip_configurations": [{"name": "ip", "subnet": {"id": subnet}}]}
                ]
            },
        },
    }
    sets, machines = compute.virtual_machine_scale_sets, compute.virtual_machine_scale_set_vms
    cycle(
        "scale set",
        lambda: sets.begin_create_or_update(GROUP, "vmss", made),
        lambda: sets.get(GROUP, "vmss"),
        lambda _: sets.begin_update(GROUP, "vmss", {"sku": {"name": "Standard_D2s_v5", "capacity": 3}}),
        lambda it: it.sku.capacity == 3,
        lambda: sets.list(GROUP),
        None,
    )
    ids = [it.instance_id for it in machines.list(GROUP, "vmss")]
    check("instances", ids == ["0", "1", "2"], ids)

    def power(instance):
        view = machines.get_instance_view(GROUP, "vmss", instance)
        return [status.code for status in view.statuses if status.code.startswith("PowerState/")]

    for deed, state in [
        (lambda: machines.begin_power_off(GROUP, "vmss", "0"), "PowerState/stopped"),
        (lambda: machines.begin_start(GROUP, "vmss", "0"), "PowerState/running"),
        (lambda: machines.begin_deallocate(GROUP, "vmss", "0"), "PowerState/deallocated"),
        (lambda: machines.begin_start(GROUP, "vmss", "0"), "PowerState/running"),
        (lambda: machines.begin_restart(GROUP, "vmss", "0"), "PowerState/running"),
        (lambda: machines.begin_reimage(GROUP, "vmss", "0"), "PowerState/running"),
    ]:
        deed().result()
        check("instance", power("0") == [state], f"{power('0')} instead of {state}")
    sets.begin_delete_instances(GROUP, "vmss", {"instance_ids": ["1"]}).result()
    check("instances", [it.instance_id for it in machines.list(GROUP, "vmss")] == ["0", "2"])
    check("capacity", sets.get(GROUP, "vmss").sku.capacity == 2)
    sets.begin_delete(GROUP, "vmss").result()
    gone("scale set", lambda: sets.get(GROUP, "vmss"))
    check("SKUs", any(it.name == "Standard_D2s_v5" for it in compute.resource_skus.list(filter=f"location eq '{REGION}'")))
    check("usages", any(it.name.value == "cores" for it in compute.usage.list(REGION)))
    print("ok instances", flush=True)


def identity(msi):
    identities, credentials = msi.user_assigned_identities, msi.federated_identity_credentials
    made = cycle(
        "identity",
        lambda: identities.create_or_update(GROUP, "id-py", {"location": REGION}),
        lambda: identities.get(GROUP, "id-py"),
        lambda _: identities.update(GROUP, "id-py", {"tags": {"a": "1"}}),
        lambda it: it.tags == {"a": "1"} and it.principal_id and it.client_id,
        lambda: identities.list_by_resource_group(GROUP),
        None,
    )

    def credential(subject):
        body = {"issuer": "https://issuer.example", "subject": subject, "audiences": ["api://AzureADTokenExchange"]}
        return lambda *_: credentials.create_or_update(GROUP, "id-py", "one", body)

    cycle(
        "federated credential",
        credential("system:serviceaccount:default:a"),
        lambda: credentials.get(GROUP, "id-py", "one"),
        credential("system:serviceaccount:default:b"),
        lambda it: it.subject == "system:serviceaccount:default:b",
        lambda: credentials.list(GROUP, "id-py"),
        lambda: credentials.delete(GROUP, "id-py", "one"),
    )
    return made


def roles(authorization, resources, principal):
    scope = resources.resource_groups.get(GROUP).id
    reader = next(iter(authorization.role_definitions.list(scope, filter="roleName eq 'Reader'")))
    name = str(uuid.uuid4())
    body = {"properties": {"roleDefinitionId": reader.id, "principalId": principal, "principalType": "ServicePrincipal"}}
    made = authorization.role_assignments.create(scope, name, body)
    same("role assignment", made, authorization.role_assignments.get(scope, name))
    listed = authorization.role_assignments.list_for_scope(scope, filter=f"principalId eq '{principal}'")
    check("role assignment, listed", name in [it.name for it in listed])
    try:
        authorization.role_assignments.create(scope, str(uuid.uuid4()), body)
        sys.exit("a second equal role assignment was taken")
    except HttpResponseError as error:
        check("second role assignment", error.status_code == 409 and error.error.code == "RoleAssignmentExists", f"{error}")
    authorization.role_assignments.delete(scope, name)
    listed = authorization.role_assignments.list_for_scope(scope, filter="atScope()")
    check("role assignment, deleted", name not in [it.name for it in listed])
    custom = str(uuid.uuid4())
    definition = {
        "properties": {
            "roleName": "Reads groups", "type": "CustomRole", "description": "x", "assignableScopes": [scope],
            "permissions": [{"actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"], "notActions": [], "dataActions": [], "notDataActions": []}],
        }
    }
    made = authorization.role_definitions.create_or_update(scope, custom, definition)
    same("role definition", made, authorization.role_definitions.get(scope, custom))
    authorization.role_definitions.delete(scope, custom)
    print("ok roles", flush=True)


def registry(registries):
    cycle(
        "registry",
        lambda: registries.begin_create(GROUP, "lazuritepython", {"location": REGION, "sku": {"name": "Basic"}}),
        lambda: registries.get(GROUP, "lazuritepython"),
        lambda _: registries.begin_update(GROUP, "lazuritepython", {"properties": {"adminUserEnabled": True}}),
        lambda it: it.admin_user_enabled and it.login_server,
        lambda: registries.list_by_resource_group(GROUP),
        None,
    )
    before = registries.list_credentials(GROUP, "lazuritepython")
    check("registry credentials", before.username == "lazuritepython" and len(before.passwords) == 2)
    after = registries.regenerate_credential(GROUP, "lazuritepython", {"name": "password"})
    changed = [one.value != other.value for one, other in zip(before.passwords, after.passwords)]
    check("registry credentials", changed == [True, False], changed)
    registries.begin_delete(GROUP, "lazuritepython").result()
    gone("registry", lambda: registries.get(GROUP, "lazuritepython"))


def vault(vaults):
    body = {"location": REGION, "properties": {"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "accessPolicies": [], "enableRbacAuthorization": True}}
    cycle(
        "vault",
        lambda: vaults.begin_create_or_update(GROUP, "lazurite-py", body),
        lambda: vaults.get(GROUP, "lazurite-py"),
        lambda _: vaults.update(GROUP, "lazurite-py", {"tags": {"a": "1"}}),
        lambda it: it.tags == {"a": "1"},
        lambda: vaults.list_by_resource_group(GROUP),
        lambda: vaults.delete(GROUP, "lazurite-py"),
    )


def clusters(containers):
    managed, pools = containers.managed_clusters, containers.agent_pools
    body = {
        "location": REGION,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "py",
            "agentPoolProfiles": [{"name": "nodepool1", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5", "osType": "Linux", "type": "VirtualMachineScaleSets"}],
        },
    }
    cycle(
        "managed cluster",
        lambda: managed.begin_create_or_update(GROUP, "aks", body),
        lambda: managed.get(GROUP, "aks"),
        lambda _: managed.begin_update_tags(GROUP, "aks", {"tags": {"a": "1"}}),
        lambda it: it.tags == {"a": "1"} and it.provisioning_state == "Succeeded" and it.fqdn,
        lambda: managed.list_by_resource_group(GROUP),
        None,
    )

    def pool(count):
        return {"properties": {"count": count, "vmSize": "Standard_D2s_v5", "mode": "User", "osType": "Linux", "type": "VirtualMachineScaleSets"}}

    cycle(
        "agent pool",
        lambda: pools.begin_create_or_update(GROUP, "aks", "more", pool(1)),
        lambda: pools.get(GROUP, "aks", "more"),
        lambda _: pools.begin_create_or_update(GROUP, "aks", "more", pool(2)),
        lambda it: it.count == 2,
        lambda: pools.list(GROUP, "aks"),
        lambda: pools.begin_delete(GROUP, "aks", "more"),
    )
    access = managed.list_cluster_user_credentials(GROUP, "aks")
    kubeconfig = bytes(access.kubeconfigs[0].value).decode()
    check("credentials", '"server": "https://' in kubeconfig or "server: https://" in kubeconfig, kubeconfig[:80])
    managed.begin_delete(GROUP, "aks").result()
    gone("managed cluster", lambda: managed.get(GROUP, "aks"))


def main(parts):
    resources = client(ResourceManagementClient)
    networks = client(NetworkManagementClient)
    groups(resources)
    if "network" in parts:
        network(networks)
        compute(client(ComputeManagementClient), networks)
    if "identity" in parts:
        made = identity(client(ManagedServiceIdentityClient))
        roles(client(AuthorizationManagementClient), resources, made.principal_id)
        registry(client(ContainerRegistryManagementClient).registries)
    if "vault" in parts:
        vault(client(KeyVaultManagementClient).vaults)
    if "cluster" in parts:
        clusters(client(ContainerServiceClient))
    listed = [it.type for it in resources.resources.list_by_resource_group(GROUP)]
    print("left in the group:", listed, flush=True)
    resources.resource_groups.begin_delete(GROUP).result()
    check("resource group, deleted", not resources.resource_groups.check_existence(GROUP))


# The authority is no host the SDK knows, so it must not ask the world about it; the second way is what programs write.
CREDENTIAL = ClientSecretCredential(
    TENANT, os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"], disable_instance_discovery=True
)
DEFAULT = DefaultAzureCredential(disable_instance_discovery=True, exclude_managed_identity_credential=True)

if __name__ == "__main__":
    check("default credential", DEFAULT.get_token(ENDPOINT + "/.default").token)
    main(sys.argv[1:] or ["network", "identity", "vault", "cluster"])
    print("done", flush=True)
