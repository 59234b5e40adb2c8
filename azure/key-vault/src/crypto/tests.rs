//! Keys against themselves, and against vectors of others.

use super::*;

fn made(shape: Shape) -> Material {
    Material::generate(&Wish { shape, hsm: false, operations: None }).unwrap()
}

fn sha(bits: usize) -> Vec<u8> {
    let kind = match bits {
        256 => &aws_lc_rs::digest::SHA256,
        384 => &aws_lc_rs::digest::SHA384,
        _ => &aws_lc_rs::digest::SHA512,
    };
    aws_lc_rs::digest::digest(kind, b"message").as_ref().to_vec()
}

#[test]
fn rsa_encrypts_and_signs_with_every_algorithm() {
    let key = made(Shape::Rsa(2048));
    for algorithm in rsa::ENCRYPTION {
        let sealed = key.encrypt(algorithm, b"plain").unwrap();
        assert_eq!(key.decrypt(algorithm, &sealed).unwrap(), b"plain", "{algorithm}");
        assert!(matches!(key.encrypt(algorithm, &[0; 300]), Err(CryptoError::Refused(_))), "{algorithm}");
    }
    for algorithm in rsa::SIGNATURES {
        let digest = sha(algorithm[2..].parse().unwrap());
        let mut signature = key.sign(algorithm, &digest).unwrap();
        assert!(key.verify(algorithm, &digest, &signature).unwrap(), "{algorithm}");
        signature[7] ^= 1;
        assert!(!key.verify(algorithm, &digest, &signature).unwrap(), "{algorithm}");
    }
    let short = key.sign("RS256", b"short").unwrap_err().to_string();
    assert_eq!(short, "Invalid length of 'value': 5 bytes. RS256 requires 32 bytes, encoded with base64url.");
    assert!(key.sign("ES256", &sha(256)).unwrap_err().to_string().contains("incompatible"));
    assert!(key.sign("XS1", &sha(256)).unwrap_err().to_string().contains("not supported"));
}

#[test]
fn curves_sign_with_their_algorithm_only() {
    for curve in Curve::ALL {
        let key = made(Shape::Ec(curve));
        let bits = match curve {
            Curve::P256 | Curve::P256K => 256,
            Curve::P384 => 384,
            Curve::P521 => 512,
        };
        let signature = key.sign(curve.algorithm(), &sha(bits)).unwrap();
        assert_eq!(signature.len() % 2, 0);
        assert!(key.verify(curve.algorithm(), &sha(bits), &signature).unwrap(), "{curve:?}");
        assert!(matches!(key.sign("RS256", &sha(256)), Err(CryptoError::Refused(_))));
        assert!(matches!(key.encrypt("RSA-OAEP", b"x"), Err(CryptoError::Refused(_))));
        assert_eq!(key.jwk()["crv"], curve.name());
        let again = Material::read(&key.pkcs8().unwrap()).unwrap();
        assert_eq!(again.shape, key.shape);
    }
}

/// RFC 7515, appendix A.3: a key of others.
#[test]
fn a_jwk_of_others_is_imported_and_shown_again() {
    let jwk = json!({"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"});
    let key = Material::import(&jwk).unwrap();
    assert_eq!(key.jwk()["x"], jwk["x"]);
    assert_eq!(key.jwk()["y"], jwk["y"]);
    let mut wrong = jwk.clone();
    wrong["x"] = jwk["y"].clone();
    assert!(matches!(Material::import(&wrong), Err(CryptoError::Refused(_))));
    wrong["crv"] = json!("P-1");
    assert!(Material::import(&wrong).err().unwrap().to_string().contains("P-1"));
    for kty in ["oct", "OKP", ""] {
        assert!(matches!(Material::import(&json!({"kty": kty})), Err(CryptoError::Refused(_))), "{kty}");
    }
    assert!(Material::import(&json!({"kty": "RSA", "n": "!"})).is_err());
}
