//! `/certificates`: made by a policy or imported, each with its key and secret. Requests that wait are in `pending`.

use http::{Method, StatusCode};
use kit::http::Response;
use serde_json::Value;

use super::asked::Asked;
use super::kind::{CREATE_CERTIFICATE, Deed, IMPORT_CERTIFICATE, Kind};
use super::model::{Content, Head, Pending, Version, bundle, new_id, policy as shown_policy, read_tags};
use super::objects::{self, ok};
use super::store::Changes;
use super::{DataPlane, Failure, keys, pending};
use crate::certificates::{self, Chain};
use crate::crypto::Material;

/// Everything below `/certificates`.
pub(super) async fn answer(plane: &DataPlane, asked: &Asked, words: &[&str]) -> Result<Response, Failure> {
    match (&asked.method, words) {
        (&Method::GET, []) => objects::list(plane, asked, Kind::Certificate),
        (&Method::POST, ["restore"]) => objects::restore(plane, asked, Kind::Certificate).await,
        (method, [what @ ("issuers" | "contacts"), ..]) => {
            Err(Failure::not_implemented(&format!("{method} /certificates/{what}")))
        }
        (&Method::POST, [name, "create"]) => create(plane, asked, name).await,
        (&Method::POST, [name, "import"]) => import(plane, asked, name).await,
        (&Method::DELETE, [name]) => objects::delete(plane, asked, Kind::Certificate, name).await,
        (&Method::POST, [name, "backup"]) => objects::backup(plane, asked, Kind::Certificate, name),
        (&Method::GET, [name, "versions"]) => objects::versions(plane, asked, Kind::Certificate, name),
        (&Method::GET, [name, "policy"]) => policy(plane, asked, name),
        (&Method::PATCH, [name, "policy"]) => set_policy(plane, asked, name).await,
        (_, [name, "pending", rest @ ..]) => pending::answer(plane, asked, name, rest).await,
        (&Method::GET, [name]) => get(plane, asked, name, None),
        (&Method::GET, [name, version]) => get(plane, asked, name, Some(version)),
        (&Method::PATCH, [name]) => update(plane, asked, name, None).await,
        (&Method::PATCH, [name, version]) => update(plane, asked, name, Some(version)).await,
        _ => Err(asked.no_such_operation()),
    }
}

fn get(plane: &DataPlane, asked: &Asked, name: &str, version: Option<&str>) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Certificate.right(Deed::Get), Some(name))?;
    let (head, found) = plane.find(asked, Kind::Certificate, name, version)?;
    Ok(ok(&bundle(&asked.vault, Kind::Certificate, &head, &found)))
}

/// A certificate that is about to be stored with its twins.
pub(super) struct Fresh<'a> {
    pub(super) chain: Chain,
    pub(super) material: Material,
    /// Where attributes and tags are.
    pub(super) body: &'a Value,
}

impl DataPlane {
    /// Stores a certificate's new version with its key and secret, in one step.
    pub(super) async fn store_certificate(
        &self,
        asked: &Asked,
        mut head: Head,
        fresh: Fresh<'_>,
        mut changes: Changes,
    ) -> Result<(Head, Version), Failure> {
        let (now, id) = (self.now(), new_id());
        let facts = fresh.chain.facts()?;
        let dated = |version: &mut Version| -> Result<(), Failure> {
            version.take(fresh.body)?;
            version.not_before = Some(facts.not_before);
            version.expires = Some(facts.not_after);
            Ok(())
        };
        let content_type = certificates::secret_type(&head.policy).to_owned();
        let exportable = certificates::exportable(&head.policy);
        let value = certificates::write(&content_type, &fresh.chain, &fresh.material, exportable)?;
        let twins = [
            (Kind::Key, Content::Key(fresh.material)),
            (Kind::Secret, Content::Secret { value, content_type: Some(content_type) }),
        ];
        for (kind, content) in twins {
            let mut twin = self.twin(asked, &mut changes, kind, &head.name)?;
            let mut version = twin.next(&id, now, content);
            dated(&mut version)?;
            self.store.put_version(&mut changes, &asked.vault, kind, &twin.name, &version)?;
            self.store.put_head(&mut changes, &asked.vault, kind, &twin)?;
        }
        let mut version = head.next(&id, now, Content::Certificate(fresh.chain));
        dated(&mut version)?;
        self.write(asked, Kind::Certificate, &head, &version, changes).await?;
        Ok((head, version))
    }

    /// The head of a certificate's key or secret; refuses a name that a key or secret of its own has.
    fn twin(&self, asked: &Asked, changes: &mut Changes, kind: Kind, name: &str) -> Result<Head, Failure> {
        match self.head(asked, kind, name)? {
            Some(head) if head.deleted.is_some() => Err(Failure::recoverable(kind, name)),
            Some(head) if !head.managed => Err(Failure::conflict(format!(
                "A {} with the name {name} already exists, so no certificate can have it.",
                kind.noun()
            ))),
            Some(head) => Ok(head),
            None => {
                self.store.forget(changes, &asked.vault, kind, name)?;
                Ok(Head { managed: true, ..Head::new(name) })
            }
        }
    }

    /// The head to make a certificate under, and a check of its twins' names.
    fn certificate_head(&self, asked: &Asked, changes: &mut Changes, name: &str) -> Result<Head, Failure> {
        let head = self.head_to_write(asked, changes, Kind::Certificate, name)?;
        for kind in [Kind::Key, Kind::Secret] {
            self.twin(asked, &mut Changes::default(), kind, name)?;
        }
        Ok(head)
    }

    /// The key for a new version: a new one, or the last one where the policy says so.
    async fn certificate_key(&self, asked: &Asked, head: &Head, policy: &Value) -> Result<Material, Failure> {
        let wish = certificates::key_wish(policy)?;
        if certificates::reuses_key(policy)
            && let Some(last) = self.store.version(&asked.vault, Kind::Key, &head.name, &head.current)?
            && let Content::Key(material) = last.content
            && material.shape == wish.shape
        {
            return Ok(material);
        }
        keys::generate(wish).await
    }
}

async fn create(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, CREATE_CERTIFICATE, Some(name))?;
    let before = plane.certificate_head(asked, &mut Changes::default(), name)?;
    let now = plane.now();
    let policy = match asked.body.get("policy").filter(|policy| !policy.is_null()) {
        Some(given) => certificates::normal(given, &before.policy, now)?,
        None if before.policy.is_object() => before.policy.clone(),
        None => return Err(Failure::bad("The property 'policy' is required for a new certificate.")),
    };
    let issuer = certificates::issuer(&policy).to_owned();
    if !matches!(issuer.as_str(), "Self" | "Unknown") {
        return Err(Failure::not_implemented(&format!("The certificate issuer '{issuer}'")));
    }
    let material = plane.certificate_key(asked, &before, &policy).await?;
    let csr = certificates::request(&policy, &material)?;
    let _turn = plane.store.turn().await;
    let mut changes = Changes::default();
    let mut head = plane.certificate_head(asked, &mut changes, name)?;
    if head.pending.as_ref().is_some_and(|pending| pending.status == "inProgress") {
        return Err(Failure::conflict(format!(
            "A new key vault certificate can not be created or imported while a pending key vault certificate's status is inProgress: {name}."
        )));
    }
    let mut pending = Pending::new(&issuer, &csr, read_tags(&asked.body)?);
    head.policy = policy;
    if issuer == "Self" {
        let der = certificates::self_signed(&head.policy, &material, now)?;
        let chain = Chain::for_key(vec![der], &material)?;
        "completed".clone_into(&mut pending.status);
        head.pending = Some(pending);
        let fresh = Fresh { chain, material, body: &asked.body };
        head = plane.store_certificate(asked, head, fresh, changes).await?.0;
    } else {
        pending.material = Some(material);
        head.pending = Some(pending);
        plane.store.put_head(&mut changes, &asked.vault, Kind::Certificate, &head)?;
        plane.store.write(changes).await?;
    }
    pending::accepted(asked, &head)
}

async fn import(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, IMPORT_CERTIFICATE, Some(name))?;
    let value = asked.text("value").ok_or_else(|| Failure::bad("The property 'value' is required."))?;
    let (value, password) = (value.to_owned(), asked.text("pwd").unwrap_or_default().to_owned());
    let read = tokio::task::spawn_blocking(move || certificates::read(&value, &password)).await;
    let (chain, material, content_type) = read.map_err(|_| Failure::internal())??;
    let given = asked.body.get("policy").unwrap_or(&Value::Null);
    let policy = certificates::derived(given, &chain, &material, content_type, plane.now())?;
    let _turn = plane.store.turn().await;
    let mut changes = Changes::default();
    let mut head = plane.certificate_head(asked, &mut changes, name)?;
    head.policy = policy;
    let fresh = Fresh { chain, material, body: &asked.body };
    let (head, version) = plane.store_certificate(asked, head, fresh, changes).await?;
    Ok(kit::http::json(StatusCode::OK, &bundle(&asked.vault, Kind::Certificate, &head, &version)))
}

fn policy(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Certificate.right(Deed::Get), Some(name))?;
    let head = pending::known(plane, asked, name)?;
    Ok(ok(&shown_policy(&asked.vault, &head)))
}

async fn set_policy(plane: &DataPlane, asked: &Asked, name: &str) -> Result<Response, Failure> {
    plane.authorize(asked, Kind::Certificate.right(Deed::Update), Some(name))?;
    let _turn = plane.store.turn().await;
    let mut head = pending::known(plane, asked, name)?;
    head.policy = certificates::merged(&head.policy, &asked.body, plane.now())?;
    let mut changes = Changes::default();
    plane.store.put_head(&mut changes, &asked.vault, Kind::Certificate, &head)?;
    plane.store.write(changes).await?;
    Ok(ok(&shown_policy(&asked.vault, &head)))
}

async fn update(
    plane: &DataPlane,
    asked: &Asked,
    name: &str,
    version: Option<&str>,
) -> Result<Response, Failure> {
    let now = plane.now();
    objects::update(plane, asked, Kind::Certificate, name, version, |head, _| {
        if let Some(given) = asked.body.get("policy").filter(|policy| !policy.is_null()) {
            head.policy = certificates::merged(&head.policy, given, now)?;
        }
        Ok(())
    })
    .await
}
