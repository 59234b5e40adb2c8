//! No way in without a role: every registered type with every method, and every path of the resource manager's own, asked
//! by somebody who is known to the directory and has no role at all, and by somebody without a token.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World, anything};

const TYPES: &[&str] = &[
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/virtualNetworks/subnets",
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Insights/diagnosticSettings",
];

/// What anybody with a token may ask: public facts, and lists of one's own that are empty then.
const OPEN: &[(&str, &str)] = &[
    ("GET", "/tenants"),
    ("GET", "/subscriptions"),
    ("GET", "/providers"),
    ("GET", "/providers/Microsoft.Network"),
    ("GET", "/providers/Microsoft.Authorization/providerOperations"),
    ("GET", "/providers/Microsoft.Authorization/providerOperations/Microsoft.Network"),
];

/// Paths of the resource manager itself; `S` is the subscription, `G` the group, `M` a management group.
const OWN: &[(&str, &str)] = &[
    ("GET", "S"),
    ("GET", "S/locations"),
    ("GET", "S/tagNames"),
    ("GET", "S/resources"),
    ("GET", "S/resourceGroups"),
    ("GET", "G"),
    ("HEAD", "G"),
    ("PUT", "G"),
    ("PATCH", "G"),
    ("DELETE", "G"),
    ("GET", "G/resources"),
    ("POST", "G/moveResources"),
    ("POST", "G/validateMoveResources"),
    ("POST", "G/exportTemplate"),
    ("GET", "S/providers"),
    ("GET", "S/providers/Microsoft.Network"),
    ("POST", "S/providers/Microsoft.Network/register"),
    ("POST", "S/providers/Microsoft.Network/unregister"),
    ("POST", "S/providers/Microsoft.Authorization/register"),
    ("POST", "S/providers/Microsoft.Nowhere/register"),
    ("GET", "S/providers/Microsoft.Features/features"),
    ("GET", "S/providers/Microsoft.Features/providers/Microsoft.Network/features"),
    ("GET", "S/providers/Microsoft.Features/providers/Microsoft.Network/features/f"),
    ("POST", "S/providers/Microsoft.Features/providers/Microsoft.Network/features/f/register"),
    ("POST", "S/providers/Microsoft.Features/providers/Microsoft.Network/features/f/unregister"),
    ("GET", "S/providers/Microsoft.Insights/eventtypes/management/values"),
    ("GET", "S/providers/Microsoft.ResourceHealth/availabilityStatuses"),
    ("GET", "S/providers/Microsoft.ResourceHealth/events"),
    ("GET", "G/providers/Microsoft.ResourceHealth/availabilityStatuses"),
    (
        "GET",
        "G/providers/Microsoft.Network/virtualNetworks/x/providers/Microsoft.ResourceHealth/availabilityStatuses/current",
    ),
    ("GET", "S/providers/Microsoft.Authorization/classicAdministrators"),
    ("POST", "/providers/Microsoft.Authorization/elevateAccess"),
    ("GET", "/providers/Microsoft.Management/managementGroups"),
    ("GET", "M"),
    ("PUT", "M"),
    ("PATCH", "M"),
    ("DELETE", "M"),
    ("GET", "M/descendants"),
    ("GET", "M/subscriptions"),
    ("PUT", "M/subscriptions/00000000-0000-0000-0000-000000000000"),
    ("DELETE", "M/subscriptions/00000000-0000-0000-0000-000000000000"),
];

/// What hangs on every scope.
const EVERYWHERE: &[(&str, &str)] = &[
    ("GET", "/providers/Microsoft.Authorization/roleAssignments"),
    ("GET", "/providers/Microsoft.Authorization/roleAssignments/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("PUT", "/providers/Microsoft.Authorization/roleAssignments/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("DELETE", "/providers/Microsoft.Authorization/roleAssignments/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions"),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("PUT", "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("DELETE", "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("GET", "/providers/Microsoft.Authorization/locks"),
    ("PUT", "/providers/Microsoft.Authorization/locks/l"),
    ("DELETE", "/providers/Microsoft.Authorization/locks/l"),
    ("GET", "/providers/Microsoft.Authorization/denyAssignments"),
    ("PUT", "/providers/Microsoft.Authorization/denyAssignments/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("DELETE", "/providers/Microsoft.Authorization/denyAssignments/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("GET", "/providers/Microsoft.Authorization/permissions"),
    ("GET", "/providers/Microsoft.Resources/tags/default"),
    ("PUT", "/providers/Microsoft.Resources/tags/default"),
    ("PATCH", "/providers/Microsoft.Resources/tags/default"),
    ("DELETE", "/providers/Microsoft.Resources/tags/default"),
    ("GET", "/providers/Microsoft.Resources/deployments"),
    ("GET", "/providers/Microsoft.Resources/deployments/d"),
    ("HEAD", "/providers/Microsoft.Resources/deployments/d"),
    ("PUT", "/providers/Microsoft.Resources/deployments/d"),
    ("DELETE", "/providers/Microsoft.Resources/deployments/d"),
    ("POST", "/providers/Microsoft.Resources/deployments/d/validate"),
    ("POST", "/providers/Microsoft.Resources/deployments/d/whatIf"),
    ("POST", "/providers/Microsoft.Resources/deployments/d/cancel"),
    ("POST", "/providers/Microsoft.Resources/deployments/d/exportTemplate"),
    ("GET", "/providers/Microsoft.Resources/deployments/d/operations"),
];

async fn world() -> World {
    let world = World::with_providers(anything(TYPES)).await;
    world.group("g").await;
    let network = format!("{}/providers/Microsoft.Network/virtualNetworks/x", world.group_path("g"));
    assert_eq!(world.put(&network, json!({"location": "eastus"})).await.status, 201);
    assert_eq!(world.put(&format!("{network}/subnets/x"), json!({})).await.status, 201);
    world
}

/// Every request the cloud has an answer for, except the open ones.
fn requests(world: &World) -> Vec<(String, String)> {
    let subscription = format!("/subscriptions/{}", world.sub);
    let (group, root) = (world.group_path("g"), world.entra.tenant_id());
    let place = |path: &str| match path.split_at(1) {
        ("S", rest) => format!("{subscription}{rest}"),
        ("G", rest) => format!("{group}{rest}"),
        ("M", rest) => format!("/providers/Microsoft.Management/managementGroups/{root}{rest}"),
        _ => path.to_owned(),
    };
    let mut all: Vec<(String, String)> = OWN.iter().map(|(m, p)| ((*m).to_owned(), place(p))).collect();
    let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/x");
    for scope in ["", &subscription, &group, &network, &place("M")] {
        all.extend(EVERYWHERE.iter().map(|(m, p)| ((*m).to_owned(), format!("{scope}{p}"))));
    }
    for full_type in TYPES.iter().chain(&["Microsoft.Test/widgets", "Microsoft.Test/widgets/parts"]) {
        let words: Vec<&str> = full_type.split('/').collect();
        let named: String = words[1..].iter().map(|kind| format!("/{kind}/x")).collect();
        let base = format!("{group}/providers/{}", words[0]);
        let collection = format!("{base}{}", named.trim_end_matches("/x"));
        all.push(("GET".to_owned(), collection));
        all.push(("GET".to_owned(), format!("{subscription}/providers/{}/{}", words[0], words[1])));
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
            all.push((method.to_owned(), format!("{base}{named}")));
        }
        all.push(("POST".to_owned(), format!("{base}{named}/listKeys")));
        all.push(("GET".to_owned(), format!("{base}{named}/below/y")));
    }
    all
}

#[tokio::test]
async fn without_a_role_every_request_is_refused() {
    let world = world().await;
    let (_, token) = world.somebody("nobody").await;
    let before = world.front.resources().list(&arm::ResourceId::root()).len();
    let mut wrong = Vec::new();
    for (method, path) in requests(&world) {
        let body = if ["PUT", "PATCH", "POST"].contains(&method.as_str()) {
            json!({"location": "eastus", "properties": {"level": "ReadOnly", "template": {}}})
        } else {
            Value::Null
        };
        let answer = world.as_who(&token, method.parse::<Method>().unwrap(), &path, body).await;
        if answer.status != 403 || (method != "HEAD" && answer.code() != "AuthorizationFailed") {
            wrong.push(format!("{method} {path}: {} {}", answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(world.front.resources().list(&arm::ResourceId::root()).len(), before, "nothing was written");
    for (method, path) in OPEN {
        let answer = world.as_who(&token, method.parse().unwrap(), path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.to_string().contains(&world.sub), "{path} tells of the subscription");
    }
}

#[tokio::test]
async fn without_a_token_every_request_is_refused() {
    let world = world().await;
    let mut all = requests(&world);
    all.extend(OPEN.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())));
    for (method, path) in all {
        for token in [None, Some("Bearer nonsense"), Some("Basic eDp5"), Some("Bearer ")] {
            let mut request = http::Request::builder()
                .method(method.as_str())
                .uri(format!("{path}?api-version=2025-01-01"))
                .header("host", HOST);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let answer = world.send(request, "{}").await;
            assert_eq!(answer.status, 401, "{method} {path} {token:?}");
            assert!(answer.header("www-authenticate").starts_with("Bearer "), "{path}");
        }
    }
}
