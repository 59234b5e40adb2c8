//! Parts of moments and lengths of time.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::Style::Member;
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::Value;

const YEAR: Run = |_, args| part(args, |at| i64::from(at.year()));
const MONTH: Run = |_, args| part(args, |at| i64::from(at.month()) - 1);
const DAY_OF_YEAR: Run = |_, args| part(args, |at| i64::from(at.day_of_year()) - 1);
const DAY_OF_MONTH: Run = |_, args| part(args, |at| i64::from(at.day()) - 1);
const DATE: Run = |_, args| part(args, |at| i64::from(at.day()));
const DAY_OF_WEEK: Run = |_, args| part(args, |at| i64::from(at.weekday().to_sunday_zero_offset()));
const HOURS: Run =
    |_, args| length(args, 3_600_000_000_000).unwrap_or_else(|| part(args, |at| i64::from(at.hour())));
const MINUTES: Run =
    |_, args| length(args, 60_000_000_000).unwrap_or_else(|| part(args, |at| i64::from(at.minute())));
const SECONDS: Run =
    |_, args| length(args, 1_000_000_000).unwrap_or_else(|| part(args, |at| i64::from(at.second())));
const MILLISECONDS: Run =
    |_, args| length(args, 1_000_000).unwrap_or_else(|| part(args, |at| i64::from(at.millisecond())));

pub(super) const ROWS: &[Row] = &[
    Row("getFullYear", "timestamp_to_year", Member, "timestamp -> int", YEAR),
    Row("getFullYear", "timestamp_to_year_with_tz", Member, "timestamp, string -> int", YEAR),
    Row("getMonth", "timestamp_to_month", Member, "timestamp -> int", MONTH),
    Row("getMonth", "timestamp_to_month_with_tz", Member, "timestamp, string -> int", MONTH),
    Row("getDayOfYear", "timestamp_to_day_of_year", Member, "timestamp -> int", DAY_OF_YEAR),
    Row("getDayOfYear", "timestamp_to_day_of_year_with_tz", Member, "timestamp, string -> int", DAY_OF_YEAR),
    Row("getDayOfMonth", "timestamp_to_day_of_month", Member, "timestamp -> int", DAY_OF_MONTH),
    Row(
        "getDayOfMonth",
        "timestamp_to_day_of_month_with_tz",
        Member,
        "timestamp, string -> int",
        DAY_OF_MONTH,
    ),
    Row("getDate", "timestamp_to_day_of_month_1_based", Member, "timestamp -> int", DATE),
    Row("getDate", "timestamp_to_day_of_month_1_based_with_tz", Member, "timestamp, string -> int", DATE),
    Row("getDayOfWeek", "timestamp_to_day_of_week", Member, "timestamp -> int", DAY_OF_WEEK),
    Row("getDayOfWeek", "timestamp_to_day_of_week_with_tz", Member, "timestamp, string -> int", DAY_OF_WEEK),
    Row("getHours", "timestamp_to_hours", Member, "timestamp -> int", HOURS),
    Row("getHours", "timestamp_to_hours_with_tz", Member, "timestamp, string -> int", HOURS),
    Row("getHours", "duration_to_hours", Member, "duration -> int", HOURS),
    Row("getMinutes", "timestamp_to_minutes", Member, "timestamp -> int", MINUTES),
    Row("getMinutes", "timestamp_to_minutes_with_tz", Member, "timestamp, string -> int", MINUTES),
    Row("getMinutes", "duration_to_minutes", Member, "duration -> int", MINUTES),
    Row("getSeconds", "timestamp_to_seconds", Member, "timestamp -> int", SECONDS),
    Row("getSeconds", "timestamp_to_seconds_tz", Member, "timestamp, string -> int", SECONDS),
    Row("getSeconds", "duration_to_seconds", Member, "duration -> int", SECONDS),
    Row("getMilliseconds", "timestamp_to_milliseconds", Member, "timestamp -> int", MILLISECONDS),
    Row(
        "getMilliseconds",
        "timestamp_to_milliseconds_with_tz",
        Member,
        "timestamp, string -> int",
        MILLISECONDS,
    ),
    Row("getMilliseconds", "duration_to_milliseconds", Member, "duration -> int", MILLISECONDS),
];

fn length<'a>(args: &[Value<'a>], unit: i64) -> Option<Given<'a>> {
    match args {
        [Value::Duration(nanos)] => Some(Ok(Value::Int(nanos / unit))),
        _ => None,
    }
}

fn part<'a>(args: &[Value<'a>], of: fn(&Zoned) -> i64) -> Given<'a> {
    let (at, zone) = match args {
        [Value::Timestamp(at)] => (at, TimeZone::UTC),
        [Value::Timestamp(at), Value::String(zone)] => (at, zone_of(zone.as_str())?),
        _ => return Err(EvalError::no_overload()),
    };
    Ok(Value::Int(of(&at.to_zoned(zone))))
}

/// A zone by name, or by its distance: `+01:30`, `02:00`.
fn zone_of(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::failed(format!("unknown time zone {name}"));
    let Some((hours, minutes)) = name.split_once(':') else {
        return match name {
            "" | "UTC" => Ok(TimeZone::UTC),
            name => TimeZone::get(name).map_err(|_| unknown()),
        };
    };
    let (negative, hours) = match hours.strip_prefix('-') {
        Some(hours) => (true, hours),
        None => (false, hours.strip_prefix('+').unwrap_or(hours)),
    };
    let (hours, minutes) =
        (hours.parse::<i32>().map_err(|_| unknown())?, minutes.parse::<i32>().map_err(|_| unknown())?);
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
        return Err(unknown());
    }
    let seconds = (hours * 60 + minutes) * 60;
    let offset =
        jiff::tz::Offset::from_seconds(if negative { -seconds } else { seconds }).map_err(|_| unknown())?;
    Ok(TimeZone::fixed(offset))
}
