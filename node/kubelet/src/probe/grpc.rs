//! `grpc.health.v1.Health/Check`.

use std::time::Duration;

use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

/// `Ok` when the service says that it serves, else what it said.
pub async fn check(host: &str, port: u16, service: &str, limit: Duration) -> Result<(), String> {
    let work = async {
        let address = format!("http://{host}:{port}");
        let endpoint = tonic::transport::Endpoint::from_shared(address).map_err(|error| error.to_string())?;
        let channel = endpoint.connect().await.map_err(|error| {
            format!("error: this port is not a gRPC service or does not answer: {}", kit::Chain(&error))
        })?;
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.map_err(|error| error.to_string())?;
        let codec: ProstCodec<HealthCheckRequest, HealthCheckResponse> = ProstCodec::default();
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
        let answer = grpc.unary(request, path, codec).await.map_err(|status| {
            format!(
                "error: health rpc failed: rpc error: code = {:?} desc = {}",
                status.code(),
                status.message()
            )
        })?;
        match answer.into_inner().status {
            SERVING => Ok(()),
            other => Err(format!("service unhealthy (responded with {other})")),
        }
    };
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(format!(
            "timeout: failed to connect service \"{host}:{port}\" within {limit:?}: context deadline exceeded"
        )),
    }
}
