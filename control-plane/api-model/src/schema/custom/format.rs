//! Formats of texts.

/// Whether a text has a format; formats nobody knows are had by every text.
pub(super) fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => is_duration(text),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(format, text),
        "email" => text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()),
        "uri" => text.contains(':') || text.starts_with('/'),
        "hostname" => crate::validation::names::is_dns1123_subdomain(&text.to_lowercase()),
        _ => true,
    }
}

/// As Go writes durations (`1h30m`), or in words (`3 days`).
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 29] = [
        "ns",
        "us",
        "µs",
        "ms",
        "s",
        "m",
        "h",
        "d",
        "w",
        "nano",
        "nanos",
        "nanoseconds",
        "micro",
        "micros",
        "microseconds",
        "milli",
        "millis",
        "milliseconds",
        "sec",
        "secs",
        "seconds",
        "second",
        "min",
        "mins",
        "minutes",
        "minute",
        "hours",
        "hour",
        "days",
    ];
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let Some((number, after)) = rest.split_at_checked(number) else { return false };
        let after = after.trim_start();
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').unwrap_or(after.len());
        let Some((unit, after)) = after.split_at_checked(unit) else { return false };
        if number.parse::<f64>().is_err()
            || !(UNITS.contains(&unit) || matches!(unit, "day" | "week" | "weeks" | "hr"))
        {
            return false;
        }
        rest = after;
    }
    !text.is_empty()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    match (address.parse::<std::net::IpAddr>(), length.parse::<u8>()) {
        (Ok(address), Ok(length)) => length <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    }
}

fn is_mac(text: &str) -> bool {
    let groups: Vec<&str> = text.split([':', '-']).collect();
    matches!(groups.len(), 6 | 8 | 20)
        && groups.iter().all(|g| g.len() == 2 && g.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_uuid(format: &str, text: &str) -> bool {
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let dashes = text.len() - hex.len();
    let version = match format {
        "uuid3" => Some(b'3'),
        "uuid4" => Some(b'4'),
        "uuid5" => Some(b'5'),
        _ => None,
    };
    hex.len() == 32
        && matches!(dashes, 0 | 4)
        && hex.iter().all(u8::is_ascii_hexdigit)
        && version.is_none_or(|version| hex.get(12) == Some(&version))
}

#[cfg(test)]
mod tests {
    use super::has_format;

    #[test]
    fn formats_are_known() {
        let fine = [
            ("duration", "1h30m"),
            ("duration", "3 days"),
            ("date", "2023-01-02"),
            ("date-time", "2023-01-02T03:04:05Z"),
            ("cidr", "10.0.0.0/8"),
            ("mac", "01:23:45:67:89:ab"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
            ("byte", "aGk="),
            ("ipv6", "::1"),
            ("unknown", "anything"),
        ];
        for (format, text) in fine {
            assert!(has_format(format, text), "{format} {text}");
        }
        let wrong = [
            ("duration", "x"),
            ("date", "2023-1-2"),
            ("date-time", "yesterday"),
            ("cidr", "10.0.0.0"),
            ("mac", "01:23"),
            ("uuid", "xyz"),
            ("uuid4", "123e4567-e89b-12d3-a456-426614174000"),
            ("byte", "%"),
            ("ipv4", "::1"),
        ];
        for (format, text) in wrong {
            assert!(!has_format(format, text), "{format} {text}");
        }
    }
}
