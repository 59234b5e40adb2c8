//! Resource quantities as whole numbers: thousandths for CPU, units for the rest.
//!
//! Reads what the API stores (`250m`, `1.5`, `64Mi`, `2e3`); rounds up, as schedulers must.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The value in thousandths, rounded up; `None` when it is no quantity.
pub fn milli(text: &str) -> Option<i128> {
    scaled(text, 3)
}

/// The value in units, rounded up; `None` when it is no quantity.
pub fn units(text: &str) -> Option<i128> {
    scaled(text, 0)
}

fn pow10(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

fn scaled(text: &str, decimals: i32) -> Option<i128> {
    let text = text.trim();
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (binary, exponent) = match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1_i128 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        other => (1, other.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let negative = number.starts_with('-');
    let number = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let value = digits.parse::<i128>().ok()?.checked_mul(binary)?;
    let shift = exponent + decimals - i32::try_from(fraction.len()).ok()?;
    let magnitude = if shift >= 0 {
        value.checked_mul(pow10(shift.unsigned_abs())?)?
    } else {
        let by = pow10(shift.unsigned_abs())?;
        if negative { value / by } else { (value + by - 1) / by }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A value of a resource in its own whole unit: thousandths for CPU, units for all else.
pub fn of(resource: &str, quantity: &Quantity) -> i64 {
    let value = if resource == "cpu" { milli(&quantity.0) } else { units(&quantity.0) };
    i64::try_from(value.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// Reads a list of resources in whole units.
pub fn map(quantities: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<String, i64> {
    quantities.into_iter().flatten().map(|(name, q)| (name.clone(), of(name, q))).collect()
}

/// Writes thousandths in the canonical form: `2`, `250m`.
pub fn from_milli(value: i128) -> String {
    if value % 1000 == 0 { (value / 1000).to_string() } else { format!("{value}m") }
}

/// Writes bytes in the canonical binary form: `64Mi`, `1Gi`, `1500`.
pub fn from_bytes(value: i128) -> String {
    let mut value = value;
    for suffix in ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if value == 0 || value % 1024 != 0 || suffix == "Ei" {
            return format!("{value}{suffix}");
        }
        value /= 1024;
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_api_stores() {
        for (text, expected) in [
            ("1", 1000),
            ("250m", 250),
            ("1.5", 1500),
            ("0.0001", 1),
            ("100n", 1),
            ("2e3", 2_000_000),
            ("-1", -1000),
            ("1k", 1_000_000),
        ] {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
        assert_eq!(units("64Mi"), Some(64 << 20));
        assert_eq!(units("1.5Gi"), Some(3 << 29));
        assert_eq!(units("128974848000m"), Some(128_974_848));
        assert_eq!(units("much"), None);
        assert_eq!(from_milli(1500), "1500m");
        assert_eq!(from_bytes(64 << 20), "64Mi");
        assert_eq!(from_bytes(1000), "1000");
    }
}
