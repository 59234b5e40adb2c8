use serde_json::{Value, json};

use super::checks;
use super::policy::{Level, LevelVersion, Policy, Version};

fn said(level: Level, version: Version, pod: &Value) -> String {
    checks::evaluate(LevelVersion { level, version }, pod).detail()
}

fn pod(spec: Value, context: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
    pod["spec"]["containers"] = json!([{"name": "a", "securityContext": context}]);
    pod
}

#[test]
fn baseline_violations_are_in_upstreams_words() {
    let annotated = |key: &str, value: &str| {
        let mut pod = pod(json!({}), json!({}));
        pod["metadata"]["annotations"][key] = json!(value);
        pod
    };
    let mut ports = pod(json!({}), json!({}));
    ports["spec"]["containers"][0]["ports"] = json!([{"hostPort": 8080}, {"hostPort": 80}]);
    let mut probes = pod(json!({}), json!({}));
    probes["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"host": "127.0.0.1"}});
    let table = [
        (
            pod(json!({"hostPID": true, "hostIPC": true}), json!({})),
            "host namespaces (hostPID=true, hostIPC=true)",
        ),
        (
            pod(json!({}), json!({"privileged": true})),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            pod(json!({}), json!({"capabilities": {"add": ["NET_RAW", "CHOWN"]}})),
            "non-default capabilities (container \"a\" must not include \"NET_RAW\" in securityContext.capabilities.add)",
        ),
        (
            pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), json!({})),
            "hostPath volumes (volume \"v\")",
        ),
        (ports, "hostPort (container \"a\" uses hostPorts 80, 8080)"),
        (probes, "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"127.0.0.1\")"),
        (
            pod(json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}), json!({})),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            pod(
                json!({"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}}),
                json!({"seLinuxOptions": {"role": "r"}}),
            ),
            "seLinuxOptions (pod and container \"a\" set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set; role may not be set)",
        ),
        (
            pod(json!({}), json!({"procMount": "Unmasked"})),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            pod(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}), json!({})),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            pod(
                json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}),
                json!({}),
            ),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            pod(json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}), json!({})),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            annotated("container.apparmor.security.beta.kubernetes.io/a", "unconfined"),
            "forbidden AppArmor profile (annotation must not set AppArmor profile type to \"container.apparmor.security.beta.kubernetes.io/a=\\\"unconfined\\\"\")",
        ),
    ];
    for (pod, why) in table {
        assert_eq!(said(Level::Baseline, Version::Latest, &pod), why);
        assert_eq!(said(Level::Privileged, Version::Latest, &pod), "");
    }
}

#[test]
fn restricted_stands_in_for_baseline_where_it_says_more() {
    let wild = pod(
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}], "securityContext": {"runAsNonRoot": false}}),
        json!({"runAsUser": 0, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "seccompProfile": {"type": "RuntimeDefault"}}),
    );
    let why = "unrestricted capabilities (container \"a\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), \
        restricted volume types (volumes \"v\", \"w\" use restricted volume types \"hostPath\", \"nfs\"), \
        runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), \
        runAsUser=0 (container \"a\" must not set runAsUser=0)";
    assert_eq!(said(Level::Restricted, Version::Latest, &wild), why);
}

#[test]
fn old_versions_ask_for_less() {
    let plain = pod(json!({}), json!({}));
    let old = said(Level::Restricted, Version::Minor(7), &plain);
    assert_eq!(
        old,
        "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)"
    );
    assert!(said(Level::Restricted, Version::Minor(19), &plain).contains("seccompProfile"));
    let windows =
        pod(json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}}), json!({}));
    assert_eq!(said(Level::Restricted, Version::Latest, &windows), "");
    assert!(said(Level::Restricted, Version::Minor(24), &windows).contains("allowPrivilegeEscalation"));
    let sysctl = pod(json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}), json!({}));
    assert_eq!(said(Level::Baseline, Version::Minor(31), &sysctl), "forbidden sysctls (net.ipv4.tcp_rmem)");
    let apart = pod(json!({"hostUsers": false}), json!({"procMount": "Unmasked"}));
    assert_eq!(said(Level::Baseline, Version::Latest, &apart), "");
}

#[test]
fn labels_become_a_policy() {
    let of = |labels: Value| Policy::of(labels.as_object());
    let key = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
    let (policy, wrong) = of(json!({key("enforce"): "restricted", key("enforce-version"): "v1.25"}));
    assert!(wrong.is_empty());
    assert_eq!(
        (policy.enforce.to_string(), policy.warn.to_string(), policy.audit.to_string()),
        ("restricted:v1.25".to_owned(), "restricted:v1.25".to_owned(), "privileged:latest".to_owned())
    );
    let (policy, wrong) = of(json!({key("enforce"): "strict", key("warn-version"): "1.25"}));
    assert_eq!(policy.enforce.level, Level::Restricted);
    let texts: Vec<String> =
        wrong.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    assert_eq!(
        texts,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.25\": must be \"latest\" or \"v1.x\"",
        ]
    );
}
