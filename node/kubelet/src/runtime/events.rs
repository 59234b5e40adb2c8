//! containerd's own event stream: CRI of containerd 1.6 has none, but the same socket serves
//! `containerd.services.events.v1.Events`, so nothing has to be listed again and again.

use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::{RuntimeError, RuntimeEvent};

#[derive(Clone, PartialEq, prost::Message)]
struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    topic: String,
    #[prost(message, optional, tag = "4")]
    event: Option<Any>,
}

/// The first fields of `TaskExit` and `TaskOOM`; an exec's exit has an `id` of its own.
#[derive(Clone, PartialEq, prost::Message)]
struct TaskEvent {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    id: String,
}

/// Subscribes to the ends of tasks in the `k8s.io` namespace.
pub(super) async fn subscribe(channel: Channel) -> Result<BoxStream<'static, RuntimeEvent>, RuntimeError> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| RuntimeError::new(tonic::Code::Unavailable, error.to_string()))?;
    let request = SubscribeRequest {
        filters: vec![
            r#"namespace==k8s.io,topic=="/tasks/exit""#.to_owned(),
            r#"namespace==k8s.io,topic=="/tasks/oom""#.to_owned(),
        ],
    };
    let path = PathAndQuery::from_static("/containerd.services.events.v1.Events/Subscribe");
    let codec: ProstCodec<SubscribeRequest, Envelope> = ProstCodec::default();
    let stream = grpc.server_streaming(tonic::Request::new(request), path, codec).await?.into_inner();
    Ok(stream
        .take_while(|item| std::future::ready(item.is_ok()))
        .filter_map(|item| std::future::ready(item.ok().and_then(event)))
        .boxed())
}

fn event(envelope: Envelope) -> Option<RuntimeEvent> {
    let task: TaskEvent = prost::Message::decode(envelope.event?.value.as_slice()).ok()?;
    let of_an_exec = !task.id.is_empty() && task.id != task.container_id;
    (!of_an_exec).then_some(RuntimeEvent { id: task.container_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn envelope(container: &str, id: &str) -> Envelope {
        let value = TaskEvent { container_id: container.into(), id: id.into() }.encode_to_vec();
        Envelope {
            namespace: "k8s.io".into(),
            topic: "/tasks/exit".into(),
            event: Some(Any { type_url: String::new(), value }),
        }
    }

    #[test]
    fn the_end_of_an_exec_is_no_event() {
        assert_eq!(event(envelope("c1", "c1")), Some(RuntimeEvent { id: "c1".into() }));
        assert_eq!(event(envelope("c1", "probe")), None);
    }
}
