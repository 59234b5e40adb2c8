//! Kubernetes quantities as whole numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousandths, rounded up: `100m` is 100, `1Ki` is 1,024,000. What is no quantity is 0.
pub fn milli(quantity: &Quantity) -> i128 {
    parse(&quantity.0).unwrap_or(0)
}

/// Whole units, rounded up.
pub fn value(quantity: &Quantity) -> i64 {
    let milli = milli(quantity);
    i64::try_from(milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) != 0)).unwrap_or(i64::MAX)
}

fn parse(text: &str) -> Option<i128> {
    let text = text.trim();
    let split = text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .map_or(text.len(), |(index, _)| index);
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits = format!("{}{fraction}", whole.trim_start_matches(['-', '+']));
    let digits: i128 = if digits.is_empty() { return None } else { digits.parse().ok()? };
    // (numerator, denominator) of the suffix in thousandths
    let (up, down) = scale(suffix)?;
    let down = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(down)?;
    let scaled = digits.checked_mul(up)?;
    let rounded = scaled.div_euclid(down) + i128::from(scaled.rem_euclid(down) != 0);
    Some(if negative { -rounded } else { rounded })
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    let power = |exponent: u32| Some((1000 * 10i128.checked_pow(exponent)?, 1));
    match suffix {
        "" => Some((1000, 1)),
        "n" => Some((1, 1_000_000)),
        "u" => Some((1, 1000)),
        "m" => Some((1, 1)),
        "k" => power(3),
        "M" => power(6),
        "G" => power(9),
        "T" => power(12),
        "P" => power(15),
        "E" => power(18),
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => {
            let steps = "KMGTPE".find(&suffix[..1])?;
            Some((1000i128 << (10 * (steps + 1)), 1))
        }
        _ => power(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_round_up() {
        for (text, milli_expected, value_expected) in [
            ("100m", 100, 1),
            ("0.5", 500, 1),
            ("2", 2000, 2),
            ("1Ki", 1_024_000, 1024),
            ("1.5Gi", 1_610_612_736_000, 1_610_612_736),
            ("1e3", 1_000_000, 1000),
            ("5n", 1, 1),
            ("128M", 128_000_000_000, 128_000_000),
            ("rubbish", 0, 0),
        ] {
            let quantity = Quantity(text.into());
            assert_eq!((milli(&quantity), value(&quantity)), (milli_expected, value_expected), "{text}");
        }
    }
}
