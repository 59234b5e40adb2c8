//! containerd over its unix socket.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::*;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{Answer, PodUid, Readiness, RuntimeError, RuntimeEvent};
use crate::labels;

/// A call that only reads or removes answers within this time, or the runtime is ill.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Making a sandbox includes the network plugin; upstream allows the same.
const SANDBOX_TIMEOUT: Duration = Duration::from_secs(240);

/// A CRI runtime behind a unix socket. Connects when first used and again when the connection broke.
#[derive(Clone)]
pub struct Cri {
    channel: Channel,
}

impl Cri {
    /// A runtime that listens at `socket`. Opens no connection yet.
    pub fn new(socket: &Path) -> Self {
        let socket: PathBuf = socket.to_owned();
        let channel = Endpoint::from_static("http://containerd").connect_with_connector_lazy(
            tower::service_fn(move |_: Uri| {
                let socket = socket.clone();
                async move {
                    Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(socket).await?))
                }
            }),
        );
        Self { channel }
    }

    fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    fn images_client(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }
}

fn request<T>(message: T, limit: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(limit);
    request
}

fn quick<T>(message: T) -> tonic::Request<T> {
    request(message, CALL_TIMEOUT)
}

fn by_uid(pod: PodUid<'_>) -> HashMap<String, String> {
    pod.map(|uid| (labels::POD_UID.to_owned(), uid.to_owned())).into_iter().collect()
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), ..ImageSpec::default() }
}

fn gone_is_fine(result: Result<(), RuntimeError>) -> Answer<()> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

fn missing(what: &str) -> RuntimeError {
    RuntimeError::new(tonic::Code::Internal, format!("the runtime answered without {what}"))
}

#[async_trait]
impl super::Runtime for Cri {
    async fn version(&self) -> Answer<VersionResponse> {
        Ok(self.runtime().version(quick(VersionRequest::default())).await?.into_inner())
    }

    async fn readiness(&self) -> Answer<Readiness> {
        let status = self.runtime().status(quick(StatusRequest { verbose: false })).await?.into_inner();
        let conditions = status.status.unwrap_or_default().conditions;
        let why = |name: &str| match conditions.iter().find(|condition| condition.r#type == name) {
            Some(condition) if condition.status => None,
            Some(condition) => {
                Some(format!("{name}=false reason:{} message:{}", condition.reason, condition.message))
            }
            None => Some(format!("{name} condition is not set")),
        };
        Ok(Readiness { runtime: why("RuntimeReady"), network: why("NetworkReady") })
    }

    async fn events(&self) -> Answer<BoxStream<'static, RuntimeEvent>> {
        super::events::subscribe(self.channel.clone()).await
    }

    async fn run_sandbox(&self, config: PodSandboxConfig, handler: &str) -> Answer<String> {
        let message = RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        Ok(self
            .runtime()
            .run_pod_sandbox(request(message, SANDBOX_TIMEOUT))
            .await?
            .into_inner()
            .pod_sandbox_id)
    }

    async fn stop_sandbox(&self, id: &str) -> Answer<()> {
        let message = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let stopped = self.runtime().stop_pod_sandbox(request(message, SANDBOX_TIMEOUT)).await;
        gone_is_fine(stopped.map(drop).map_err(Into::into))
    }

    async fn remove_sandbox(&self, id: &str) -> Answer<()> {
        let message = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        gone_is_fine(self.runtime().remove_pod_sandbox(quick(message)).await.map(drop).map_err(Into::into))
    }

    async fn sandbox_status(&self, id: &str) -> Answer<PodSandboxStatus> {
        let message = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer = self.runtime().pod_sandbox_status(quick(message)).await?.into_inner();
        answer.status.ok_or_else(|| missing("a sandbox status"))
    }

    async fn list_sandboxes(&self, pod: PodUid<'_>) -> Answer<Vec<PodSandbox>> {
        let filter = PodSandboxFilter { label_selector: by_uid(pod), ..PodSandboxFilter::default() };
        let message = ListPodSandboxRequest { filter: Some(filter) };
        Ok(self.runtime().list_pod_sandbox(quick(message)).await?.into_inner().items)
    }

    async fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Answer<String> {
        let message = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(self.runtime().create_container(quick(message)).await?.into_inner().container_id)
    }

    async fn start_container(&self, id: &str) -> Answer<()> {
        let message = StartContainerRequest { container_id: id.to_owned() };
        Ok(self.runtime().start_container(quick(message)).await.map(drop)?)
    }

    async fn stop_container(&self, id: &str, grace_s: i64) -> Answer<()> {
        let message = StopContainerRequest { container_id: id.to_owned(), timeout: grace_s };
        let limit = CALL_TIMEOUT + Duration::from_secs(grace_s.max(0).unsigned_abs());
        gone_is_fine(
            self.runtime().stop_container(request(message, limit)).await.map(drop).map_err(Into::into),
        )
    }

    async fn remove_container(&self, id: &str) -> Answer<()> {
        let message = RemoveContainerRequest { container_id: id.to_owned() };
        gone_is_fine(self.runtime().remove_container(quick(message)).await.map(drop).map_err(Into::into))
    }

    async fn list_containers(&self, pod: PodUid<'_>) -> Answer<Vec<Container>> {
        let filter = ContainerFilter { label_selector: by_uid(pod), ..ContainerFilter::default() };
        let message = ListContainersRequest { filter: Some(filter) };
        Ok(self.runtime().list_containers(quick(message)).await?.into_inner().containers)
    }

    async fn container_status(&self, id: &str) -> Answer<ContainerStatus> {
        let message = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let answer = self.runtime().container_status(quick(message)).await?.into_inner();
        answer.status.ok_or_else(|| missing("a container status"))
    }

    async fn reopen_log(&self, id: &str) -> Answer<()> {
        let message = ReopenContainerLogRequest { container_id: id.to_owned() };
        Ok(self.runtime().reopen_container_log(quick(message)).await.map(drop)?)
    }

    async fn stats(&self) -> Answer<Vec<ContainerStats>> {
        let message = ListContainerStatsRequest { filter: None };
        Ok(self.runtime().list_container_stats(quick(message)).await?.into_inner().stats)
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout_s: i64) -> Answer<ExecSyncResponse> {
        let message =
            ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout: timeout_s };
        let mut request = tonic::Request::new(message);
        if timeout_s > 0 {
            request.set_timeout(Duration::from_secs(timeout_s.unsigned_abs()) + CALL_TIMEOUT);
        }
        Ok(self.runtime().exec_sync(request).await?.into_inner())
    }

    async fn exec(&self, request: ExecRequest) -> Answer<String> {
        Ok(self.runtime().exec(quick(request)).await?.into_inner().url)
    }

    async fn attach(&self, request: AttachRequest) -> Answer<String> {
        Ok(self.runtime().attach(quick(request)).await?.into_inner().url)
    }

    async fn port_forward(&self, request: PortForwardRequest) -> Answer<String> {
        Ok(self.runtime().port_forward(quick(request)).await?.into_inner().url)
    }

    async fn image(&self, image: &str) -> Answer<Option<Image>> {
        let message = ImageStatusRequest { image: Some(spec(image)), verbose: false };
        Ok(self.images_client().image_status(quick(message)).await?.into_inner().image)
    }

    async fn pull(&self, image: &str, auth: Option<AuthConfig>, sandbox: PodSandboxConfig) -> Answer<String> {
        let message = PullImageRequest { image: Some(spec(image)), auth, sandbox_config: Some(sandbox) };
        Ok(self.images_client().pull_image(tonic::Request::new(message)).await?.into_inner().image_ref)
    }

    async fn images(&self) -> Answer<Vec<Image>> {
        Ok(self
            .images_client()
            .list_images(quick(ListImagesRequest { filter: None }))
            .await?
            .into_inner()
            .images)
    }

    async fn image_filesystem(&self) -> Answer<Option<FilesystemUsage>> {
        let answer = self.images_client().image_fs_info(quick(ImageFsInfoRequest {})).await?.into_inner();
        Ok(answer.image_filesystems.into_iter().next())
    }
}
