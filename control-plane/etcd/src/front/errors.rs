//! etcd's errors: its codes and words, which its clients compare.

use store::StoreError;
use tonic::{Code, Status};

/// An error of an answer, made from what the store says.
#[derive(Debug)]
pub struct Fault(pub Status);

macro_rules! faults {
    ($($name:ident $code:ident $text:literal;)*) => {
        impl Fault {
            $(pub fn $name() -> Self {
                Self(Status::new(Code::$code, concat!("etcdserver: ", $text)))
            })*
        }
    };
}

faults! {
    empty_key InvalidArgument "key is not provided";
    key_not_found InvalidArgument "key not found";
    value_provided InvalidArgument "value is provided";
    lease_provided InvalidArgument "lease is provided";
    too_many_ops InvalidArgument "too many operations in txn request";
    duplicate_key InvalidArgument "duplicate key given in txn request";
    invalid_sort InvalidArgument "invalid sort option";
    request_too_large InvalidArgument "request is too large";
    compacted OutOfRange "mvcc: required revision has been compacted";
    future_revision OutOfRange "mvcc: required revision is a future revision";
    lease_not_found NotFound "requested lease not found";
    lease_exists FailedPrecondition "lease already exists";
    lease_ttl_too_large OutOfRange "too large lease TTL";
    no_space ResourceExhausted "mvcc: database space exceeded";
    stopped Unavailable "server stopped";
    not_capable Unimplemented "not capable";
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Compacted { .. } => Self::compacted(),
            StoreError::Future { .. } => Self::future_revision(),
            StoreError::LeaseNotFound(_) => Self::lease_not_found(),
            StoreError::LeaseExists(_) => Self::lease_exists(),
            StoreError::DuplicateKey(_) => Self::duplicate_key(),
            StoreError::Closed => Self::stopped(),
            // As etcd refuses writes while an alarm stands.
            StoreError::Poisoned => Self::no_space(),
            other => {
                tracing::error!(error = %kit::Chain(other), "the store failed");
                Self(Status::internal("etcdserver: the store failed"))
            }
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}
