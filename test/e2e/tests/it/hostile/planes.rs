//! Where bad requests go: each plane with its own paths, and how it says that a request was bad.

use serde_json::{Value, json};

use super::dice::{Dice, FILTERS, WORDS, body};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plane {
    Arm,
    Tokens,
    Graph,
    Vault,
    Registry,
    Own,
}

/// What all paths are made of.
pub struct Ground {
    pub subscription: String,
    pub other_subscription: String,
    pub tenant: String,
    pub other_tenant: String,
    /// Every registered type with an API version.
    pub types: Vec<(String, String)>,
}

/// One request.
pub struct Asked {
    pub plane: Plane,
    pub host: &'static str,
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

const METHODS: &[&str] =
    &["GET", "GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"];

fn quoted(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A path may only hold what a client's library lets through.
fn sayable(path: &str) -> String {
    path.chars()
        .map(|c| {
            if c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c) {
                c.to_string()
            } else {
                quoted(&c.to_string())
            }
        })
        .collect()
}

fn query(dice: &mut Dice, version: &str) -> String {
    let version = match dice.below(8) {
        0 => "",
        1 => "9999-99-99",
        2 => "%00",
        3 => "2020-01-01-preview",
        _ => version,
    };
    let mut made = format!("?api-version={version}");
    if dice.once_in(3) {
        made += &format!("&$filter={}", quoted(dice.pick(FILTERS)));
    }
    for name in [
        "$top",
        "$skip",
        "$skipToken",
        "$skiptoken",
        "$expand",
        "$select",
        "$orderby",
        "$count",
        "$search",
        "maxresults",
        "n",
        "last",
    ] {
        if dice.once_in(16) {
            made += &format!("&{name}={}", quoted(dice.pick(WORDS)));
        }
    }
    made
}

fn tail(dice: &mut Dice, limit: usize) -> String {
    (0..dice.below(limit)).map(|_| format!("/{}", dice.pick(WORDS))).collect()
}

/// A good body for a type, to be spoilt.
fn good(kind: &str) -> Value {
    let properties = match kind.to_ascii_lowercase().as_str() {
        "microsoft.containerservice/managedclusters" => {
            json!({ "dnsPrefix": "x", "kubernetesVersion": "1.35.6", "agentPoolProfiles": [
            { "name": "p", "count": 1, "mode": "System", "vmSize": "Standard_D2s_v3" }], "networkProfile": { "networkPlugin": "azure" } })
        }
        "microsoft.network/virtualnetworks" => json!({ "addressSpace": { "addressPrefixes": ["10.0.0.0/8"] },
            "subnets": [{ "name": "s", "properties": { "addressPrefix": "10.0.0.0/24" } }] }),
        "microsoft.network/loadbalancers" => {
            json!({ "frontendIPConfigurations": [{ "name": "f", "properties": {} }],
            "loadBalancingRules": [{ "name": "r", "properties": { "protocol": "Tcp", "frontendPort": 80, "backendPort": 80 } }] })
        }
        "microsoft.network/networksecuritygroups" => {
            json!({ "securityRules": [{ "name": "r", "properties": { "priority": 100,
            "direction": "Inbound", "access": "Allow", "protocol": "*", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
            "sourcePortRange": "*", "destinationPortRange": "1-65535" } }] })
        }
        "microsoft.network/routetables" => {
            json!({ "routes": [{ "name": "r", "properties": { "addressPrefix": "0.0.0.0/0", "nextHopType": "Internet" } }] })
        }
        "microsoft.keyvault/vaults" => {
            json!({ "tenantId": "00000000-0000-0000-0000-000000000000", "sku": { "family": "A", "name": "standard" },
            "accessPolicies": [{ "objectId": "x", "permissions": { "secrets": ["get"] } }] })
        }
        "microsoft.authorization/roleassignments" => json!({ "roleDefinitionId": "/x", "principalId": "x" }),
        "microsoft.resources/deployments" => {
            json!({ "mode": "Incremental", "parameters": { "p": { "value": 1 } }, "template": {
            "parameters": { "p": { "type": "int", "defaultValue": 1 } }, "variables": { "v": "[parameters('p')]" }, "resources": [
            { "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01", "name": "[concat('a', copyIndex())]",
              "copy": { "name": "c", "count": 2 }, "condition": "[equals(1, 2)]", "dependsOn": ["a"], "properties": {} }],
            "outputs": { "o": { "type": "string", "value": "[variables('v')]" } } } })
        }
        "microsoft.compute/virtualmachinescalesets" => {
            json!({ "virtualMachineProfile": { "osProfile": { "computerNamePrefix": "vm", "customData": "e30=" },
            "networkProfile": { "networkInterfaceConfigurations": [{ "name": "n", "properties": { "ipConfigurations": [{ "name": "i", "properties": {} }] } }] } } })
        }
        _ => json!({ "value": "x", "count": 1, "list": ["x"] }),
    };
    json!({ "location": "eastus", "tags": { "a": "b" }, "sku": { "name": "Standard", "capacity": 1 },
            "identity": { "type": "SystemAssigned" }, "properties": properties })
}

fn arm(dice: &mut Dice, ground: &Ground, owner: bool) -> Asked {
    let subscription = if dice.once_in(6) { &ground.other_subscription } else { &ground.subscription };
    let (kind, version) = &ground.types[dice.below(ground.types.len())];
    let group = dice.pick(&["rg-secret", "rg-bad", "x", "RG-SECRET"]);
    let scope = match dice.below(5) {
        0 => String::new(),
        1 => format!("/subscriptions/{subscription}"),
        2 => format!("/subscriptions/{subscription}{}", tail(dice, 3)),
        _ => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
    };
    let mut words = kind.split('/');
    let mut path = format!("{scope}/providers/{}", words.next().unwrap_or_default());
    for word in words {
        path += &format!("/{word}");
        if !dice.once_in(10) {
            path += &format!("/{}", if dice.once_in(2) { "secret" } else { dice.pick(WORDS) });
        }
    }
    if dice.once_in(3) {
        path += &tail(dice, 4);
    }
    let mut method = dice.pick(METHODS);
    // The owner may do all, and what is secret has to stay for others not to see it.
    if owner && method == "DELETE" {
        method = "GET";
    }
    Asked {
        plane: Plane::Arm,
        host: "localhost",
        method,
        path: sayable(&path) + &query(dice, version),
        content_type: dice.pick(&[
            "application/json",
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "",
        ]),
        body: body(dice, &good(kind)),
    }
}

/// What a form to the sign-in plane may hold.
const FORM: &[(&str, &[&str])] = &[
    ("client_id", &["04b07795-8ddb-461a-bbee-02f9e1bf7b46", "x", "00000000-0000-0000-0000-000000000000"]),
    ("client_secret", &["wrong", "", "\u{0}"]),
    (
        "scope",
        &[
            "https://management.azure.com/.default",
            "openid offline_access",
            "https://x/.default",
            "",
            "a b c d",
        ],
    ),
    ("resource", &["https://management.azure.com/", "x"]),
    (
        "client_assertion",
        &["e30.e30.", "x.y.z", "eyJhbGciOiJub25lIn0.e30.", "", "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA"],
    ),
    ("client_assertion_type", &["urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "x"]),
    ("refresh_token", &["x", "1.2.3", ""]),
    ("code", &["x", ""]),
    ("device_code", &["x", ""]),
    ("code_verifier", &["x"]),
    ("redirect_uri", &["http://localhost", "javascript:alert(1)", "https://evil.example/"]),
    ("response_type", &["code", "token", "id_token token", "x"]),
    ("state", &["\"><script>alert(1)</script>"]),
    ("username", &["a@b", "admin"]),
    ("password", &["x"]),
];

fn tokens(dice: &mut Dice, ground: &Ground) -> Asked {
    let tenant =
        dice.pick(&[ground.tenant.as_str(), &ground.other_tenant, "common", "organizations", "x", "%00"]);
    let end = dice.pick(&[
        "oauth2/v2.0/token",
        "oauth2/v2.0/token",
        "oauth2/token",
        "oauth2/v2.0/devicecode",
        "oauth2/v2.0/authorize",
        "oauth2/authorize",
        "v2.0/.well-known/openid-configuration",
        "discovery/v2.0/keys",
        "oauth2/v2.0/logout",
        "oauth2/devicecode",
        "kmsi",
        "login",
    ]);
    let mut form = String::new();
    let mut say = |name: &str, value: &str| form += &format!("&{name}={}", quoted(value));
    say(
        "grant_type",
        dice.pick(&[
            "client_credentials",
            "password",
            "refresh_token",
            "authorization_code",
            "device_code",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "",
            "x",
        ]),
    );
    for (name, values) in FORM {
        if dice.once_in(2) {
            say(name, dice.pick(values));
        }
    }
    let get = dice.once_in(3);
    let text = match dice.below(6) {
        0 => body(dice, &Value::Null),
        _ => form.trim_start_matches('&').as_bytes().to_vec(),
    };
    let mut path = format!("/{tenant}/{end}");
    if get {
        path += &format!("?{}", form.trim_start_matches('&'));
    }
    Asked {
        plane: Plane::Tokens,
        host: "localhost",
        method: if get { "GET" } else { dice.pick(&["POST", "POST", "POST", "PUT", "DELETE"]) },
        path: sayable(&path),
        content_type: dice.pick(&[
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded",
            "application/json",
            "",
        ]),
        body: if get { Vec::new() } else { text },
    }
}

fn graph(dice: &mut Dice, owner: bool) -> Asked {
    let set = dice.pick(&[
        "users",
        "groups",
        "applications",
        "servicePrincipals",
        "me",
        "directoryObjects",
        "organization",
        "oauth2PermissionGrants",
        "domains",
        "directoryRoles",
        "$batch",
        "directoryObjects/getByIds",
        "users/$count",
        "applications(appId='x')",
        "servicePrincipals(appId='",
    ]);
    let path = format!("/{}/{set}{}", dice.pick(&["v1.0", "v1.0", "beta"]), tail(dice, 4));
    let mut method = dice.pick(METHODS);
    if owner && method == "DELETE" {
        method = "GET";
    }
    let good = json!({ "displayName": "x", "appId": "x", "mailNickname": "x", "securityEnabled": true, "passwordCredential": { "displayName": "x" },
        "@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/x", "keyCredentials": [{ "type": "AsymmetricX509Cert", "key": "x" }],
        "ids": ["x"], "requests": [{ "id": "1", "method": "GET", "url": "/me" }] });
    Asked {
        plane: Plane::Graph,
        host: "localhost",
        method,
        path: sayable(&path) + &query(dice, "1.0"),
        content_type: dice.pick(&["application/json", "text/plain", ""]),
        body: body(dice, &good),
    }
}

fn vault(dice: &mut Dice, owner: bool) -> Asked {
    let set = dice.pick(&[
        "secrets",
        "keys",
        "certificates",
        "deletedsecrets",
        "deletedkeys",
        "deletedcertificates",
        "x",
        "rng",
        "keyrotationpolicy",
    ]);
    let name = dice.pick(&["secret", "x", "a_b", "", "..", "%00"]);
    let path = format!("/{set}/{name}{}", tail(dice, 3));
    let deed = dice.pick(&[
        "",
        "",
        "/create",
        "/import",
        "/sign",
        "/encrypt",
        "/decrypt",
        "/wrapkey",
        "/pending",
        "/policy",
        "/backup",
        "/restore",
        "/recover",
        "/versions",
    ]);
    let mut method = dice.pick(METHODS);
    if owner && (method == "DELETE" || method == "PUT") {
        method = "GET";
    }
    let good = json!({ "value": "x", "attributes": { "exp": 1, "nbf": 2, "enabled": true }, "kty": "RSA", "key_size": 2048, "crv": "P-256",
        "key": { "kty": "RSA", "n": "x", "e": "AQAB" }, "alg": "RSA-OAEP", "policy": { "x509_props": { "subject": "CN=x" } }, "contentType": "x" });
    Asked {
        plane: Plane::Vault,
        host: dice.pick(&[
            "killedvault.vault.azure.net",
            "killedvault.vault.azure.net",
            "nobody.vault.azure.net",
        ]),
        method,
        path: sayable(&(path + deed)) + &query(dice, "7.4"),
        content_type: dice.pick(&["application/json", "text/plain", ""]),
        body: body(dice, &good),
    }
}

fn registry(dice: &mut Dice, owner: bool) -> Asked {
    let path = match dice.below(8) {
        0 => "/v2/_catalog".to_owned(),
        1 => format!("/v2/{}/tags/list", dice.pick(&["secret/image", "x", "../x", "A/B"])),
        2 => format!("/acr/v1/{}{}", dice.pick(&["secret/image", "_catalog", "x"]), tail(dice, 3)),
        3 => "/oauth2/exchange".to_owned(),
        4 => "/oauth2/token".to_owned(),
        _ => format!(
            "/v2/{}/{}/{}",
            dice.pick(&["secret/image", "x", "a/b/c/d", "_", "..", "%2e%2e/x"]),
            dice.pick(&["manifests", "blobs", "blobs/uploads", "referrers", "x"]),
            dice.pick(WORDS)
        ),
    };
    let mut method = dice.pick(METHODS);
    if owner && method == "DELETE" {
        method = "GET";
    }
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let good = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2 },
        "layers": [{ "mediaType": "x", "digest": "sha256:zz", "size": -1 }], "manifests": [{ "digest": digest }] });
    Asked {
        plane: Plane::Registry,
        host: dice.pick(&["killedregistry.azurecr.io", "killedregistry.azurecr.io", "nobody.azurecr.io"]),
        method,
        path: sayable(&path) + &query(dice, ""),
        content_type: dice.pick(&[
            "application/vnd.oci.image.manifest.v1+json",
            "application/json",
            "application/octet-stream",
            "x",
        ]),
        body: body(dice, &good),
    }
}

fn own(dice: &mut Dice) -> Asked {
    let path = format!(
        "/{}{}",
        dice.pick(&[
            "lazurite",
            "lazurite/v1",
            "portal",
            "metadata/endpoints",
            "metadata/instance",
            "tenants",
            "healthz",
            "providers",
            "subscriptions",
            ""
        ]),
        tail(dice, 4)
    );
    Asked {
        plane: Plane::Own,
        host: "localhost",
        method: dice.pick(&["GET", "HEAD", "OPTIONS", "TRACE"]),
        path: sayable(&path) + &query(dice, "2022-12-01"),
        content_type: "",
        body: Vec::new(),
    }
}

/// One bad request.
pub fn asked(dice: &mut Dice, ground: &Ground, owner: bool) -> Asked {
    match dice.below(20) {
        0..=9 => arm(dice, ground, owner),
        10..=12 => tokens(dice, ground),
        13..=14 => graph(dice, owner),
        15..=16 => vault(dice, owner),
        17..=18 => registry(dice, owner),
        _ => own(dice),
    }
}

/// Whether a refusal is said as the plane says it: with a code, and words.
pub fn is_said(plane: Plane, body: &Value, text_of_body: &str) -> bool {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    match plane {
        Plane::Arm | Plane::Graph | Plane::Vault => {
            text(&body["error"]["code"]) && text(&body["error"]["message"])
        }
        // A person at a browser gets a page.
        Plane::Tokens if text_of_body.starts_with("<!doctype html>") => text_of_body.contains("<p>AADSTS"),
        Plane::Tokens => text(&body["error"]) && text(&body["error_description"]),
        Plane::Registry => {
            text(&body["errors"][0]["code"]) && text(&body["errors"][0]["message"]) || text(&body["error"])
        }
        Plane::Own => true,
    }
}
