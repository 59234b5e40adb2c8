//! Every verb of every resource that discovery lists, performed; in JSON, YAML and the binary form.
//!
//! `every_verb/objects.yaml` has an object of every kind. `every_verb/uncovered` lists what is not performed here and why: what is
//! performed may not be in it, what is not must be, so it only shrinks.

mod upgraded;

use std::collections::{BTreeMap, BTreeSet};

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::far_kubelet;
use crate::front::Front;
use crate::harness::{Answer, Server};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const FORMS: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];

/// Kinds whose status the server's own loops write.
const KEPT_BY_LOOPS: [&str; 3] = ["CustomResourceDefinition", "FlowSchema", "ValidatingAdmissionPolicy"];

/// What was done and what went wrong.
struct Run {
    front: Front,
    model: std::sync::Arc<api_model::Model>,
    performed: BTreeSet<String>,
    faults: Vec<String>,
}

/// A resource as discovery lists it.
pub struct Listed {
    /// `apps/v1`.
    pub group_version: String,
    pub name: String,
    pub kind: String,
    namespaced: bool,
    pub verbs: Vec<String>,
}

impl Listed {
    fn root(&self) -> String {
        if self.group_version.contains('/') {
            format!("/apis/{}", self.group_version)
        } else {
            format!("/api/{}", self.group_version)
        }
    }

    fn collection(&self) -> String {
        let namespace = if self.namespaced { "/namespaces/default" } else { "" };
        format!("{}{namespace}/{}", self.root(), self.name)
    }
}

/// All that discovery lists.
pub async fn listed(server: &Server) -> Vec<Listed> {
    let mut paths = vec!["/api/v1".to_owned()];
    for group in server.get("/apis").await.ok()["groups"].as_array().unwrap() {
        let versions = group["versions"].as_array().unwrap().iter();
        paths.extend(versions.map(|version| format!("/apis/{}", version["groupVersion"].as_str().unwrap())));
    }
    let mut all = Vec::new();
    for path in paths {
        let list = server.get(&path).await.ok();
        for one in list["resources"].as_array().unwrap() {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            all.push(Listed {
                group_version: list["groupVersion"].as_str().unwrap().to_owned(),
                name: text("name"),
                kind: text("kind"),
                namespaced: one["namespaced"].as_bool().unwrap(),
                verbs: one["verbs"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|verb| verb.as_str().unwrap().to_owned())
                    .collect(),
            });
        }
    }
    all
}

/// One legal object of every kind, by version and kind.
pub fn objects() -> BTreeMap<(String, String), Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(include_str!("every_verb/objects.yaml"));
    let objects = documents.map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    let text = |object: &Value, field: &str| object[field].as_str().unwrap().to_owned();
    let mut objects: BTreeMap<(String, String), Value> =
        objects.map(|object| ((text(&object, "apiVersion"), text(&object, "kind")), object)).collect();
    let request = kit::pki::request("jane", &[], &[], &[]).unwrap();
    let csr = ("certificates.k8s.io/v1".to_owned(), "CertificateSigningRequest".to_owned());
    objects.get_mut(&csr).unwrap()["spec"]["request"] =
        json!(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, request.request_pem));
    objects
}

/// An object without what the server's own loops write soon after it was made.
fn settled(object: &Value) -> Value {
    let mut object = object.clone();
    if KEPT_BY_LOOPS.iter().any(|kind| object["kind"] == *kind) {
        object["status"] = json!({});
        for field in ["resourceVersion", "managedFields"] {
            object["metadata"][field] = Value::Null;
        }
    }
    object
}

impl Run {
    /// Sends an object in a form and reads the answer in the same.
    async fn send(
        &self,
        method: &str,
        path: &str,
        form: &str,
        object: Option<&Value>,
    ) -> Result<Value, String> {
        let body = match (object, form) {
            (None, _) => Vec::new(),
            (Some(object), PROTOBUF) => {
                api_model::protobuf::encode(&self.model, object).map_err(|error| error.to_string())?
            }
            (Some(object), "application/yaml") => serde_yaml_ng::to_string(object).unwrap().into_bytes(),
            (Some(object), _) => object.to_string().into_bytes(),
        };
        let headers = [format!("content-type: {form}"), format!("accept: {form}")];
        let answer = self.front.server.send(method, path, &[&headers[0], &headers[1]], body).await;
        self.read(form, answer)
    }

    fn read(&self, form: &str, answer: Answer) -> Result<Value, String> {
        let text = || format!("{} {}", answer.status, String::from_utf8_lossy(&answer.bytes));
        let media = answer.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
        if answer.status < 300 && media.as_deref() != Some(form) {
            return Err(format!("answered in {media:?}: {}", text()));
        }
        let value = match form {
            PROTOBUF => api_model::protobuf::decode(&self.model, &answer.bytes)
                .map_err(|error| format!("{error}: {}", text()))?,
            "application/yaml" => {
                serde_yaml_ng::from_slice(&answer.bytes).map_err(|error| format!("{error}: {}", text()))?
            }
            _ => answer.body.clone(),
        };
        if answer.status < 300 { Ok(value) } else { Err(format!("{} {}", answer.status, value["message"])) }
    }

    /// What the binary form can say of an object.
    fn plain(&self, object: &Value) -> Value {
        let bytes = api_model::protobuf::encode(&self.model, object).unwrap();
        api_model::protobuf::decode(&self.model, &bytes).unwrap()
    }

    fn same(&self, a: &Value, b: &Value) -> bool {
        let (a, b) = (settled(a), settled(b));
        a == b || self.plain(&a) == self.plain(&b)
    }

    /// Whether a part says the same as before it was put: a job gets the labels of its template with any write, as upstream.
    fn same_part(&self, a: &Value, b: &Value) -> bool {
        let without = |object: &Value| {
            let mut object = object.clone();
            object["metadata"] = json!({"name": object["metadata"]["name"]});
            object
        };
        self.same(&without(a), &without(b))
    }

    fn did(&mut self, listed: &Listed, verb: &str) {
        self.performed.insert(format!("{} {} {verb}", listed.group_version, listed.name));
    }

    /// Notes what came of a verb; gives the answer when it went well.
    fn note(
        &mut self,
        listed: &Listed,
        form: &str,
        verb: &str,
        result: Result<Value, String>,
    ) -> Option<Value> {
        match result {
            Ok(value) => {
                self.did(listed, verb);
                Some(value)
            }
            Err(why) => {
                self.faults.push(format!("{} {} {verb} in {form}: {why}", listed.group_version, listed.name));
                None
            }
        }
    }

    fn expect(&mut self, listed: &Listed, form: &str, what: &str, holds: bool, shown: &Value) {
        if !holds {
            self.faults.push(format!("{} {} {what} in {form}: {shown}", listed.group_version, listed.name));
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.front.server.get(path).await.body
    }

    /// The first event after a version.
    async fn first_event(
        &self,
        listed: &Listed,
        name: &str,
        version: &str,
        form: &str,
    ) -> Result<Value, String> {
        let after = version.parse::<u64>().unwrap() - 1;
        let path = format!(
            "{}?watch=true&resourceVersion={after}&fieldSelector=metadata.name%3D{name}",
            listed.collection()
        );
        let request = http::Request::get(path).header("accept", form).body(Body::empty()).unwrap();
        let response = self.front.server.client().send(request).await.unwrap();
        if response.status() != 200 {
            return Err(response.status().to_string());
        }
        let mut body = response.into_body();
        let frame = body.frame();
        let frame =
            tokio::time::timeout(std::time::Duration::from_secs(10), frame).await.map_err(|_| "no event")?;
        let bytes =
            frame.ok_or("ended")?.map_err(|error| error.to_string())?.into_data().map_err(|_| "no data")?;
        if form != PROTOBUF {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
            return Ok(
                serde_json::from_slice::<Value>(line).map_err(|error| error.to_string())?["object"].clone()
            );
        }
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let event = &bytes[4..4 + size];
        let at = event.windows(4).position(|four| four == b"k8s\0").ok_or("no object")?;
        api_model::protobuf::decode(&self.model, &event[at..]).map_err(|error| error.to_string())
    }

    /// Takes off whatever holds an object that was deleted.
    async fn let_go(&mut self, listed: &Listed, path: &str) {
        if self.front.server.get(path).await.status == 404 {
            return;
        }
        let unheld = json!({"metadata": {"finalizers": null}});
        self.front.server.patch("merge", path, unheld).await;
        if listed.name == "namespaces" {
            let mut last = self.get(path).await;
            last["spec"]["finalizers"] = json!([]);
            let done = self.send("PUT", &format!("{path}/finalize"), FORMS[0], Some(&last)).await;
            let finalize = Listed {
                name: "namespaces/finalize".into(),
                group_version: "v1".into(),
                kind: String::new(),
                namespaced: false,
                verbs: vec![],
            };
            self.note(&finalize, FORMS[0], "update", done);
        }
        if self.front.server.get(path).await.status != 404 {
            self.faults.push(format!("{path} is still there"));
        }
    }

    /// One object's life in one form.
    async fn life(&mut self, listed: &Listed, object: &Value, form: &str) -> Option<()> {
        let collection = listed.collection();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{collection}/{name}");
        let made = self.send("POST", &collection, form, Some(object)).await;
        let made = self.note(listed, form, "create", made)?;
        let shown = self.get(&path).await;
        self.expect(
            listed,
            form,
            "what is made is what is there",
            self.same(&made, &shown),
            &json!([made, shown]),
        );
        let got = self.send("GET", &path, form, None).await;
        let got = self.note(listed, form, "get", got)?;
        self.expect(listed, form, "what is shown", self.same(&got, &shown), &got);
        let list =
            self.send("GET", &format!("{collection}?fieldSelector=metadata.name%3D{name}"), form, None).await;
        let list = self.note(listed, form, "list", list)?;
        let mut item = list["items"][0].clone();
        item["kind"] = object["kind"].clone();
        item["apiVersion"] = object["apiVersion"].clone();
        self.expect(listed, form, "what is listed", self.same(&item, &shown), &list);
        if form != FORMS[1] {
            let version = shown["metadata"]["resourceVersion"].as_str().unwrap();
            let event = self.first_event(listed, &name, version, form).await;
            let event = self.note(listed, form, "watch", event)?;
            self.expect(listed, form, "what is watched", self.same(&event, &shown), &event);
        }
        self.patches(listed, object, &path, form).await;
        let mut changed = self.get(&path).await;
        changed["metadata"]["annotations"]["update"] = json!("1");
        let updated = self.send("PUT", &path, form, Some(&changed)).await;
        let updated = self.note(listed, form, "update", updated)?;
        let shown = self.get(&path).await;
        self.expect(listed, form, "what is updated", self.same(&updated, &shown), &updated);
        let annotations = shown["metadata"]["annotations"].as_object().map_or(0, |all| all.len());
        self.expect(
            listed,
            form,
            "the annotations of four patches and an update",
            annotations >= 5,
            &shown["metadata"],
        );
        self.unchanged(listed, &path, form).await;
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        let gone = self.send("DELETE", &path, form, Some(&options)).await;
        self.note(listed, form, "delete", gone)?;
        self.let_go(listed, &path).await;
        Some(())
    }

    /// What is put as it was got is not written.
    async fn unchanged(&mut self, listed: &Listed, path: &str, form: &str) {
        let Ok(got) = self.send("GET", path, form, None).await else { return };
        if KEPT_BY_LOOPS.iter().any(|kind| got["kind"] == *kind) {
            return;
        }
        match self.send("PUT", path, form, Some(&got)).await {
            Ok(put) => {
                let same = put["metadata"]["resourceVersion"] == got["metadata"]["resourceVersion"];
                self.expect(listed, form, "what did not change and was written", same, &json!([got, put]));
            }
            Err(why) => self.faults.push(format!("{path} as it was, in {form}: {why}")),
        }
    }

    async fn patches(&mut self, listed: &Listed, object: &Value, path: &str, form: &str) {
        let annotated = |key: &str| json!({"metadata": {"annotations": {key: "1"}}});
        let mut applied = annotated("apply");
        for field in ["apiVersion", "kind"] {
            applied[field] = object[field].clone();
        }
        applied["metadata"]["name"] = object["metadata"]["name"].clone();
        let table = [
            ("merge-patch+json", annotated("merge")),
            ("strategic-merge-patch+json", annotated("strategic")),
            ("json-patch+json", json!([{"op": "add", "path": "/metadata/annotations/json", "value": "1"}])),
            ("apply-patch+yaml", applied),
        ];
        for (media, patch) in table {
            let headers = [format!("content-type: application/{media}"), format!("accept: {form}")];
            let force = if media == "apply-patch+yaml" { "&force=true" } else { "" };
            let query = format!("{path}?fieldManager=every-verb{force}");
            let answer = self
                .front
                .server
                .send("PATCH", &query, &[&headers[0], &headers[1]], patch.to_string().into_bytes())
                .await;
            let result = self.read(form, answer);
            if let Some(patched) = self.note(listed, form, "patch", result) {
                let shown = self.get(path).await;
                self.expect(listed, form, media, self.same(&patched, &shown), &patched);
            }
        }
    }

    async fn collection_goes(&mut self, listed: &Listed, object: &Value) -> Option<()> {
        let collection = listed.collection();
        let name = object["metadata"]["name"].as_str().unwrap();
        self.front.server.post(&collection, object.clone()).await;
        let path = format!("{collection}?fieldSelector=metadata.name%3D{name}&gracePeriodSeconds=0");
        let gone = self.send("DELETE", &path, FORMS[0], None).await;
        let gone = self.note(listed, FORMS[0], "deletecollection", gone)?;
        let shown = gone["items"].as_array().map_or(0, Vec::len);
        self.expect(listed, FORMS[0], "the collection that went", shown == 1, &gone);
        self.let_go(listed, &format!("{collection}/{name}")).await;
        Some(())
    }

    /// The parts that are written like objects.
    async fn part(&mut self, parent: &Listed, part: &Listed, object: &Value) -> Option<()> {
        let collection = parent.collection();
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("{collection}/{name}/{}", part.name.split_once('/').unwrap().1);
        for form in FORMS {
            let got = self.send("GET", &path, form, None).await;
            let got = self.note(part, form, "get", got)?;
            let mut put = self.send("PUT", &path, form, Some(&got)).await;
            if put.as_ref().is_err_and(|why| why.starts_with("409")) {
                let newer = self.send("GET", &path, form, None).await.ok()?;
                put = self.send("PUT", &path, form, Some(&newer)).await;
            }
            let put = self.note(part, form, "update", put)?;
            self.expect(
                part,
                form,
                "what is put is what is there",
                self.same_part(&got, &put),
                &json!([got, put]),
            );
            if part.kind == parent.kind {
                self.unchanged(part, &path, form).await;
            }
            let headers =
                ["content-type: application/merge-patch+json".to_owned(), format!("accept: {form}")];
            let answer =
                self.front.server.send("PATCH", &path, &[&headers[0], &headers[1]], b"{}".to_vec()).await;
            let patched = self.read(form, answer);
            self.note(part, form, "patch", patched)?;
        }
        Some(())
    }

    async fn post(&mut self, listed: &Listed, path: &str, object: Value) {
        for form in FORMS {
            let query =
                if path.ends_with("/eviction") || path.ends_with("/binding") || path.ends_with("/bindings") {
                    "?dryRun=All"
                } else {
                    ""
                };
            let made = self.send("POST", &format!("{path}{query}"), form, Some(&object)).await;
            self.note(listed, form, "create", made);
        }
    }

    async fn proxies(&mut self, listed: &Listed, path: &str) {
        for (method, verb) in
            [("POST", "create"), ("DELETE", "delete"), ("GET", "get"), ("PATCH", "patch"), ("PUT", "update")]
        {
            let answer = self.front.server.send(method, &format!("{path}/echo"), &[], Vec::new()).await;
            let text = String::from_utf8_lossy(&answer.bytes).into_owned();
            let result = if text == format!("{method} /echo") { Ok(Value::Null) } else { Err(text) };
            self.note(listed, "text", verb, result);
        }
    }

    async fn upgrades(&mut self, listed: &Listed, path: &str) {
        for (method, verb) in [("GET", "get"), ("POST", "create")] {
            let result = match listed.name.as_str() {
                "pods/portforward" => {
                    upgraded::forwards(&self.front, method, &format!("{path}?ports=80")).await
                }
                _ => {
                    let path = format!("{path}?command=both&stdout=true&stderr=true");
                    upgraded::runs(&self.front, method, &path).await
                }
            };
            self.note(listed, "SPDY", verb, result.map(|()| Value::Null));
        }
    }
}

/// What is sent to resources that only take creations.
fn sent(kind: &str, api_version: &str) -> Value {
    let spec = match kind {
        "TokenReview" => json!({"token": "none"}),
        "SelfSubjectRulesReview" => json!({"namespace": "default"}),
        "LocalSubjectAccessReview" => {
            json!({"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}})
        }
        "SubjectAccessReview" => {
            json!({"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods"}})
        }
        "SelfSubjectAccessReview" => json!({"resourceAttributes": {"verb": "get", "resource": "pods"}}),
        _ => Value::Null,
    };
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {}});
    if kind == "LocalSubjectAccessReview" {
        object["metadata"]["namespace"] = json!("default");
    }
    if kind == "Binding" {
        object["metadata"]["name"] = json!("free");
        object["target"] = json!({"kind": "Node", "name": "n1"});
    }
    if !spec.is_null() {
        object["spec"] = spec;
    }
    object
}

async fn special(run: &mut Run, part: &Listed, parent: &Listed) {
    let path =
        |name: &str| format!("{}/{name}/{}", parent.collection(), part.name.split_once('/').unwrap().1);
    let named = |object: Value, name: &str| {
        let mut object = object;
        object["metadata"]["name"] = json!(name);
        object
    };
    match part.name.as_str() {
        "pods/binding" => run.post(part, &path("free"), sent("Binding", "v1")).await,
        "pods/eviction" => run.post(part, &path("p"), named(sent("Eviction", "policy/v1"), "p")).await,
        "serviceaccounts/token" => {
            let mut request = sent("TokenRequest", "authentication.k8s.io/v1");
            request["spec"] = json!({"audiences": ["me"], "expirationSeconds": 600});
            run.post(part, &path("default"), request).await;
        }
        "pods/log" => {
            let answer = run.front.server.get(&path("p")).await;
            let result =
                if answer.bytes.starts_with(b"one\n") { Ok(Value::Null) } else { Err(format!("{answer:?}")) };
            run.note(part, "text", "get", result);
        }
        "pods/exec" | "pods/attach" | "pods/portforward" => run.upgrades(part, &path("p")).await,
        "pods/proxy" => run.proxies(part, &path("https:p:443")).await,
        "services/proxy" => run.proxies(part, &path("https:s:web")).await,
        "nodes/proxy" => run.proxies(part, &path("n1")).await,
        _ => {}
    }
}

async fn service(server: &Server) {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 443}]}});
    server.post("/api/v1/namespaces/default/services", service).await.ok();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"name": "web", "port": 443}], "endpoints": [{"addresses": ["10.244.0.9"], "nodeName": "n1", "conditions": {"ready": true}}]});
    server.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await.ok();
    server.post(crate::harness::PODS, crate::harness::pod("free")).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_of_every_resource_is_performed() {
    let front = Front::start().await;
    far_kubelet::start(&front.server).await;
    service(&front.server).await;
    let mut run = Run {
        front,
        model: api_model::Model::load("1.35").unwrap(),
        performed: BTreeSet::new(),
        faults: Vec::new(),
    };
    let (all, objects) = (listed(&run.front.server).await, objects());
    for one in all.iter().filter(|one| !one.name.contains('/')) {
        let Some(object) = objects.get(&(one.group_version.clone(), one.kind.clone())) else {
            if one.verbs == ["create"] {
                run.post(one, &one.collection(), sent(&one.kind, &one.group_version)).await;
            } else if one.verbs.iter().any(|verb| verb == "list") {
                let list = run.send("GET", &one.collection(), FORMS[0], None).await;
                let list = run.note(one, FORMS[0], "list", list).unwrap_or_default();
                for item in list["items"].as_array().into_iter().flatten() {
                    let path = format!("{}/{}", one.collection(), item["metadata"]["name"].as_str().unwrap());
                    for form in FORMS {
                        let got = run.send("GET", &path, form, None).await;
                        run.note(one, form, "get", got);
                    }
                }
            }
            continue;
        };
        for form in FORMS {
            run.life(one, object, form).await;
        }
        if one.verbs.iter().any(|verb| verb == "deletecollection") {
            run.collection_goes(one, object).await;
        }
        run.front.server.post(&one.collection(), object.clone()).await;
        let prefix = format!("{}/", one.name);
        for part in all
            .iter()
            .filter(|part| part.group_version == one.group_version && part.name.starts_with(&prefix))
        {
            if ["get", "patch", "update"].iter().eq(part.verbs.iter()) {
                run.part(one, part, object).await;
            } else {
                special(&mut run, part, one).await;
            }
        }
        run.front
            .server
            .delete(&format!(
                "{}/{}?gracePeriodSeconds=0",
                one.collection(),
                object["metadata"]["name"].as_str().unwrap()
            ))
            .await;
    }
    assert!(run.faults.is_empty(), "{} faults:\n{}", run.faults.len(), run.faults.join("\n"));
    let wanted: BTreeSet<String> = all
        .iter()
        .flat_map(|one| {
            one.verbs.iter().map(move |verb| format!("{} {} {verb}", one.group_version, one.name))
        })
        .collect();
    let uncovered = include_str!("every_verb/uncovered")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let uncovered: BTreeSet<String> =
        uncovered.map(|line| line.split_once(": ").expect("a reason").0.to_owned()).collect();
    let missing: Vec<&String> =
        wanted.iter().filter(|one| !run.performed.contains(*one) && !uncovered.contains(*one)).collect();
    assert!(missing.is_empty(), "neither performed nor excused: {missing:#?}");
    let stale: Vec<&String> =
        uncovered.iter().filter(|one| run.performed.contains(*one) || !wanted.contains(*one)).collect();
    assert!(stale.is_empty(), "excused but performed, or not served: {stale:#?}");
}
