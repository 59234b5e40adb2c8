//! Making and removing the pods of an owner, with the events people look for.

use futures::future::join_all;
use informers::objects::{controlled_by, reference};
use informers::{Error, Informer, Object, Recorder};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams};

/// Writes pods for the owners of one loop.
#[derive(Clone)]
pub(crate) struct Pods {
    pub client: kube::Client,
    pub cache: Informer<Pod>,
    pub events: Recorder,
}

/// A pod of a template, controlled by `owner`; the server completes the name.
pub(crate) fn of_template<O: Object>(owner: &O, template: &PodTemplateSpec) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.meta().name.as_deref().unwrap_or_default())),
            namespace: owner.meta().namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controlled_by(owner)]),
            ..Default::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

impl Pods {
    fn api(&self, namespace: Option<&str>) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace.unwrap_or_default())
    }

    /// Creates one pod.
    pub async fn create<O: Object>(&self, owner: &O, pod: &Pod) -> Result<Pod, Error> {
        let api = self.api(pod.metadata.namespace.as_deref());
        match self.cache.create(&api, pod).await {
            Ok(made) => {
                let name = made.metadata.name.clone().unwrap_or_default();
                self.events.normal(reference(owner), "SuccessfulCreate", format!("Created pod: {name}"));
                Ok(made)
            }
            Err(error) => {
                let terminating = matches!(&error, kube::Error::Api(s) if s.code == 403 && s.message.contains("being terminated"));
                if !terminating {
                    let text = match &error {
                        kube::Error::Api(status) => status.message.clone(),
                        other => other.to_string(),
                    };
                    self.events.warning(reference(owner), "FailedCreate", format!("Error creating: {text}"));
                }
                Err(error.into())
            }
        }
    }

    /// Creates pods in batches that double, so that a template that is refused costs one request, not all.
    /// Returns how many were made, and the first error.
    pub async fn create_many<O: Object>(&self, owner: &O, pods: &[Pod]) -> (usize, Option<Error>) {
        let mut made = 0;
        let mut batch = 1;
        while made < pods.len() {
            let end = (made + batch).min(pods.len());
            let results = join_all(pods[made..end].iter().map(|pod| self.create(owner, pod))).await;
            let total = results.len();
            let mut failed = results.into_iter().filter_map(Result::err);
            if let Some(error) = failed.next() {
                return (made + total - 1 - failed.count(), Some(error));
            }
            made = end;
            batch *= 2;
        }
        (made, None)
    }

    /// Deletes pods; what is gone already counts as deleted.
    pub async fn delete<O: Object>(&self, owner: &O, pod: &Pod) -> Result<(), Error> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let api = self.api(pod.metadata.namespace.as_deref());
        match self.cache.delete(&api, pod, DeleteParams::default()).await {
            Ok(()) => {
                self.events.normal(reference(owner), "SuccessfulDelete", format!("Deleted pod: {name}"));
                Ok(())
            }
            Err(error) => {
                self.events.warning(reference(owner), "FailedDelete", format!("Error deleting: {error}"));
                Err(error.into())
            }
        }
    }

    /// Deletes many pods at once and returns the first error.
    pub async fn delete_many<O, P>(&self, owner: &O, pods: &[P]) -> Result<(), Error>
    where
        O: Object,
        P: AsRef<Pod>,
    {
        join_all(pods.iter().map(|pod| self.delete(owner, pod.as_ref()))).await.into_iter().collect()
    }
}
