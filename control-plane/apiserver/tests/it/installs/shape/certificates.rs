//! As large as cert-manager: requests and issuers, solvers with pod templates, two groups.

use serde_json::{Value, json};

use super::kind::{Kind, Pattern};
use super::schema::{
    Types, choice, demanding, duration, int_or_string, keyed, list, object, providers, secret_key, set, text,
    texts,
};

const GROUP: &str = "cert-manager.installs.test";
const ACME: &str = "acme.cert-manager.installs.test";

const DNS: [&str; 12] = [
    "acmeDNS",
    "akamai",
    "azureDNS",
    "cloudDNS",
    "cloudflare",
    "digitalocean",
    "gandi",
    "hetzner",
    "ionos",
    "rfc2136",
    "route53",
    "webhook",
];
const VENDORS: [&str; 8] = ["acme", "vault", "venafi", "step", "google", "aws", "azure", "sectigo"];

static CERTIFICATE: Pattern = Pattern {
    spec: certificate,
    object: |number| {
        json!({
            "secretName": format!("tls-{number}"), "dnsNames": ["example.com", format!("www{number}.example.com")],
            "issuerRef": {"name": "issuer-1"}, "privateKey": {"size": 2048}, "renewBefore": "360h",
        })
    },
    defaults: &[
        ("/spec/privateKey/algorithm", "RSA"),
        ("/spec/issuerRef/kind", "Issuer"),
        ("/spec/duration", "2160h"),
    ],
    shown: "secretName",
};

static ISSUER: Pattern = Pattern {
    spec: issuer,
    object: |number| {
        json!({
            "server": "https://acme.example.com/directory", "email": format!("ops{number}@example.com"),
            "privateKeySecretRef": {"name": "account"},
            "solvers": [
                {"name": "dns", "dns01": {"azureDNS": {"zone": "example.com", "credentialsSecretRef": {"name": "azure", "key": "secret"}}}},
                {"name": "http", "http01": {"ingress": {"serviceType": "ClusterIP", "podTemplate": {"spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "containers": [{"name": "solver", "image": "solver:1", "resources": {"limits": {"cpu": 1, "memory": "64Mi"}},
                        "ports": [{"containerPort": 8089}]}],
                }}}}},
            ],
        })
    },
    defaults: &[
        ("/spec/preferredChain", "default"),
        ("/spec/solvers/1/http01/ingress/podTemplate/spec/containers/0/ports/0/protocol", "TCP"),
    ],
    shown: "email",
};

static TRUST: Pattern = Pattern {
    spec: trust,
    object: |number| json!({"target": format!("bundle-{number}"), "sources": [{"name": "own", "inLine": "-----BEGIN"}], "port": "https"}),
    defaults: &[("/spec/format", "PEM"), ("/spec/policy", "Sync")],
    shown: "target",
};

const fn kind(
    kind: &'static str,
    group: &'static str,
    short: &'static str,
    pattern: &'static Pattern,
) -> Kind {
    Kind { kind, group, short, namespaced: true, versions: &["v1"], scale: false, pattern }
}

/// Its kinds.
pub static KINDS: [Kind; 20] = [
    Kind { versions: &["v1", "v1beta1"], ..kind("Certificate", GROUP, "cert", &CERTIFICATE) },
    Kind { versions: &["v1", "v1alpha2"], ..kind("CertificateRequest", GROUP, "cr", &CERTIFICATE) },
    kind("CertificateProfile", GROUP, "", &CERTIFICATE),
    kind("CertificateRevocation", GROUP, "", &CERTIFICATE),
    kind("Issuer", GROUP, "iss", &ISSUER),
    Kind { namespaced: false, ..kind("ClusterIssuer", GROUP, "ciss", &ISSUER) },
    kind("Challenge", ACME, "ch", &ISSUER),
    kind("Order", ACME, "", &ISSUER),
    Kind { namespaced: false, ..kind("Bundle", GROUP, "", &TRUST) },
    Kind { namespaced: false, ..kind("ApprovalPolicy", GROUP, "ap", &TRUST) },
    kind("VaultIssuer", GROUP, "", &TRUST),
    kind("StepIssuer", GROUP, "", &TRUST),
    kind("VenafiConnection", GROUP, "vc", &TRUST),
    kind("KeystoreTemplate", GROUP, "", &TRUST),
    kind("RenewalWindow", GROUP, "", &TRUST),
    kind("RotationPolicy", GROUP, "", &TRUST),
    kind("SolverClass", ACME, "", &TRUST),
    kind("AccountKey", ACME, "", &TRUST),
    kind("DirectoryProbe", ACME, "", &TRUST),
    kind("ZoneDelegation", ACME, "", &TRUST),
];

fn certificate(types: &Types) -> Value {
    let keystore = |more: &str| {
        let mut made = demanding(
            &["create", "passwordSecretRef"],
            json!({"create": {"type": "boolean"}, "passwordSecretRef": secret_key()}),
        );
        made["properties"][more] = json!({"type": "string", "minLength": 1});
        made
    };
    let mut private_key = object(json!({
        "algorithm": choice(&["RSA", "ECDSA", "Ed25519"]),
        "encoding": choice(&["PKCS1", "PKCS8"]),
        "rotationPolicy": choice(&["Always", "Never"]),
        "size": {"type": "integer", "format": "int32"},
    }));
    private_key["default"] = json!({});
    private_key["x-kubernetes-validations"] = json!([
        {"rule": "self.algorithm != 'RSA' || !has(self.size) || self.size in [2048, 4096, 8192]",
         "messageExpression": "'this is no size for ' + self.algorithm", "reason": "FieldValueInvalid", "fieldPath": ".size"},
        {"rule": "oldSelf.hasValue() ? self.algorithm == oldSelf.value().algorithm : true", "optionalOldSelf": true, "message": "the algorithm stays"},
    ]);
    let subject = object(json!({
        "countries": set(), "localities": set(), "organizationalUnits": set(), "organizations": set(), "postalCodes": set(),
        "provinces": set(), "streetAddresses": set(), "serialNumber": text(),
    }));
    let mut spec = demanding(
        &["issuerRef", "secretName"],
        json!({
            "secretName": {"type": "string", "maxLength": 253, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "secretName is immutable"}]},
            "duration": duration("2160h"),
            "renewBefore": duration("360h"),
            "period": text(),
            "renewBeforePercentage": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 99},
            "dnsNames": set(), "ipAddresses": set(), "uris": list(text()), "emailAddresses": list(text()),
            "commonName": {"type": "string", "maxLength": 64}, "literalSubject": text(), "subject": subject,
            "isCA": {"type": "boolean"}, "encodeUsagesInRequest": {"type": "boolean"},
            "usages": list(json!({"type": "string", "enum": ["signing", "digital signature", "key encipherment", "server auth", "client auth"]})),
            "issuerRef": demanding(&["name"], json!({"name": text(), "kind": choice(&["Issuer", "ClusterIssuer"]), "group": text()})),
            "keystores": object(json!({"jks": keystore("alias"), "pkcs12": keystore("profile")})),
            "additionalOutputFormats": keyed("type", object(json!({"type": {"type": "string", "enum": ["DER", "CombinedPEM"]}}))),
            "nameConstraints": object(json!({"critical": {"type": "boolean"},
                "permitted": object(json!({"dnsDomains": list(text()), "ipRanges": list(text())})),
                "excluded": object(json!({"dnsDomains": list(text()), "ipRanges": list(text())}))})),
            "privateKey": private_key,
            "revisionHistoryLimit": {"type": "integer", "format": "int32", "minimum": 1},
            "secretTemplate": object(json!({"annotations": texts(), "labels": texts()})),
            "affinity": types.core("Affinity"),
        }),
    );
    spec["x-kubernetes-validations"] = json!([
        {"rule": "has(self.commonName) || has(self.dnsNames) || has(self.ipAddresses)", "message": "a certificate is for something"},
        {"rule": "!has(self.dnsNames) || self.dnsNames.all(n, n.matches('^[-a-z0-9.*]+$'))", "message": "dnsNames are names"},
        {"rule": "duration(self.renewBefore) < duration(self.duration)", "message": "renewBefore lies within the duration"},
    ]);
    spec
}

fn issuer(types: &Types) -> Value {
    let http01 = object(json!({
        "ingress": object(json!({
            "class": text(), "ingressClassName": text(), "name": text(), "serviceType": text(),
            "ingressTemplate": object(json!({"metadata": object(json!({"annotations": texts(), "labels": texts()}))})),
            "podTemplate": object(json!({"metadata": object(json!({"annotations": texts(), "labels": texts()})), "spec": types.core("PodSpec")})),
        })),
        "gatewayHTTPRoute": object(json!({"labels": texts(), "serviceType": text(), "parentRefs": list(object(json!({"name": text(), "port": int_or_string()})))})),
    }));
    let mut solver = object(json!({
        "name": text(),
        "selector": object(json!({"dnsNames": list(text()), "dnsZones": list(text()), "matchLabels": texts()})),
        "dns01": object(providers(&DNS, &["zone", "account", "region", "endpoint", "tenant", "subscription"])),
        "http01": http01,
    }));
    solver["oneOf"] = json!([{"required": ["dns01"]}, {"required": ["http01"]}]);
    let mut own = object(providers(&VENDORS, &["path", "server", "namespace", "role", "zone"]));
    own["properties"]["server"] = json!({"type": "string", "format": "uri", "maxLength": 2048});
    own["properties"]["email"] = json!({"type": "string", "format": "email"});
    own["properties"]["preferredChain"] = json!({"type": "string", "maxLength": 64, "default": "default"});
    own["properties"]["skipTLSVerify"] = json!({"type": "boolean"});
    own["properties"]["caBundle"] = json!({"type": "string", "format": "byte"});
    own["properties"]["privateKeySecretRef"] = secret_key();
    own["properties"]["solvers"] = keyed("name", solver);
    own
}

fn trust(_: &Types) -> Value {
    let mut spec = demanding(
        &["target"],
        json!({
            "target": text(),
            "format": choice(&["PEM", "PKCS12", "JKS"]),
            "policy": choice(&["Sync", "Once"]),
            "port": int_or_string(),
            "namespaceSelector": object(json!({"matchLabels": texts(), "matchExpressions": list(object(json!({"key": text(), "operator": text(), "values": list(text())})))})),
            "sources": keyed("name", object(json!({"name": text(), "inLine": text(), "useDefaultCAs": {"type": "boolean"}, "secret": secret_key(), "configMap": secret_key()}))),
            "constraints": object(json!({"maxDuration": text(), "minDuration": text(), "allowed": list(text())})),
        }),
    );
    spec["x-kubernetes-validations"] = json!([{"rule": "self.target == oldSelf.target", "message": "the target stays", "reason": "FieldValueForbidden", "fieldPath": ".target"}]);
    spec
}
