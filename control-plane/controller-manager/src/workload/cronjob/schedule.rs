//! Five fields that say when: minute, hour, day of month, month, day of week. Pure.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How far ahead a time is looked for; a schedule without any in five years has none.
const DAYS_AHEAD: i32 = 5 * 366;

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// At the set minutes, hours, days, months and weekdays; bit n of a field is value n.
    Calendar { minute: u64, hour: u64, day: u64, month: u64, weekday: u64, any_day: bool, any_weekday: bool },
    /// Every so many seconds.
    Every(i64),
}

fn value(text: &str, names: &[&str], first_name: u32) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match names.iter().position(|n| *n == lower) {
        Some(at) => Some(u32::try_from(at).ok()? + first_name),
        None => text.parse().ok(),
    }
}

fn field(text: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Option<u64> {
    let mut bits = 0_u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (min, max),
            (_, Some((a, b))) => (value(a, names, first_name)?, value(b, names, first_name)?),
            (one, None) => {
                let first = value(one, names, first_name)?;
                (first, if step.is_some() { max } else { first })
            }
        };
        if first < min || last > max || first > last {
            return None;
        }
        for n in (first..=last).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
            bits |= 1 << n;
        }
    }
    Some(bits)
}

impl Schedule {
    /// Reads a schedule; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(every) = text.strip_prefix("@every ") {
            let span: jiff::SignedDuration = every.trim().parse().ok()?;
            return Some(Self::Every(span.as_secs().max(1)));
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else { return None };
        let mut days = field(weekday, 0, 7, &DAYS, 0)?;
        if days & (1 << 7) != 0 {
            days = (days | 1) & !(1 << 7);
        }
        let is_any = |text: &str| text.starts_with('*') || text.starts_with('?');
        Some(Self::Calendar {
            minute: field(minute, 0, 59, &[], 0)?,
            hour: field(hour, 0, 23, &[], 0)?,
            day: field(day, 1, 31, &[], 0)?,
            month: field(month, 1, 12, &MONTHS, 1)?,
            weekday: days,
            any_day: is_any(day),
            any_weekday: is_any(weekday),
        })
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (minute, hour, day, month, weekday, any_day, any_weekday) = match self {
            Self::Every(seconds) => return after.checked_add(jiff::SignedDuration::from_secs(*seconds)).ok(),
            Self::Calendar { minute, hour, day, month, weekday, any_day, any_weekday } => {
                (*minute, *hour, *day, *month, *weekday, *any_day, *any_weekday)
            }
        };
        let has = |bits: u64, n: i8| u32::try_from(n).is_ok_and(|n| bits & (1_u64 << n) != 0);
        let start: Zoned = after.to_zoned(zone.clone());
        let mut date = start.date();
        for _ in 0..DAYS_AHEAD {
            let in_week = has(weekday, date.weekday().to_sunday_zero_offset());
            let in_month = has(day, date.day());
            let fits = if any_day || any_weekday { in_week && in_month } else { in_week || in_month };
            if has(month, date.month()) && fits {
                for h in (0..24).filter(|h| has(hour, *h)) {
                    for m in (0..60).filter(|m| has(minute, *m)) {
                        let at = date.at(h, m, 0, 0).to_zoned(zone.clone()).ok()?;
                        // A time that the clocks skip does not happen.
                        if at.timestamp() > after && at.hour() == h && at.minute() == m {
                            return Some(at.timestamp());
                        }
                    }
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_times() {
        for (schedule, after, expected) in [
            ("*/15 * * * *", "2026-01-01T00:07:00Z", "2026-01-01T00:15:00Z"),
            ("0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("30 9 * * mon-fri", "2026-01-02T10:00:00Z", "2026-01-05T09:30:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 1 * 0", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@hourly", "2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z"),
            ("0 12 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T12:00:00Z"),
            ("@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"),
        ] {
            let parsed = Schedule::parse(schedule).unwrap();
            let next = parsed.next(after.parse().unwrap(), &TimeZone::UTC);
            assert_eq!(next, Some(expected.parse().unwrap()), "{schedule}");
        }
        for bad in ["", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "*/0 * * * *"] {
            assert_eq!(Schedule::parse(bad), None, "{bad}");
        }
        assert_eq!(Schedule::parse("0 0 31 2 *").unwrap().next(Timestamp::UNIX_EPOCH, &TimeZone::UTC), None);
    }
}
