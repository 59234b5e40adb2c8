//! The quickstart as printed, then everything a user tries next, on real machines.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Fabric, Lab, host, image, lazurite, wait_for, wait_for_ok};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_cluster_runs_a_workload_and_leaves_nothing() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Linux)? else { return Ok(()) };
    let took = lab.cluster("rg-dev", "dev-cluster", 3)?;
    eprintln!("az aks create, three real nodes: {:.1} s", took.as_secs_f64());
    nodes_look_as_on_aks(&lab)?;
    node_resource_group_is_named_as_aks_names_it(&lab)?;
    workload_answers(&lab)?;
    load_busybox(&lab)?;
    pods_reach_each_other_services_and_names(&lab)?;
    service_account_may_what_rbac_lets_it(&lab)?;
    daily_kubectl(&lab)?;
    restart_keeps_everything(&lab)?;
    down_takes_all_off_the_host_and_up_brings_it_back(&lab)?;
    a_deleted_instance_comes_back(&lab)?;
    pools_come_and_go(&lab)?;
    lab.az("aks delete -g rg-dev -n dev-cluster --yes")?;
    let machines = std::fs::read_dir(lab.state().join("machines"))?.count();
    ensure!(machines == 0, "{machines} machines are left after `az aks delete`");
    let groups = lab.az_json("group list")?;
    let names: Vec<&str> =
        groups.as_array().into_iter().flatten().filter_map(|g| g["name"].as_str()).collect();
    ensure!(names == ["rg-dev"], "groups after `az aks delete`: {names:?}");
    lab.finish()
}

fn nodes_look_as_on_aks(lab: &Lab) -> Result<()> {
    let nodes = lab.kubectl_json("get nodes")?;
    let items = nodes["items"].as_array().context("no items")?;
    ensure!(items.len() == 3, "{} nodes", items.len());
    for node in items {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        ensure!(name.starts_with("aks-nodepool1-") && name.contains("-vmss00000"), "node name {name}");
        let labels = &node["metadata"]["labels"];
        for (label, value) in [
            ("kubernetes.azure.com/agentpool", "nodepool1"),
            ("kubernetes.azure.com/mode", "system"),
            ("kubernetes.azure.com/role", "agent"),
            ("kubernetes.azure.com/cluster", "MC_rg-dev_dev-cluster_eastus"),
            ("topology.kubernetes.io/region", "eastus"),
            ("topology.kubernetes.io/zone", "0"),
        ] {
            ensure!(labels[label] == value, "{name}: label {label} is {}", labels[label]);
        }
        let provider = node["spec"]["providerID"].as_str().unwrap_or_default();
        ensure!(
            provider.starts_with("azure:///subscriptions/") && provider.contains("/virtualMachineScaleSets/"),
            "{provider}"
        );
        ensure!(node["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.6");
    }
    let wide = lab.kubectl("get nodes -o wide")?;
    ensure!(wide.contains("10.224.0.4") && wide.contains("containerd://"), "{wide}");
    Ok(())
}

fn node_resource_group_is_named_as_aks_names_it(lab: &Lab) -> Result<()> {
    let group = "MC_rg-dev_dev-cluster_eastus";
    let resources = lab.az_json(&format!("resource list -g {group}"))?;
    let types: Vec<&str> =
        resources.as_array().into_iter().flatten().filter_map(|r| r["type"].as_str()).collect();
    for expected in [
        "Microsoft.Compute/virtualMachineScaleSets",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "Microsoft.Network/loadBalancers",
        "Microsoft.Network/networkSecurityGroups",
        "Microsoft.Network/publicIPAddresses",
        "Microsoft.Network/virtualNetworks",
    ] {
        ensure!(types.contains(&expected), "no {expected} in {types:?}");
    }
    let sets = lab.az_json(&format!("vmss list -g {group}"))?;
    let set = sets[0]["name"].as_str().context("no scale set")?;
    let instances = lab.az_json(&format!("vmss list-instances -g {group} -n {set}"))?;
    ensure!(instances.as_array().map(Vec::len) == Some(3), "{instances}");
    Ok(())
}

fn workload_answers(lab: &Lab) -> Result<()> {
    lab.kubectl("create deployment hello --image=lazurite.azurecr.io/hello:1 --replicas=2")?;
    lab.kubectl("expose deployment hello --port 80")?;
    lab.kubectl("rollout status deployment hello --timeout=60s")?;
    let page = wait_for_ok("the page of the workload", SOON, || {
        lab.kubectl("get --raw /api/v1/namespaces/default/services/hello:80/proxy/")
    })?;
    ensure!(page.starts_with("Hello from hello-"), "{page}");
    Ok(())
}

fn load_busybox(lab: &Lab) -> Result<()> {
    let archive = lab.file("busybox.tar");
    image::write_busybox(&archive, &lazurite())?;
    let loaded = lab.lazurite(&["image", "load", &archive.display().to_string()])?.stdout;
    ensure!(loaded.trim() == "docker.io/library/busybox:1", "{loaded}");
    // One pod per node: the selector's topology spread sees to it.
    lab.kubectl_with("apply --server-side -f -", SHELLS)?;
    lab.kubectl("rollout status deployment shells --timeout=90s")?;
    Ok(())
}

const SHELLS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: shells, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: shells}}
  template:
    metadata: {labels: {app: shells}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: shells}}}
      containers:
        - name: shell
          image: busybox:1
          command: [sh, -c, "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"]
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shells, namespace: default}
spec:
  selector: {app: shells}
  ports: [{port: 80, targetPort: 8080}]
"#;

struct PodSeen {
    name: String,
    node: String,
    address: String,
}

fn shells(lab: &Lab) -> Result<Vec<PodSeen>> {
    let pods = lab.kubectl_json("get pods -l app=shells")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = pods["items"].as_array().context("no pods")?;
    Ok(items
        .iter()
        .map(|pod| PodSeen {
            name: text(&pod["metadata"]["name"]),
            node: text(&pod["spec"]["nodeName"]),
            address: text(&pod["status"]["podIP"]),
        })
        .collect())
}

fn pods_reach_each_other_services_and_names(lab: &Lab) -> Result<()> {
    let pods = shells(lab)?;
    ensure!(pods.len() == 3 && pods[0].node != pods[1].node, "pods are not on nodes of their own");
    let fetch =
        |from: &str, url: &str| lab.kubectl_words(&["exec", from, "--", "lazurite", "addon", "fetch", url]);
    let page = fetch(&pods[0].name, &format!("http://{}:8080/", pods[1].address))?;
    ensure!(page.trim() == pods[1].name, "from node to node: {page}");
    let service = lab.kubectl_json("get service shells")?;
    let cluster_ip = service["spec"]["clusterIP"].as_str().context("no cluster IP")?;
    for url in [
        format!("http://{cluster_ip}/"),
        "http://shells/".to_owned(),
        "http://shells.default.svc.cluster.local/".to_owned(),
    ] {
        let page = wait_for_ok(&format!("an answer of {url}"), SOON, || fetch(&pods[0].name, &url))?;
        ensure!(page.starts_with("shells-"), "{url}: {page}");
    }
    // A pod reaches itself through its service too (hairpin).
    lab.kubectl("scale deployment shells --replicas=1")?;
    let last = wait_for("one shell", SOON, || {
        let pods = shells(lab)?;
        Ok((pods.len() == 1).then(|| pods.into_iter().next()).flatten())
    })?;
    let page = wait_for_ok("the pod's own page", SOON, || fetch(&last.name, "http://shells/"))?;
    ensure!(page.trim() == last.name, "{page}");
    lab.kubectl("scale deployment shells --replicas=3")?;
    lab.kubectl("rollout status deployment shells --timeout=60s")?;
    Ok(())
}

fn service_account_may_what_rbac_lets_it(lab: &Lab) -> Result<()> {
    lab.kubectl("create serviceaccount reader")?;
    lab.kubectl("create role pod-reader --verb=get,list --resource=pods")?;
    lab.kubectl("create rolebinding pod-reader --role=pod-reader --serviceaccount=default:reader")?;
    lab.kubectl_with("apply -f -", API_CALLER)?;
    lab.kubectl("wait --for=condition=Ready pod/caller --timeout=60s")?;
    let me = lab.kubectl("auth can-i list pods --as=system:serviceaccount:default:reader")?;
    ensure!(me.trim() == "yes", "{me}");
    let refused = lab.kubectl_refused("get secrets --as=system:serviceaccount:default:reader")?;
    ensure!(
        refused.contains(
            r#"secrets is forbidden: User "system:serviceaccount:default:reader" cannot list resource "secrets" in API group "" in the namespace "default""#
        ),
        "{refused}"
    );
    // From inside the pod, with its own token, at the address the cluster gives.
    let call = |resource: &str| {
        let url = format!("https://kubernetes.default.svc/api/v1/namespaces/default/{resource}");
        let dir = "/var/run/secrets/kubernetes.io/serviceaccount";
        let (token, ca) = (format!("--bearer-file={dir}/token"), format!("--ca-file={dir}/ca.crt"));
        let ask =
            ["exec", "caller", "--", "lazurite", "addon", "fetch", url.as_str(), token.as_str(), ca.as_str()];
        lab.kubectl_words(&ask)
    };
    let listed = call("pods")?;
    ensure!(listed.contains("\"PodList\""), "{listed}");
    let refused = call("secrets").err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(
        refused.contains("\"Forbidden\"") && refused.contains("system:serviceaccount:default:reader"),
        "{refused}"
    );
    Ok(())
}

const API_CALLER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: default}
spec:
  serviceAccountName: reader
  terminationGracePeriodSeconds: 1
  containers:
    - {name: shell, image: "busybox:1", command: [sleep, "3600"]}
"#;

fn daily_kubectl(lab: &Lab) -> Result<()> {
    let pod = shells(lab)?.into_iter().next().context("no shell")?.name;
    let logs = lab.kubectl("logs deployment/hello")?;
    ensure!(logs.contains("listening on"), "{logs}");
    ensure!(lab.kubectl_words(&["exec", &pod, "--", "sh", "-c", "echo $((6*7))"])?.trim() == "42");
    ensure!(lab.kubectl(&format!("describe pod {pod}"))?.contains("Started container shell"));
    ensure!(lab.kubectl("get events")?.contains("Scheduled"));
    port_forward(lab)?;
    lab.kubectl("set env deployment/hello GREETING=hello")?;
    lab.kubectl("rollout restart deployment hello")?;
    lab.kubectl("rollout status deployment hello --timeout=60s")?;
    lab.kubectl("rollout undo deployment hello")?;
    lab.kubectl("rollout status deployment hello --timeout=60s")?;
    lab.kubectl("scale deployment hello --replicas=4")?;
    lab.kubectl("rollout status deployment hello --timeout=60s")?;
    lab.kubectl("label pod caller tier=test")?;
    lab.kubectl("annotate pod caller note=here")?;
    let top = lab.kubectl_refused("top nodes")?;
    ensure!(top.contains("Metrics API not available"), "{top}");
    lab.kubectl("delete deployment hello --cascade=foreground --timeout=60s")?;
    let left = lab.kubectl("get pods -l app=hello -o name")?;
    ensure!(left.is_empty(), "foreground deletion left {left}");
    lab.kubectl("create namespace passing")?;
    lab.kubectl("create configmap one -n passing --from-literal=a=b")?;
    lab.kubectl("delete namespace passing --timeout=60s")?;
    Ok(())
}

fn port_forward(lab: &Lab) -> Result<()> {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut forward = lab.kubectl_spawn("port-forward service/shells :80")?;
    let output = forward.0.stdout.take().context("no output")?;
    // Kept to the end: kubectl prints each connection, and would die of a closed pipe.
    let mut lines = BufReader::new(output).lines();
    let line = lines.next().context("kubectl port-forward printed nothing")??;
    let address = line.split(' ').nth(2).context("no address")?.to_owned();
    let mut stream = std::net::TcpStream::connect(&address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains("shells-"), "{answer}");
    drop(lines);
    Ok(())
}

fn restart_keeps_everything(lab: &Lab) -> Result<()> {
    let before = lab.kubectl_json("get pods -A")?;
    let machines = machine_starts(lab)?;
    lab.kill()?;
    ensure!(machine_starts(lab)? == machines, "machines died with the service");
    lab.up()?;
    wait_for_ok("the cluster after a restart", SOON, || lab.kubectl("get nodes"))?;
    let ready = wait_for("ready nodes after a restart", SOON, || {
        let nodes = lab.kubectl("get nodes --no-headers")?;
        Ok((nodes.lines().count() == 3 && nodes.lines().all(|line| line.contains(" Ready"))).then_some(nodes))
    })?;
    eprintln!("{ready}");
    ensure!(machine_starts(lab)? == machines, "machines were made anew");
    let after = lab.kubectl_json("get pods -A")?;
    ensure!(uids(&before) == uids(&after), "pods changed over the restart");
    for pod in after["items"].as_array().into_iter().flatten() {
        for status in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
            ensure!(status["restartCount"] == 0, "{} was restarted", pod["metadata"]["name"]);
        }
    }
    let pod = shells(lab)?.into_iter().next().context("no shell")?.name;
    wait_for_ok("exec after a restart", SOON, || lab.kubectl_words(&["exec", &pod, "--", "true"]))?;
    Ok(())
}

fn down_takes_all_off_the_host_and_up_brings_it_back(lab: &Lab) -> Result<()> {
    let before = machine_starts(lab)?;
    lab.lazurite(&["down"])?;
    let left = host::left_behind(&lab.state());
    ensure!(left.is_empty(), "left on the host after `lazurite down`: {left:?}");
    lab.up()?;
    wait_for("machines of a new boot", SOON, || Ok((machine_starts(lab)? != before).then_some(())))?;
    let pod = shells(lab)?.into_iter().next().context("no shell")?.name;
    wait_for_ok("exec after a new boot", SOON * 2, || lab.kubectl_words(&["exec", &pod, "--", "true"]))?;
    lab.kubectl("wait --for=condition=Ready node --all --timeout=90s")?;
    lab.kubectl("rollout status deployment shells --timeout=90s")?;
    Ok(())
}

fn a_deleted_instance_comes_back(lab: &Lab) -> Result<()> {
    let group = "MC_rg-dev_dev-cluster_eastus";
    let set = lab.az_json(&format!("vmss list -g {group}"))?[0]["name"]
        .as_str()
        .context("no scale set")?
        .to_owned();
    let ids = |lab: &Lab| -> Result<Vec<String>> {
        let instances = lab.az_json(&format!("vmss list-instances -g {group} -n {set}"))?;
        let all = instances.as_array().into_iter().flatten();
        Ok(all.filter_map(|instance| instance["instanceId"].as_str().map(str::to_owned)).collect())
    };
    let before = ids(lab)?;
    let gone = before.last().context("no instance")?.clone();
    lab.az(&format!("vmss delete-instances -g {group} -n {set} --instance-ids {gone}"))?;
    wait_for("a new instance", SOON, || {
        let now = ids(lab)?;
        Ok((now.len() == 3 && !now.contains(&gone)).then_some(()))
    })?;
    wait_for("three ready nodes", SOON * 2, || {
        let nodes = lab.kubectl("get nodes --no-headers")?;
        Ok((nodes.lines().count() == 3 && nodes.lines().all(|line| line.contains(" Ready"))).then_some(()))
    })
}

fn uids(pods: &Value) -> Vec<&str> {
    let mut uids: Vec<&str> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pod| pod["metadata"]["uid"].as_str())
        .collect();
    uids.sort_unstable();
    uids
}

/// What identifies the machines' processes.
fn machine_starts(lab: &Lab) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(lab.state().join("machines"))? {
        all.push(std::fs::read_to_string(entry?.path().join("process.json"))?);
    }
    all.sort();
    Ok(all)
}

fn pools_come_and_go(lab: &Lab) -> Result<()> {
    let nodes = |count: usize| {
        wait_for(&format!("{count} nodes"), SOON, || {
            let nodes = lab.kubectl("get nodes -o name")?;
            Ok((nodes.lines().count() == count).then_some(()))
        })
    };
    lab.az("aks nodepool add -g rg-dev --cluster-name dev-cluster -n user1 --node-count 1 --mode User")?;
    nodes(4)?;
    lab.az("aks nodepool scale -g rg-dev --cluster-name dev-cluster -n user1 --node-count 2")?;
    nodes(5)?;
    lab.az("aks nodepool scale -g rg-dev --cluster-name dev-cluster -n user1 --node-count 1")?;
    nodes(4)?;
    let listed = lab.az_json("aks nodepool list -g rg-dev --cluster-name dev-cluster")?;
    ensure!(listed.as_array().map(Vec::len) == Some(2), "{listed}");
    lab.az("aks nodepool delete -g rg-dev --cluster-name dev-cluster -n user1")?;
    nodes(3)?;
    let machines = std::fs::read_dir(lab.state().join("machines"))?.count();
    ensure!(machines == 3, "{machines} machines for 3 nodes");
    Ok(())
}
