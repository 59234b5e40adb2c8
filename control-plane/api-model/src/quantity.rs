//! Resource quantities (`100m`, `1Gi`, `2e3`): exact decimal numbers with a preferred notation.
//!
//! Parsing, comparing, adding and subtracting are exact for every value upstream accepts; what would not fit saturates. As upstream, anything
//! finer than a nano is rounded up.

use std::cmp::Ordering;
use std::fmt;

/// Notation a quantity is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `m`, `k`, `M`, ….
    Decimal,
    /// `Ki`, `Mi`, ….
    Binary,
    /// `e3`.
    Exponent,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form number and suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// A suffix nobody knows.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// A quantity, in billionths.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::Decimal };

    /// A whole number.
    pub fn from_int(value: i64) -> Self {
        Self { nano: i128::from(value) * NANO, format: Format::Decimal }
    }

    /// Thousandths, as processors are counted.
    pub fn from_milli(value: i64) -> Self {
        Self { nano: i128::from(value) * 1_000_000, format: Format::Decimal }
    }

    /// A number of bytes, shown with `Ki`, `Mi`, ….
    pub fn from_bytes(value: i64) -> Self {
        Self { nano: i128::from(value) * NANO, format: Format::Binary }
    }

    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, suffix) = rest.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Format);
        }
        let (format, scale) = scale(suffix)?;
        let nano = scaled(whole, fraction, scale);
        Ok(Self { nano: if negative { -nano } else { nano }, format })
    }

    /// Whether this is zero.
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// Below, at or above zero: -1, 0, 1.
    pub fn sign(&self) -> i32 {
        i32::from(self.nano > 0) - i32::from(self.nano < 0)
    }

    /// The sum, in the notation of this one (of the other when this is zero).
    #[must_use]
    pub fn add(&self, other: &Quantity) -> Quantity {
        let format = if self.nano == 0 { other.format } else { self.format };
        Quantity { nano: self.nano.saturating_add(other.nano), format }
    }

    /// The difference, in the notation of this one (of the other when this is zero).
    #[must_use]
    pub fn sub(&self, other: &Quantity) -> Quantity {
        let format = if self.nano == 0 { other.format } else { self.format };
        Quantity { nano: self.nano.saturating_sub(other.nano), format }
    }

    /// The whole number, rounded up.
    pub fn value(&self) -> i64 {
        clamp(div_up(self.nano, NANO))
    }

    /// Thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        clamp(div_up(self.nano, 1_000_000))
    }

    /// As a floating-point number; not exact.
    pub fn as_f64(&self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// The one text upstream writes for this quantity: no fraction, the largest suffix that keeps it exact.
    pub fn canonical(&self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        // Below 1024 and for fractions, binary quantities are written as decimal ones.
        let binary = self.format == Format::Binary && self.nano % NANO == 0 && self.nano.abs() >= 1024 * NANO;
        if binary {
            let (mut value, mut suffix) = (self.nano / NANO, "");
            for (name, _) in BINARY {
                if value % 1024 != 0 {
                    break;
                }
                (value, suffix) = (value / 1024, name);
            }
            return format!("{value}{suffix}");
        }
        let (mut value, mut exponent) = (self.nano, -9);
        while exponent < 18 && value % 1000 == 0 {
            (value, exponent) = (value / 1000, exponent + 3);
        }
        if self.format == Format::Exponent {
            return if exponent == 0 { value.to_string() } else { format!("{value}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| *s);
        format!("{value}{suffix}")
    }
}

/// Ten or two to some power.
enum Scale {
    Ten(i32),
    Two(u32),
}

fn scale(suffix: &str) -> Result<(Format, Scale), QuantityError> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::Binary, Scale::Two(*power)));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::Decimal, Scale::Ten(*power)));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let power: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((Format::Exponent, Scale::Ten(power)))
}

/// `whole.fraction` times the scale, in nanos, rounded up, saturating.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> i128 {
    const MAX: i128 = i128::MAX / 4;
    let fraction = fraction.trim_end_matches('0');
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    let (ten, two) = match scale {
        Scale::Ten(power) => (power, 0),
        Scale::Two(power) => (0, power),
    };
    let shift = i64::from(ten) + 9 - fraction.len() as i64;
    let mut value: i128 = 0;
    for digit in digits.bytes() {
        value = value.saturating_mul(10).saturating_add(i128::from(digit - b'0')).min(MAX);
    }
    value = value.saturating_mul(1 << two).min(MAX);
    for _ in 0..shift.clamp(0, 60) {
        value = value.saturating_mul(10).min(MAX);
    }
    if shift < 0 {
        let drop = u32::try_from(-shift).unwrap_or(u32::MAX).min(38);
        value = div_up(value, 10_i128.pow(drop));
    }
    value
}

fn div_up(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    match rest.cmp(&0) {
        Ordering::Greater => quotient + 1,
        _ => quotient,
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}
