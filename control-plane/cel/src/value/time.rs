//! Durations as Go writes them, and moments.

/// Nanoseconds of each unit.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `1h30m`, `-1.5s`, `0`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at_checked(length)?;
        let unit_length = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at_checked(unit_length)?;
        let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 20 {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        let mut weight = scale;
        for digit in fraction.bytes().take(18) {
            weight /= 10;
            total = total.checked_add(i128::from(digit - b'0') * weight)?;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// As CEL shows it: seconds, `5400s`, `0.5s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let (seconds, rest) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let sign = if nanos < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// Reads RFC 3339 between the years 1 and 9999.
pub(crate) fn parse_timestamp(text: &str) -> Option<jiff::Timestamp> {
    let bytes = text.as_bytes();
    // The parser knows more notations than the RFC; these marks leave only its.
    let marked = bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b't' | b' '));
    let zoned =
        text.ends_with(['Z', 'z']) || bytes.len().checked_sub(3).and_then(|at| bytes.get(at)) == Some(&b':');
    (marked && zoned && bytes.get(16) == Some(&b':')).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let cases =
            [("1h30m", "5400s"), ("-1.5s", "-1.5s"), ("0", "0s"), ("100ms", "0.1s"), ("1us", "0.000001s")];
        for (text, wanted) in cases {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(wanted), "{text}");
        }
        for bad in ["", "1", "s", "1d", "1..5s", "-", "99999999999999999999999h", "1s "] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_are_read() {
        assert!(parse_timestamp("2023-01-02T03:04:05Z").is_some());
        assert!(parse_timestamp("2023-01-02T03:04:05.123+02:00").is_some());
        for bad in ["", "2023-01-02", "2023-01-02T03:04:05", "20230102T030405Z", "2023-13-02T03:04:05Z"] {
            assert!(parse_timestamp(bad).is_none(), "{bad}");
        }
    }
}
