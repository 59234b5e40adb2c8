//! What every namespace has: the `default` service account and the `kube-root-ca.crt` config map.

use std::collections::BTreeMap;

use informers::objects::is_deleting;
use informers::{Change, Error, Informer, Key, Next, Queue};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};

use crate::context::Context;

const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";
const ROOT_CA_NOTE: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Keeps `default` in every namespace.
pub(crate) fn start_default(context: &Context) {
    let accounts = context.informer::<ServiceAccount>();
    let client = context.client("service-account-controller");
    per_namespace(context, "serviceaccount-controller", "default", &accounts, move |accounts, namespace| {
        let (client, accounts) = (client.clone(), accounts.clone());
        async move {
            if accounts.find(&namespace, "default").is_some() {
                return Ok(());
            }
            let account = ServiceAccount {
                metadata: ObjectMeta {
                    name: Some("default".into()),
                    namespace: Some(namespace.clone()),
                    ..Default::default()
                },
                ..Default::default()
            };
            ignore_races(accounts.create(&Api::namespaced(client, &namespace), &account).await)
        }
    });
}

/// Keeps the cluster's CA in every namespace, for pods that speak to the API.
pub(crate) fn start_root_ca(context: &Context) {
    let maps = context.informer::<ConfigMap>();
    let client = context.client("root-ca-cert-publisher");
    let pem = context.config.authority.certificate_pem().to_owned();
    per_namespace(
        context,
        "root-ca-certificate-publisher-controller",
        ROOT_CA,
        &maps,
        move |maps, namespace| {
            let (client, maps, pem) = (client.clone(), maps.clone(), pem.clone());
            async move {
                let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
                let data = BTreeMap::from([(ROOT_CA_KEY.to_owned(), pem)]);
                match maps.find(&namespace, ROOT_CA) {
                    None => {
                        let note = ("kubernetes.io/description".to_owned(), ROOT_CA_NOTE.to_owned());
                        let map = ConfigMap {
                            metadata: ObjectMeta {
                                name: Some(ROOT_CA.into()),
                                namespace: Some(namespace.clone()),
                                annotations: Some(BTreeMap::from([note])),
                                ..Default::default()
                            },
                            data: Some(data),
                            ..Default::default()
                        };
                        ignore_races(maps.create(&api, &map).await)
                    }
                    Some(map) if map.data.as_ref() != Some(&data) => {
                        let mut changed = map.as_ref().clone();
                        changed.data = Some(data);
                        maps.observe(api.replace(ROOT_CA, &PostParams::default(), &changed).await?);
                        Ok(())
                    }
                    Some(_) => Ok(()),
                }
            }
        },
    );
}

/// That somebody was quicker, or that the namespace is going, is no failure.
fn ignore_races<K>(made: Result<K, kube::Error>) -> Result<(), Error> {
    match made {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.reason == "AlreadyExists" || s.code == 404 => Ok(()),
        Err(kube::Error::Api(s)) if s.code == 403 && s.message.contains("terminat") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn per_namespace<K, F, Fut>(
    context: &Context,
    controller: &'static str,
    object: &'static str,
    informer: &Informer<K>,
    ensure: F,
) where
    K: informers::Object + kube::Resource<Scope = NamespaceResourceScope>,
    F: Fn(&Informer<K>, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let namespaces = context.informer::<Namespace>();
    let queue = Queue::new();
    namespaces.enqueue_to(&queue);
    let waiting = queue.clone();
    informer.subscribe(move |change| {
        let key = Key::of(change.object().as_ref());
        if key.name == object && !matches!(change, Change::Added(_)) {
            waiting.add(Key::new("", key.namespace));
        }
    });
    let (n, i) = (namespaces.clone(), informer.clone());
    let ready = async move {
        n.synced().await;
        i.synced().await;
    };
    let informer = informer.clone();
    let ensure = std::sync::Arc::new(ensure);
    context.loops.run(controller, 2, queue, ready, move |key: Key| {
        let alive = namespaces.get(&key).is_some_and(|n| !is_deleting(&n.metadata));
        let (informer, ensure) = (informer.clone(), ensure.clone());
        async move {
            if alive {
                ensure(&informer, key.name).await?;
            }
            Ok(Next::None)
        }
    });
}
