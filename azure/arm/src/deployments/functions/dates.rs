//! Functions on dates, with the part of .NET's formats that templates use.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Arguments, Made};

/// How `utcNow()` writes without a format.
const BASIC: &str = "yyyyMMddTHHmmssZ";

fn read(text: &str) -> Result<(Timestamp, bool), String> {
    if let Ok(at) = DateTime::strptime("%Y%m%dT%H%M%SZ", text).and_then(|d| d.to_zoned(TimeZone::UTC)) {
        return Ok((at.timestamp(), true));
    }
    let long = text.trim().replacen(' ', "T", 1);
    let found = long
        .parse::<Timestamp>()
        .or_else(|_| format!("{long}Z").parse())
        .or_else(|_| format!("{long}T00:00:00Z").parse());
    found.map(|at| (at, false)).map_err(|_| format!("'{text}' is not a date"))
}

/// Writes a time in a .NET format.
pub(crate) fn instant(at: Timestamp, pattern: &str) -> String {
    let pattern = match pattern {
        "" => BASIC,
        "u" => "yyyy-MM-dd HH:mm:ssZ",
        "s" => "yyyy-MM-ddTHH:mm:ss",
        "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffffZ",
        "d" => "MM/dd/yyyy",
        "D" => "dddd, dd MMMM yyyy",
        "R" | "r" => "ddd, dd MMM yyyy HH:mm:ss GMT",
        other => other,
    };
    let letters: Vec<char> = pattern.chars().collect();
    let mut made = String::new();
    let mut next = 0;
    while next < letters.len() {
        let letter = letters[next];
        let run = letters[next..].iter().take_while(|l| **l == letter).count();
        next += run;
        made.push_str(&field(at, letter, run));
    }
    made
}

fn field(at: Timestamp, letter: char, run: usize) -> String {
    let write = |how: &str| at.strftime(how).to_string();
    let padded = |how: &str| {
        let full = write(how);
        if run == 1 { full.trim_start_matches('0').to_owned() } else { full }
    };
    match letter {
        'y' if run >= 4 => write("%Y"),
        'y' => write("%y"),
        'M' if run >= 4 => write("%B"),
        'M' if run == 3 => write("%b"),
        'M' => padded("%m"),
        'd' if run >= 4 => write("%A"),
        'd' if run == 3 => write("%a"),
        'd' => padded("%d"),
        'H' if run == 1 => at.to_zoned(TimeZone::UTC).hour().to_string(),
        'H' => write("%H"),
        'h' => padded("%I"),
        'm' if run == 1 => at.to_zoned(TimeZone::UTC).minute().to_string(),
        'm' => write("%M"),
        's' if run == 1 => at.to_zoned(TimeZone::UTC).second().to_string(),
        's' => write("%S"),
        't' => write("%p"),
        'f' => format!("{:09}", at.subsec_nanosecond().max(0)).chars().take(run.min(7)).collect(),
        'K' => "Z".to_owned(),
        other => other.to_string().repeat(run),
    }
}

fn add(a: &Arguments<'_>) -> Made {
    let (base, basic) = read(&a.text(0))?;
    let duration = a.text(1);
    let span: jiff::Span =
        duration.parse().map_err(|_| format!("'{duration}' is not a duration of ISO 8601"))?;
    let moved = base
        .to_zoned(TimeZone::UTC)
        .checked_add(span)
        .map_err(|_| format!("'{duration}' leads out of the calendar"))?;
    let pattern = match a.0.get(2) {
        Some(_) => a.text(2),
        None if basic => BASIC.to_owned(),
        None => "yyyy-MM-ddTHH:mm:ssZ".to_owned(),
    };
    Ok(Value::from(instant(moved.timestamp(), &pattern)))
}

pub(super) fn call(name: &str, a: &Arguments<'_>) -> Option<Made> {
    Some(match name {
        "datetimeadd" => add(a),
        "datetimetoepoch" => read(&a.text(0)).map(|(at, _)| Value::from(at.as_second())),
        "datetimefromepoch" => a.number(0).and_then(|seconds| {
            let at = Timestamp::from_second(seconds)
                .map_err(|_| format!("'{seconds}' leads out of the calendar"))?;
            Ok(Value::from(instant(at, "yyyy-MM-ddTHH:mm:ssZ")))
        }),
        _ => return None,
    })
}
