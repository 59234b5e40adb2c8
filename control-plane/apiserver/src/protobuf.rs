//! Objects in Kubernetes' binary form, which kubectl and Go clients send for built-in kinds, at this server's edge.
//!
//! The form itself is the object model's ([`api_model::protobuf`]); here its errors become answers.

use api_model::Model;
use api_model::protobuf::ProtobufError;
use serde_json::Value;

use crate::ApiError;

/// The content type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The object of a body.
///
/// # Errors
/// When it is not in this form (400), or its kind is not known here (415).
pub fn decode(model: &Model, bytes: &[u8]) -> Result<Value, ApiError> {
    api_model::protobuf::decode(model, bytes).map_err(|error| match error {
        ProtobufError::Unknown { .. } => ApiError::unsupported_media_type(crate::handlers::body::ACCEPTED),
        error => ApiError::bad_request(format!("the body of the request cannot be read: {error}")),
    })
}
