//! X.509: making what a policy describes, and reading what somebody else made.

use std::str::FromStr;

use arm::json::{list, number, text};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, OtherNameValue, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
    PKCS_RSA_SHA256, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;
use time::OffsetDateTime;

use super::policy::KEY_USAGES;
use crate::crypto::{CryptoError, Material, Shape};

/// Certificates are valid a little before they are made: clocks differ.
const BACKDATE_S: i64 = 600;
/// A user principal name in an alternative name.
const UPN: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 3];

/// What a certificate says of itself.
pub(crate) struct Facts {
    pub(crate) subject: String,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    /// The public key's bits: PKCS #1 for RSA, the point for curves.
    pub(crate) public: Vec<u8>,
    /// As policies name them.
    pub(crate) usages: Vec<&'static str>,
    /// Object identifiers.
    pub(crate) extended_usages: Vec<String>,
}

/// Reads a DER certificate.
pub(crate) fn facts(der: &[u8]) -> Result<Facts, CryptoError> {
    let wrong = || CryptoError::refused("The certificate is not a valid X.509 certificate.");
    let (_, read) = x509_parser::parse_x509_certificate(der).map_err(|_| wrong())?;
    let flags = read.key_usage().map_err(|_| wrong())?.map_or(0, |usage| usage.value.flags);
    let usages = KEY_USAGES.iter().enumerate().filter(|(bit, _)| flags & (1 << bit) != 0);
    let mut extended_usages = Vec::new();
    if let Some(usage) = read.extended_key_usage().map_err(|_| wrong())? {
        let known = [
            (usage.value.server_auth, "1.3.6.1.5.5.7.3.1"),
            (usage.value.client_auth, "1.3.6.1.5.5.7.3.2"),
            (usage.value.code_signing, "1.3.6.1.5.5.7.3.3"),
            (usage.value.email_protection, "1.3.6.1.5.5.7.3.4"),
            (usage.value.time_stamping, "1.3.6.1.5.5.7.3.8"),
            (usage.value.ocsp_signing, "1.3.6.1.5.5.7.3.9"),
        ];
        extended_usages.extend(known.iter().filter(|(on, _)| *on).map(|(_, id)| (*id).to_owned()));
        extended_usages.extend(usage.value.other.iter().map(|id| id.to_id_string()));
    }
    Ok(Facts {
        subject: read.subject().to_string(),
        not_before: read.validity().not_before.timestamp(),
        not_after: read.validity().not_after.timestamp(),
        public: read.public_key().subject_public_key.data.to_vec(),
        usages: usages.map(|(_, name)| *name).collect(),
        extended_usages,
    })
}

fn algorithm(shape: Shape) -> Result<&'static SignatureAlgorithm, CryptoError> {
    match shape {
        Shape::Rsa(_) => Ok(&PKCS_RSA_SHA256),
        Shape::Ec(curve) => match curve.name() {
            "P-256" => Ok(&PKCS_ECDSA_P256_SHA256),
            "P-384" => Ok(&PKCS_ECDSA_P384_SHA384),
            "P-521" => Ok(&PKCS_ECDSA_P521_SHA512),
            other => {
                Err(CryptoError::refused(format!("A certificate cannot have a key on the curve {other}.")))
            }
        },
    }
}

fn key_pair(material: &Material) -> Result<KeyPair, CryptoError> {
    let der = PrivatePkcs8KeyDer::from(material.pkcs8()?);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm(material.shape)?).map_err(|_| CryptoError::Failed)
}

/// Splits `CN=a, O="b, c"` at the commas outside quotes.
fn relative_names(subject: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for letter in subject.chars() {
        match letter {
            _ if escaped => {
                part.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => part.push(letter),
        }
    }
    parts.push(part);
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn distinguished_name(subject: &str) -> Result<DistinguishedName, CryptoError> {
    let mut name = DistinguishedName::new();
    for part in relative_names(subject) {
        let wrong = || CryptoError::refused(format!("The subject '{subject}' is not a valid X.500 name."));
        let (kind, value) = part.split_once('=').ok_or_else(wrong)?;
        let kind = match kind.trim().to_ascii_uppercase().as_str() {
            "CN" => DnType::CommonName,
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            "C" => DnType::CountryName,
            "L" => DnType::LocalityName,
            "ST" | "S" => DnType::StateOrProvinceName,
            "DC" => DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]),
            "E" | "EMAILADDRESS" => DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]),
            "SERIALNUMBER" => DnType::CustomDnType(vec![2, 5, 4, 5]),
            _ => return Err(wrong()),
        };
        name.push(kind, value.trim());
    }
    Ok(name)
}

fn alternative_names(policy: &Value) -> Result<Vec<SanType>, CryptoError> {
    let mut names = Vec::new();
    let texts = |name: &str| -> Vec<String> {
        let found = list(policy, &format!("/x509_props/sans/{name}"));
        found.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let ia5 = |name: String| {
        Ia5String::from_str(&name)
            .map_err(|_| CryptoError::refused(format!("The alternative name '{name}' is not plain ASCII.")))
    };
    for name in texts("dns_names") {
        names.push(SanType::DnsName(ia5(name)?));
    }
    for name in texts("emails") {
        names.push(SanType::Rfc822Name(ia5(name)?));
    }
    for name in texts("upns") {
        names.push(SanType::OtherName((UPN.to_vec(), OtherNameValue::Utf8String(name))));
    }
    Ok(names)
}

fn usage(name: &str) -> Option<KeyUsagePurpose> {
    Some(match name {
        "digitalSignature" => KeyUsagePurpose::DigitalSignature,
        "nonRepudiation" => KeyUsagePurpose::ContentCommitment,
        "keyEncipherment" => KeyUsagePurpose::KeyEncipherment,
        "dataEncipherment" => KeyUsagePurpose::DataEncipherment,
        "keyAgreement" => KeyUsagePurpose::KeyAgreement,
        "keyCertSign" => KeyUsagePurpose::KeyCertSign,
        "cRLSign" => KeyUsagePurpose::CrlSign,
        "encipherOnly" => KeyUsagePurpose::EncipherOnly,
        "decipherOnly" => KeyUsagePurpose::DecipherOnly,
        _ => return None,
    })
}

/// What both a certificate and a request for one say.
fn parameters(policy: &Value) -> Result<CertificateParams, CryptoError> {
    let subject = text(policy, "/x509_props/subject").unwrap_or_default();
    let mut made = CertificateParams::default();
    made.distinguished_name = distinguished_name(subject)?;
    made.subject_alt_names = alternative_names(policy)?;
    if subject.is_empty() && made.subject_alt_names.is_empty() {
        return Err(CryptoError::refused("A certificate needs a subject or an alternative name."));
    }
    made.key_usages =
        list(policy, "/x509_props/key_usage").iter().filter_map(|name| usage(name.as_str()?)).collect();
    for id in list(policy, "/x509_props/ekus") {
        let arcs: Option<Vec<u64>> =
            id.as_str().and_then(|id| id.split('.').map(|arc| arc.parse().ok()).collect());
        let arcs = arcs.filter(|arcs| arcs.len() > 2 && arcs[0] < 3 && arcs[1] < 40).ok_or_else(|| {
            CryptoError::refused(format!("The extended key usage {id} is not an object identifier."))
        })?;
        made.extended_key_usages.push(ExtendedKeyUsagePurpose::Other(arcs));
    }
    Ok(made)
}

/// A certificate by its own key, DER. `now` is in seconds since 1970.
pub(crate) fn self_signed(policy: &Value, material: &Material, now: i64) -> Result<Vec<u8>, CryptoError> {
    let mut made = parameters(policy)?;
    if arm::json::flag(policy, "/x509_props/basic_constraints/ca") {
        made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let months = number(policy, "/x509_props/validity_months").unwrap_or(12);
    let moment = |at: i64| OffsetDateTime::from_unix_timestamp(at).map_err(|_| CryptoError::Failed);
    made.not_before = moment(now - BACKDATE_S)?;
    made.not_after = moment(months_later(now, months)?)?;
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| CryptoError::Failed)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    made.serial_number = Some(SerialNumber::from(serial.to_vec()));
    let signed = made.self_signed(&key_pair(material)?).map_err(refused)?;
    Ok(signed.der().to_vec())
}

/// A request for somebody else to sign, DER.
pub(crate) fn request(policy: &Value, material: &Material) -> Result<Vec<u8>, CryptoError> {
    let made = parameters(policy)?.serialize_request(&key_pair(material)?).map_err(refused)?;
    Ok(made.der().to_vec())
}

fn refused(error: rcgen::Error) -> CryptoError {
    CryptoError::refused(format!("The policy describes no certificate that can be made: {error}."))
}

fn months_later(now: i64, months: i64) -> Result<i64, CryptoError> {
    use jiff::ToSpan;
    let begin = jiff::Timestamp::from_second(now).map_err(|_| CryptoError::Failed)?;
    let end = begin.to_zoned(jiff::tz::TimeZone::UTC).checked_add(months.months());
    end.map(|end| end.timestamp().as_second()).map_err(|_| CryptoError::Failed)
}
