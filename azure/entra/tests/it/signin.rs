//! Discovery, trusts in foreign issuers, and what is on disk.

use std::sync::Arc;

use async_trait::async_trait;
use entra::{Federation, IssuerKeys, NoIssuers, VerifyError};
use http::Method;
use jsonwebtoken::jwk::JwkSet;

use crate::bench::{ARM, Bench};

#[tokio::test]
async fn a_token_is_valid_until_it_expires_and_only_for_its_audience() {
    let bench = Bench::new(Arc::new(NoIssuers)).await;
    let identity = bench.entra.managed_identity_create("/subscriptions/s/x").await.unwrap();
    assert_eq!(
        bench.entra.managed_identity_create("/SUBSCRIPTIONS/s/X").await.unwrap().principal_id,
        identity.principal_id
    );
    let token = bench.entra.managed_identity_token(&identity.principal_id, ARM).unwrap();
    let audiences = ["https://management.azure.com".to_owned()];
    let claims = bench.entra.verify(&token.access_token, &audiences).unwrap();
    assert_eq!((claims.oid, claims.is_app), (identity.principal_id, true));
    assert_eq!(claims.all["xms_mirid"], "/subscriptions/s/x");
    let wrong = bench.entra.verify(&token.access_token, &["https://vault.azure.net".to_owned()]);
    assert!(matches!(wrong, Err(VerifyError::Audience { .. })));
    bench.clock.set("2026-11-25T12:00:00Z".parse().unwrap());
    let late = bench.entra.verify(&token.access_token, &audiences).unwrap_err();
    assert_eq!(late, VerifyError::Expired { at: "2026-11-24T12:00:00Z".to_owned() });
    let other = Bench::new(Arc::new(NoIssuers)).await;
    assert!(matches!(other.entra.verify(&token.access_token, &audiences), Err(VerifyError::Issuer { .. })));
}

#[tokio::test]
async fn discovery_speaks_by_the_name_it_was_called() {
    let bench = Bench::new(Arc::new(NoIssuers)).await;
    let tenant = bench.entra.tenant_id();
    let (_, v2) =
        bench.call(Method::GET, &format!("/{tenant}/v2.0/.well-known/openid-configuration"), &[]).await;
    assert_eq!(v2["token_endpoint"], format!("https://localhost:8443/{tenant}/oauth2/v2.0/token"));
    let (_, v1) = bench.call(Method::GET, &format!("/{tenant}/.well-known/openid-configuration"), &[]).await;
    assert_eq!(v1["issuer"], format!("https://sts.windows.net/{tenant}/"));
    let (_, keys) = bench.call(Method::GET, "/common/discovery/v2.0/keys", &[]).await;
    assert_eq!(keys["keys"][0]["kty"], "RSA");
    assert!(keys["keys"][0].get("d").is_none());
    let (status, body) =
        bench.call(Method::GET, "/elsewhere/v2.0/.well-known/openid-configuration", &[]).await;
    assert_eq!((status.as_u16(), body["error_codes"][0].as_u64()), (400, Some(90_002)));
}

struct Foreign(String, JwkSet);

#[async_trait]
impl IssuerKeys for Foreign {
    async fn keys(&self, issuer: &str) -> Option<JwkSet> {
        (issuer == self.0).then(|| self.1.clone())
    }
}

#[tokio::test]
async fn a_managed_identity_trusts_tokens_of_another_issuer() {
    let foreign = Bench::new(Arc::new(NoIssuers)).await;
    let pod = foreign.entra.managed_identity_create("/pod").await.unwrap();
    let assertion = foreign.entra.managed_identity_token(&pod.principal_id, ARM).unwrap().access_token;
    let (_, keys) = foreign.call(Method::GET, "/common/discovery/v2.0/keys", &[]).await;
    let keys: JwkSet = serde_json::from_value(keys).unwrap();

    let bench = Bench::new(Arc::new(Foreign(foreign.entra.issuer(), keys))).await;
    let identity = bench.entra.managed_identity_create("/identity").await.unwrap();
    let trust = |subject: &str| Federation {
        name: "pod".to_owned(),
        issuer: foreign.entra.issuer(),
        subject: subject.to_owned(),
        audiences: vec![ARM.to_owned()],
    };
    let path = format!("/{}/oauth2/v2.0/token", bench.entra.tenant_id());
    let form = |assertion: &str| {
        [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", identity.client_id.clone()),
            ("scope", "https://management.azure.com/.default".to_owned()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", assertion.to_owned()),
        ]
    };
    let ask = async |assertion: &str| {
        let fields = form(assertion);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let (status, body) = bench.call(Method::POST, &path, &fields).await;
        (status.as_u16(), body["error_codes"][0].as_u64())
    };
    assert_eq!(ask(&assertion).await, (401, Some(700_211)));
    bench.entra.managed_identity_federate("/identity", trust("somebody else")).await.unwrap();
    assert_eq!(ask(&assertion).await, (401, Some(700_213)));
    bench.entra.managed_identity_federate("/identity", trust(&pod.principal_id)).await.unwrap();
    assert_eq!(ask(&assertion).await, (200, None));
    let mut forged = assertion.clone();
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    assert_eq!(ask(&forged).await, (401, Some(5_000_811)));
    bench.clock.set("2026-11-25T12:00:00Z".parse().unwrap());
    assert_eq!(ask(&assertion).await, (401, Some(700_024)));
    bench.clock.set("2026-11-23T12:00:00Z".parse().unwrap());
    bench.entra.managed_identity_unfederate("/identity", "pod").await.unwrap();
    assert_eq!(ask(&assertion).await, (401, Some(700_211)));
}

#[tokio::test]
async fn what_opens_doors_is_for_the_owner_only_and_not_on_disk_in_the_clear() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(Arc::new(NoIssuers)).await;
    let made = bench.entra.bootstrap("first").await.unwrap().unwrap();
    assert_eq!(
        bench.entra.client_with_secret(&made.app_id, &made.secret).as_deref(),
        Some(made.object_id.as_str())
    );
    assert_eq!(bench.entra.client_with_secret(&made.app_id, "wrong"), None);
    let path = bench.dir.path().join("entra.redb");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(path).unwrap();
    assert!(!bytes.windows(made.secret.len()).any(|w| w == made.secret.as_bytes()));
    let again = bench.entra.reset_bootstrap().await.unwrap();
    assert_eq!(bench.entra.client_with_secret(&made.app_id, &made.secret), None);
    assert!(bench.entra.client_with_secret(&made.app_id, &again.secret).is_some());
}
