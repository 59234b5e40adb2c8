//! The kubelet with a real containerd: pods on the node's network, because the test has no plugin for another.

use std::path::PathBuf;
use std::sync::Arc;

use kubelet::runtime::cri::Cri;
use serde_json::{Value, json};

use crate::api::Api;
use crate::containerd::{Containerd, missing};
use crate::harness::Harness;

struct Machine {
    harness: Harness,
    runtime: Arc<Cri>,
    _containerd: Containerd,
    directory: tempfile::TempDir,
}

async fn start(test: &str) -> Option<Machine> {
    if let Some(why) = missing() {
        println!("SKIPPED {test}: {why}");
        assert!(std::env::var_os("CI").is_none(), "a skip is a failure in CI: {why}");
        return None;
    }
    let directory = tempfile::Builder::new().prefix("kubelet").tempdir().unwrap();
    let mut containerd = Containerd::start(directory.path()).await;
    let runtime = Arc::new(Cri::new(&containerd.socket));
    let root = directory.path().to_owned();
    let harness = Harness::start(root, runtime.clone(), Some(PathBuf::from("/sys/fs/cgroup")), None).await;
    containerd.stops = Some(harness.tasks.clone());
    Some(Machine { harness, runtime, _containerd: containerd, directory })
}

fn host_pod(extra: Value) -> Value {
    let mut spec = json!({"hostNetwork": true, "terminationGracePeriodSeconds": 2});
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["image"] = json!("busybox:test");
            container["imagePullPolicy"] = json!("IfNotPresent");
        }
    }
    spec
}

fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "command": ["/bin/sh", "-c", script]})
}

impl Machine {
    async fn delete(&self, name: &str) {
        let uid = self.harness.seen(name)["metadata"]["uid"].as_str().unwrap().to_owned();
        self.harness.api.delete_pod(name, 2);
        self.harness.until_gone(name).await;
        assert!(!self.harness.root.join("kubelet/pods").join(&uid).exists(), "the pod's directory is gone");
        assert!(
            !std::path::Path::new("/sys/fs/cgroup/memory/kubepods/besteffort")
                .join(format!("pod{uid}"))
                .exists()
        );
    }

    async fn logs_until(&self, path: &str, wanted: &str) {
        let ask = || async { self.harness.get(path).await.1.contains(wanted) };
        self.harness.api.wait_for_text(&format!("{wanted:?} in {path}"), ask).await;
    }

    async fn end(self) {
        self.harness.stop().await;
        drop(self._containerd);
        drop(self.directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_all_it_may_have() {
    let Some(machine) = start("a_pod_with_all_it_may_have").await else { return };
    let harness = &machine.harness;
    harness.api.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "conf", "namespace": "default"}, "data": {"greeting": "hello"}}),
    );
    harness.api.put(
        "secrets",
        json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "key", "namespace": "default"}, "data": {"pw": "aHVudGVyMg=="}}),
    );
    let script = "echo env=$GREETING,$MY_IP,$KUBERNETES_SERVICE_HOST; cat /conf/greeting; echo; cat /key/pw; echo; \
        cat /token/token; echo; echo init=$(cat /data/from-init); echo up; \
        while true; do cat /conf/greeting; echo; sleep 0.2; done";
    let mut main = shell("main", script);
    main["env"] = json!([
        {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "greeting"}}},
        {"name": "MY_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    main["volumeMounts"] = json!([{"name": "conf", "mountPath": "/conf"}, {"name": "key", "mountPath": "/key"},
        {"name": "token", "mountPath": "/token"}, {"name": "data", "mountPath": "/data"}]);
    main["readinessProbe"] =
        json!({"exec": {"command": ["/bin/cat", "/data/from-init"]}, "periodSeconds": 1});
    main["resources"] = json!({"limits": {"memory": "64Mi", "cpu": "500m"}});
    let mut init = shell("init", "echo made > /data/from-init");
    init["resources"] = json!({"limits": {"memory": "64Mi", "cpu": "500m"}});
    init["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    harness.pod("all", host_pod(json!({
        "initContainers": [init], "containers": [main],
        "volumes": [{"name": "conf", "configMap": {"name": "conf"}}, {"name": "key", "secret": {"secretName": "key"}},
            {"name": "data", "emptyDir": {"medium": "Memory"}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]})));
    let pod = harness.until_ready("all").await;
    assert_eq!(pod["status"]["podIP"], "127.0.0.1");
    assert_eq!(pod["status"]["qosClass"], "Guaranteed");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["image"], "docker.io/library/busybox:test");
    assert!(status["containerID"].as_str().unwrap().starts_with("containerd://"));
    let log = "/containerLogs/default/all/main";
    machine.logs_until(log, "up\n").await;
    let (code, text) = harness.get(log).await;
    assert_eq!(code, 200);
    assert!(
        text.starts_with("env=hello,127.0.0.1,10.0.0.1\nhello\nhunter2\nthe-token\ninit=made\nup\n"),
        "{text}"
    );
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let limit =
        std::fs::read_to_string(format!("/sys/fs/cgroup/memory/kubepods/pod{uid}/memory.limit_in_bytes"));
    if let Ok(limit) = limit {
        assert_eq!(limit.trim(), (64 << 20).to_string());
    }
    // A changed config map arrives without a restart.
    harness.api.patch("configmaps", "default", "conf", &json!({"data": {"greeting": "changed"}})).unwrap();
    machine.logs_until(&format!("{log}?tailLines=2"), "changed").await;
    let (_, text) = harness.get("/metrics/resource").await;
    assert!(
        text.contains(
            "container_memory_working_set_bytes{container=\"main\",namespace=\"default\",pod=\"all\"}"
        ),
        "{text}"
    );
    let (code, text) = harness.get("/run/default/all/main?cmd=/bin/echo+ran").await;
    assert_eq!((code, text.as_str()), (200, "ran\n"));
    machine.delete("all").await;
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_probes_hooks_and_ends() {
    let Some(machine) = start("restarts_probes_hooks_and_ends").await else { return };
    let harness = &machine.harness;
    // A failing container is started again, then held back.
    harness.pod(
        "crash",
        host_pod(json!({"containers": [shell("c", "echo oh no > /dev/termination-log; exit 3")]})),
    );
    // One with a liveness probe that fails is killed and started again; its hook runs first.
    let mut live = shell("c", "touch /tmp/x 2>/dev/null; trap 'exit 0' TERM; while true; do sleep 0.1; done");
    live["livenessProbe"] = json!({"exec": {"command": ["/bin/false"]}, "periodSeconds": 1, "failureThreshold": 1,
        "initialDelaySeconds": 1});
    live["lifecycle"] =
        json!({"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo bye > /proc/1/fd/1"]}}});
    harness.pod("live", host_pod(json!({"containers": [live]})));
    // A job's pod ends.
    harness.pod("job", host_pod(json!({"restartPolicy": "Never", "containers": [shell("c", "echo done")]})));
    harness.pod("bad", host_pod(json!({"restartPolicy": "Never", "containers": [shell("c", "exit 7")]})));
    harness
        .pod("slow", host_pod(json!({"activeDeadlineSeconds": 1, "containers": [shell("c", "sleep 1000")]})));

    // Nobody listens there, so the image cannot be had.
    harness.api.put(
        "pods",
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pull", "namespace": "default"},
        "spec": {"nodeName": crate::harness::NODE, "hostNetwork": true,
            "containers": [{"name": "c", "image": "127.0.0.1:1/nothing:1"}]}}),
    );
    let waiting = |status: &Value| status["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    harness.until("pull", "not pulled", |status| waiting(status) == "ErrImagePull").await;
    harness.until("pull", "not pulled again at once", |status| waiting(status) == "ImagePullBackOff").await;
    for wanted in [
        "Pulling: Pulling image \"127.0.0.1:1/nothing:1\"",
        "Failed: Failed to pull image \"127.0.0.1:1/nothing:1\": rpc error: code = ",
        "Failed: Error: ErrImagePull",
        "BackOff: Back-off pulling image \"127.0.0.1:1/nothing:1\"",
        "Failed: Error: ImagePullBackOff",
    ] {
        // Events are sent beside the status, not before it.
        let told = |api: &Api| api.events("pull").iter().any(|event| event.contains(wanted)).then_some(());
        harness.api.wait(wanted, crate::harness::SOON, told).await;
    }
    let done = harness.until("job", "succeeded", |status| status["phase"] == "Succeeded").await;
    assert_eq!(done["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(harness.get("/containerLogs/default/job/c").await, (200, "done\n".into()));
    let bad = harness.until("bad", "failed", |status| status["phase"] == "Failed").await;
    assert_eq!(bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 7);
    harness
        .until("slow", "past its deadline", |status| {
            status["reason"] == "DeadlineExceeded" && status["phase"] == "Failed"
        })
        .await;
    let crash = harness
        .until("crash", "held back", |status| {
            status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let status = &crash["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["message"], "oh no\n");
    let uid = crash["metadata"]["uid"].as_str().unwrap();
    let message = format!("back-off 10s restarting failed container=c pod=crash_default({uid})");
    assert_eq!(status["state"]["waiting"]["message"], message);
    harness
        .until("live", "restarted", |status| {
            status["containerStatuses"][0]["restartCount"].as_i64() >= Some(1)
        })
        .await;
    for wanted in
        ["Unhealthy: Liveness probe failed", "Killing: Container c failed liveness probe, will be restarted"]
    {
        let told = |api: &Api| api.events("live").iter().any(|event| event.contains(wanted)).then_some(());
        harness.api.wait(wanted, crate::harness::SOON, told).await;
    }
    machine.logs_until("/containerLogs/default/live/c?previous=true", "bye").await;
    for name in ["crash", "live", "job", "bad", "slow", "pull"] {
        machine.delete(name).await;
    }
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_goes_through_to_the_container() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Some(machine) = start("exec_goes_through_to_the_container").await else { return };
    let harness = &machine.harness;
    harness.pod("sh", host_pod(json!({"containers": [shell("c", "sleep 1000")]})));
    harness.until_ready("sh").await;
    let mut stream = harness.connect("kube-apiserver-kubelet-client", &["system:masters"]).await;
    let request = "GET /exec/default/sh/c?command=/bin/echo&command=from-inside&output=1 HTTP/1.1\r\nHost: node\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let wanted = b"\x01from-inside\n";
    let read = async {
        let mut block = [0u8; 4096];
        while !seen.windows(wanted.len()).any(|part| part == wanted) {
            let read = stream.read(&mut block).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&block[..read]);
        }
    };
    tokio::time::timeout(crate::harness::SOON, read).await.unwrap();
    assert!(seen.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&seen));
    let (code, text) = harness.get("/exec/default/sh/nobody?command=x&output=1").await;
    assert_eq!((code, text.as_str()), (404, "container not found (\"nobody\")"));
    machine.delete("sh").await;
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kubelet_adopts_what_runs() {
    let Some(machine) = start("a_new_kubelet_adopts_what_runs").await else { return };
    machine.harness.pod("stay", host_pod(json!({"containers": [shell("c", "sleep 1000")]})));
    machine.harness.pod("orphan", host_pod(json!({"containers": [shell("c", "sleep 1000")]})));
    let before = machine.harness.until_ready("stay").await;
    machine.harness.until_ready("orphan").await;
    let Machine { harness, runtime, mut _containerd, directory } = machine;
    let api: Api = harness.stop().await;
    api.remove("pods", "default", "orphan");
    let requests = api.requests().len();
    let harness = Harness::start(
        directory.path().to_owned(),
        runtime.clone(),
        Some("/sys/fs/cgroup".into()),
        Some(api),
    )
    .await;
    _containerd.stops = Some(harness.tasks.clone());
    harness
        .api
        .wait_for_text("the orphan to go", || async {
            let (_, text) = harness.get("/runningpods").await;
            text.contains("stay") && !text.contains("orphan")
        })
        .await;
    let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    assert_eq!(id(&harness.seen("stay")), id(&before));
    assert_eq!(harness.seen("stay")["status"]["containerStatuses"][0]["restartCount"], 0);
    let told = harness.api.requests().split_off(requests);
    assert!(
        !told.iter().any(|one| one.starts_with("PATCH") && one.contains("/pods/stay/")),
        "nothing changed: {told:?}"
    );
    let machine = Machine { harness, runtime, _containerd, directory };
    machine.delete("stay").await;
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_sub_paths_groups_and_debugging() {
    let Some(machine) = start("sidecars_sub_paths_groups_and_debugging").await else { return };
    let harness = &machine.harness;
    let host = machine.directory.path().join("on-the-node");
    let mut side = shell("side", "echo here > /shared/side; exec sleep 1000");
    side["restartPolicy"] = json!("Always");
    side["volumeMounts"] = json!([{"name": "data", "mountPath": "/shared"}]);
    side["startupProbe"] = json!({"exec": {"command": ["/bin/cat", "/shared/side"]}, "periodSeconds": 1});
    let script = "cat /shared/side; id -u; id -G; stat -c %a:%g /shared; ls /one; cat /one/greeting; echo; \
        echo written > /node/file; cat /etc/hosts | grep alias; echo rest; exec sleep 1000";
    let mut main = shell("main", script);
    main["volumeMounts"] = json!([{"name": "data", "mountPath": "/shared"},
        {"name": "conf", "mountPath": "/one/greeting", "subPath": "greeting", "readOnly": true},
        {"name": "node", "mountPath": "/node", "subPathExpr": "$(POD)"}]);
    main["env"] = json!([{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    harness.api.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "conf", "namespace": "default"}, "data": {"greeting": "hello", "other": "x"}}),
    );
    std::fs::create_dir_all(host.join("rich")).unwrap();
    std::os::unix::fs::chown(host.join("rich"), Some(1000), None).unwrap();
    harness.pod(
        "rich",
        host_pod(json!({"initContainers": [side], "containers": [main],
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": true, "fsGroup": 2000},
        "hostAliases": [{"ip": "10.9.9.9", "hostnames": ["alias.test"]}],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "conf"}},
            {"name": "node", "hostPath": {"path": host, "type": "DirectoryOrCreate"}}]})),
    );
    let pod = harness.until_ready("rich").await;
    assert_eq!(pod["status"]["initContainerStatuses"][0]["started"], true);
    machine.logs_until("/containerLogs/default/rich/main", "rest\n").await;
    let (_, text) = harness.get("/containerLogs/default/rich/main").await;
    assert_eq!(text, "here\n1000\n0 2000\n2777:2000\ngreeting\nhello\n10.9.9.9\talias.test\nrest\n");
    assert_eq!(std::fs::read_to_string(host.join("rich/file")).unwrap(), "written\n");
    // kubectl debug
    harness.api.patch("pods", "default", "rich", &json!({"spec": {"ephemeralContainers": [
        {"name": "debugger", "image": "busybox:test", "imagePullPolicy": "IfNotPresent", "targetContainerName": "main",
            "command": ["/bin/sh", "-c", "echo looking; exec sleep 1000"]}]}})).unwrap();
    machine.logs_until("/containerLogs/default/rich/debugger", "looking").await;
    harness
        .until("rich", "debugged", |status| {
            !status["ephemeralContainerStatuses"][0]["state"]["running"].is_null()
        })
        .await;
    machine.delete("rich").await;
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_forwarded_and_spdy_passes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Some(machine) = start("ports_are_forwarded_and_spdy_passes").await else { return };
    let harness = &machine.harness;
    harness.pod("net", host_pod(json!({"containers": [shell("c", "sleep 1000")]})));
    harness.until_ready("net").await;
    // The pod is on the node's network, so the test can be the server in it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut block = [0u8; 4];
        stream.read_exact(&mut block).await.unwrap();
        stream.write_all(b"pong").await.unwrap();
        tokio::time::sleep(crate::harness::SOON).await;
    });
    let mut stream = harness.connect("kube-apiserver-kubelet-client", &["system:masters"]).await;
    let request = format!(
        "GET /portForward/default/net?port={port} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // A masked binary frame: channel 0, "ping"; the mask is zero.
    stream.write_all(&[0x82, 0x80 | 5, 0, 0, 0, 0, 0, b'p', b'i', b'n', b'g']).await.unwrap();
    let (mut seen, mut block) = (Vec::new(), [0u8; 4096]);
    let read = async {
        while !seen.ends_with(b"\x00pong") {
            let read = stream.read(&mut block).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&block[..read]);
        }
    };
    tokio::time::timeout(crate::harness::SOON, read).await.unwrap();

    let mut stream = harness.connect("kube-apiserver-kubelet-client", &["system:masters"]).await;
    let request = "POST /exec/default/net/c?command=/bin/true&output=1 HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\n\
        Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        let read = stream.read(&mut block).await.unwrap();
        assert!(read > 0);
        head.extend_from_slice(&block[..read]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("upgrade: spdy/3.1") && head.contains("x-stream-protocol-version: v4.channel.k8s.io"),
        "{head}"
    );
    drop(stream);
    machine.delete("net").await;
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_containerd_is_no_interruption() {
    let Some(mut machine) = start("a_new_containerd_is_no_interruption").await else { return };
    let script = "while ! [ -e /flag/end ]; do sleep 0.1; done; exit 4";
    let mut container = shell("c", script);
    container["volumeMounts"] = json!([{"name": "flag", "mountPath": "/flag"}]);
    let flag = machine.directory.path().join("flag");
    std::fs::create_dir_all(&flag).unwrap();
    machine.harness.pod(
        "go-on",
        host_pod(json!({"restartPolicy": "Never", "containers": [container],
        "volumes": [{"name": "flag", "hostPath": {"path": flag}}]})),
    );
    let before = machine.harness.until_ready("go-on").await;
    machine._containerd.restart().await;
    std::fs::write(flag.join("end"), "").unwrap();
    let after = machine.harness.until("go-on", "failed", |status| status["phase"] == "Failed").await;
    let status = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    assert_eq!(status(&after)["containerID"], status(&before)["containerID"]);
    assert_eq!(status(&after)["state"]["terminated"]["exitCode"], 4);
    machine.delete("go-on").await;
    machine.end().await;
}
