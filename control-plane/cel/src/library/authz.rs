//! Asking the authorizer from an expression.

use std::sync::Arc;

use super::Style::Member;
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::{Opaque, Value, opaque};

/// Who decides; the caller of an evaluation gives one.
pub trait Authorizer: Send + Sync {
    /// Decides.
    fn authorize(&self, question: &Question<'_>) -> Decision;
}

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// A service account asked about in place of the user of the request, as namespace and name.
    pub service_account: Option<(&'q str, &'q str)>,
    /// The verb.
    pub verb: &'q str,
    /// What is asked for.
    pub check: &'q Check,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// A path that is no resource; then all else is empty.
    pub path: Option<String>,
    /// API group.
    pub group: String,
    /// Resource; `None` until it is said.
    pub resource: Option<String>,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Field selector, as it is written.
    pub field_selector: String,
    /// Label selector, as it is written.
    pub label_selector: String,
}

/// What was decided.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// It may be done.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// That it could not be decided.
    pub error: Option<String>,
}

/// The authorizer, and about whom it is asked.
#[derive(Clone)]
pub struct Authorization<'a> {
    authorizer: &'a dyn Authorizer,
    service_account: Option<(Arc<str>, Arc<str>)>,
}

impl std::fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization")
            .field("service_account", &self.service_account)
            .finish_non_exhaustive()
    }
}

impl Check {
    pub(crate) fn type_name(&self) -> &'static str {
        match (&self.path, &self.resource) {
            (Some(_), _) => opaque::PATH_CHECK,
            (None, None) => opaque::GROUP_CHECK,
            (None, Some(_)) => opaque::RESOURCE_CHECK,
        }
    }
}

impl<'a> Value<'a> {
    /// The variable `authorizer`.
    pub fn authorizer(authorizer: &'a dyn Authorizer) -> Self {
        Value::Opaque(Arc::new(Opaque::Authorizer(Authorization { authorizer, service_account: None })))
    }

    /// The variable `authorizer.requestResource`: a check whose parts are the request's.
    pub fn request_resource(authorizer: &'a dyn Authorizer, check: Check) -> Self {
        let check = Check { resource: Some(check.resource.unwrap_or_default()), ..check };
        Value::Opaque(Arc::new(Opaque::Check(Authorization { authorizer, service_account: None }, check)))
    }
}

const CHECK: Run = |_, args| match args {
    [Value::Opaque(opaque), Value::String(verb)] => match &**opaque {
        Opaque::Check(authorization, check) => {
            let service_account =
                authorization.service_account.as_ref().map(|(namespace, name)| (&**namespace, &**name));
            let question = Question { service_account, verb: verb.as_str(), check };
            let decision = authorization.authorizer.authorize(&question);
            Ok(Value::Opaque(Arc::new(Opaque::Decision(decision))))
        }
        _ => Err(EvalError::no_overload()),
    },
    _ => Err(EvalError::no_overload()),
};

pub(super) const BUILDERS: &[Row] = &[
    Row("path", "authorizer_path", Member, "authorizer, string -> pathcheck", |_, args| {
        begin(args, |path| Check { path: Some(path), ..Check::default() })
    }),
    Row("group", "authorizer_group", Member, "authorizer, string -> groupcheck", |_, args| {
        begin(args, |group| Check { group, ..Check::default() })
    }),
    Row(
        "serviceAccount",
        "authorizer_serviceaccount",
        Member,
        "authorizer, string, string -> authorizer",
        |_, args| match args {
            [Value::Opaque(opaque), Value::String(namespace), Value::String(name)] => match &**opaque {
                Opaque::Authorizer(authorization) => {
                    let service_account = Some((namespace.as_str().into(), name.as_str().into()));
                    let authorization =
                        Authorization { authorizer: authorization.authorizer, service_account };
                    Ok(Value::Opaque(Arc::new(Opaque::Authorizer(authorization))))
                }
                _ => Err(EvalError::no_overload()),
            },
            _ => Err(EvalError::no_overload()),
        },
    ),
    Row("resource", "groupcheck_resource", Member, "groupcheck, string -> resourcecheck", |_, args| {
        narrow(args, |check, resource| check.resource = Some(resource))
    }),
    Row(
        "subresource",
        "resourcecheck_subresource",
        Member,
        "resourcecheck, string -> resourcecheck",
        |_, args| narrow(args, |check, subresource| check.subresource = subresource),
    ),
    Row(
        "namespace",
        "resourcecheck_namespace",
        Member,
        "resourcecheck, string -> resourcecheck",
        |_, args| narrow(args, |check, namespace| check.namespace = namespace),
    ),
    Row("name", "resourcecheck_name", Member, "resourcecheck, string -> resourcecheck", |_, args| {
        narrow(args, |check, name| check.name = name)
    }),
    Row(
        "fieldSelector",
        "authorizer_fieldselector",
        Member,
        "resourcecheck, string -> resourcecheck",
        |_, args| narrow(args, |check, selector| check.field_selector = selector),
    ),
    Row(
        "labelSelector",
        "authorizer_labelselector",
        Member,
        "resourcecheck, string -> resourcecheck",
        |_, args| narrow(args, |check, selector| check.label_selector = selector),
    ),
];

pub(super) const ROWS: &[Row] = &[
    Row("check", "pathcheck_check", Member, "pathcheck, string -> decision", CHECK),
    Row("check", "resourcecheck_check", Member, "resourcecheck, string -> decision", CHECK),
    Row("allowed", "decision_allowed", Member, "decision -> bool", |_, args| {
        decided(args, |d| Value::Bool(d.allowed))
    }),
    Row("reason", "decision_reason", Member, "decision -> string", |_, args| {
        decided(args, |d| Value::text(d.reason.as_str()))
    }),
    Row("errored", "decision_errored", Member, "decision -> bool", |_, args| {
        decided(args, |d| Value::Bool(d.error.is_some()))
    }),
    Row("error", "decision_error", Member, "decision -> string", |_, args| {
        decided(args, |d| Value::text(d.error.clone().unwrap_or_default()))
    }),
];

fn begin<'a>(args: &[Value<'a>], made: impl Fn(String) -> Check) -> Given<'a> {
    match args {
        [Value::Opaque(opaque), Value::String(text)] => match &**opaque {
            Opaque::Authorizer(authorization) => {
                let check = made(text.as_str().to_owned());
                Ok(Value::Opaque(Arc::new(Opaque::Check(authorization.clone(), check))))
            }
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}

fn narrow<'a>(args: &[Value<'a>], change: impl Fn(&mut Check, String)) -> Given<'a> {
    match args {
        [Value::Opaque(opaque), Value::String(text)] => match &**opaque {
            Opaque::Check(authorization, check) => {
                let mut check = check.clone();
                change(&mut check, text.as_str().to_owned());
                Ok(Value::Opaque(Arc::new(Opaque::Check(authorization.clone(), check))))
            }
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}

fn decided<'a>(args: &[Value<'a>], part: impl Fn(&Decision) -> Value<'a>) -> Given<'a> {
    match args {
        [Value::Opaque(opaque)] => match &**opaque {
            Opaque::Decision(decision) => Ok(part(decision)),
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}
