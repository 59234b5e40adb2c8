//! Keys: what others do with the public half must fit what the vault does with the private one.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use http::Method;
use serde_json::{Value, json};

use crate::world::World;

fn bytes(value: &Value) -> Vec<u8> {
    B64.decode(value.as_str().unwrap()).unwrap()
}

async fn operate(world: &World, path: &str, body: Value) -> Value {
    world.data(Method::POST, path, body).await.ok()
}

#[tokio::test]
async fn an_rsa_key_signs_for_and_decrypts_from_others() {
    let world = World::with_vault().await;
    let made = operate(&world, "/keys/k/create", json!({"kty": "RSA", "key_size": 3072})).await;
    let key = &made["key"];
    assert_eq!((key["kty"].clone(), key["e"].clone()), (json!("RSA"), json!("AQAB")));
    assert_eq!(key["key_ops"], json!(["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]));
    assert!(key.get("d").is_none() && key.get("p").is_none());
    let public = RsaPublicKeyComponents { n: bytes(&key["n"]), e: bytes(&key["e"]) };
    assert_eq!(public.n.len(), 384);

    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"message");
    let signed =
        operate(&world, "/keys/k/sign", json!({"alg": "RS256", "value": B64.encode(digest.as_ref())})).await;
    assert_eq!(signed["kid"], key["kid"]);
    public.verify(&RSA_PKCS1_2048_8192_SHA256, b"message", &bytes(&signed["value"])).unwrap();
    let kid = key["kid"].as_str().unwrap().trim_start_matches("https://kv1.vault.azure.net");
    let body = json!({"alg": "RS256", "digest": B64.encode(digest.as_ref()), "value": signed["value"]});
    assert_eq!(operate(&world, &format!("{kid}/verify"), body).await, json!({"value": true}));

    use aws_lc_rs::encoding::AsDer;
    let der = public.as_der().unwrap();
    let outside = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(der.as_ref()).unwrap()).unwrap();
    let mut sealed = vec![0; outside.key_size_bytes()];
    let sealed = outside.encrypt(&OAEP_SHA256_MGF1SHA256, b"for you", &mut sealed, None).unwrap();
    for operation in ["decrypt", "unwrapkey"] {
        let body = json!({"alg": "RSA-OAEP-256", "value": B64.encode(&*sealed)});
        let opened = operate(&world, &format!("/keys/k/{operation}"), body).await;
        assert_eq!(bytes(&opened["value"]), b"for you");
    }
    let wrong = json!({"alg": "RSA-OAEP", "value": B64.encode(&*sealed)});
    assert_eq!(world.data(Method::POST, "/keys/k/decrypt", wrong).await.code(), "BadParameter");
}

#[tokio::test]
async fn a_rotated_key_still_opens_what_its_old_version_sealed() {
    let world = World::with_vault().await;
    operate(&world, "/keys/k/create", json!({"kty": "RSA", "tags": {"a": "b"}})).await;
    let sealed = operate(&world, "/keys/k/wrapkey", json!({"alg": "RSA-OAEP", "value": "aGk"})).await;
    let rotated = operate(&world, "/keys/k/rotate", Value::Null).await;
    assert_ne!(rotated["key"]["kid"], sealed["kid"]);
    assert_eq!(rotated["tags"], json!({"a": "b"}));
    let body = json!({"alg": "RSA-OAEP", "value": sealed["value"]});
    assert_eq!(world.data(Method::POST, "/keys/k/unwrapkey", body.clone()).await.status, 400);
    let old = sealed["kid"].as_str().unwrap().trim_start_matches("https://kv1.vault.azure.net");
    assert_eq!(operate(&world, &format!("{old}/unwrapkey"), body).await["value"], "aGk");
}

#[tokio::test]
async fn a_key_on_a_curve_signs_for_others() {
    let world = World::with_vault().await;
    let made = operate(&world, "/keys/e/create", json!({"kty": "EC", "crv": "P-384"})).await;
    let point = [vec![4], bytes(&made["key"]["x"]), bytes(&made["key"]["y"])].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, b"message");
    let body = json!({"alg": "ES384", "value": B64.encode(digest.as_ref())});
    let signed = operate(&world, "/keys/e/sign", body).await;
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
        .verify(b"message", &bytes(&signed["value"]))
        .unwrap();
}

#[tokio::test]
async fn attributes_and_operations_limit_a_key() {
    let world = World::with_vault().await;
    let now = 1_780_272_000;
    let sign = json!({"alg": "ES256", "value": B64.encode([7; 32])});
    for (name, body, operation, inner) in [
        ("off", json!({"attributes": {"enabled": false}}), "verify", "KeyDisabled"),
        ("early", json!({"attributes": {"nbf": now + 9}}), "sign", "KeyNotYetValid"),
        ("late", json!({"attributes": {"exp": now - 9}}), "sign", "KeyExpired"),
        ("less", json!({"key_ops": ["verify"]}), "sign", "KeyOperationForbidden"),
    ] {
        let mut body = body;
        body["kty"] = json!("EC");
        operate(&world, &format!("/keys/{name}/create"), body).await;
        let reply = world.data(Method::POST, &format!("/keys/{name}/{operation}"), sign.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.inner()), (403, inner), "{name} {}", reply.body);
    }
    let verify = json!({"alg": "ES256", "digest": B64.encode([7; 32]), "value": B64.encode([1; 64])});
    assert_eq!(operate(&world, "/keys/late/verify", verify).await["value"], false);
    let patch = json!({"key_ops": ["sign"]});
    assert_eq!(world.data(Method::PATCH, "/keys/less", patch).await.ok()["key"]["key_ops"], json!(["sign"]));
    operate(&world, "/keys/less/sign", sign).await;
}

#[tokio::test]
async fn keys_that_cannot_be_are_refused() {
    let world = World::with_vault().await;
    for (path, body, status) in [
        ("/keys/k/create", json!({}), 400),
        ("/keys/k/create", json!({"kty": "oct"}), 400),
        ("/keys/k/create", json!({"kty": "RSA-HSM"}), 400),
        ("/keys/k/create", json!({"kty": "RSA", "key_size": 1024}), 400),
        ("/keys/k/create", json!({"kty": "EC", "crv": "P-1"}), 400),
        ("/keys/k/create", json!({"kty": "EC", "key_ops": ["encrypt"]}), 400),
        ("/keys/none/sign", json!({"alg": "ES256", "value": "AA"}), 404),
        ("/keys/none/fly", json!({}), 405),
        ("/keys/none/release", json!({}), 501),
    ] {
        let reply = world.data(Method::POST, path, body).await;
        assert_eq!(reply.status, status, "{path} {}", reply.body);
    }
    operate(&world, "/keys/k/create", json!({"kty": "EC"})).await;
    for body in [
        json!({}),
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "value": "%"}),
        json!({"alg": "ES256", "value": "AA"}),
        json!({"alg": "RS256", "value": "AA"}),
    ] {
        assert_eq!(
            world.data(Method::POST, "/keys/k/sign", body.clone()).await.code(),
            "BadParameter",
            "{body}"
        );
    }
    let rotate =
        json!({"lifetimeActions": [{"action": {"type": "Rotate"}, "trigger": {"timeAfterCreate": "P90D"}}]});
    assert_eq!(world.data(Method::PUT, "/keys/k/rotationpolicy", rotate).await.status, 501);
    let imported = json!({"key": {"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}});
    let made = world.data(Method::PUT, "/keys/imported", imported).await.ok();
    assert_eq!(made["key"]["x"], "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
}
