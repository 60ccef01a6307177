//! Times, as vendors write them.

use jiff::{
    Timestamp, civil,
    fmt::{rfc2822, strtime},
    tz::{Offset, TimeZone},
};

/// Reads a time in any of the forms that vendors use: RFC 3339 (also with `+0000`, a space for the `T`, or no zone,
/// which is UTC), a date (midnight UTC), RFC 2822 and HTTP dates, and numbers: seconds since 1970, or milliseconds
/// or microseconds from the size on that tells them apart (10^11 s is the year 5138).
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
        && text.bytes().skip(1).all(|b| b != b'-')
    {
        return parse_number(text);
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(time) = text.parse::<civil::DateTime>() {
        return time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    if let Ok(date) = text.parse::<civil::Date>() {
        return date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    // Offsets that jiff's own grammar does not take: a space before them, `UTC` for `Z`.
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y-%m-%d %H:%M:%S%.f %z",
        "%Y-%m-%d %H:%M:%S%.f%z",
        "%Y-%m-%d %H:%M:%S%.f %:z",
    ] {
        if let Ok(time) = strtime::parse(format, text).and_then(|parsed| parsed.to_timestamp()) {
            return Some(time);
        }
    }
    if let Some(bare) = text.strip_suffix(" UTC") {
        return parse_time(bare);
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Writes a time in RFC 3339, in UTC, with as many places behind the point as it needs: as its `Display` does, which takes several times
/// as long, and every call has some.
pub(crate) fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    let at = Offset::UTC.to_datetime(time);
    if at.year() < 0 {
        return out.extend_from_slice(time.to_string().as_bytes());
    }
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    for (from, to, number) in [
        (0, 4, i32::from(at.year())),
        (5, 7, i32::from(at.month())),
        (8, 10, i32::from(at.day())),
        (11, 13, i32::from(at.hour())),
        (14, 16, i32::from(at.minute())),
        (17, 19, i32::from(at.second())),
        (20, 29, at.subsec_nanosecond()),
    ] {
        let mut rest = number;
        for digit in text[from..to].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    let zeros = text[20..29].iter().rev().take_while(|digit| **digit == b'0').count();
    // Without any places the point goes too.
    let end = if zeros == 9 { 19 } else { 29 - zeros };
    out.extend_from_slice(&text[..end]);
    out.push(b'Z');
}

fn parse_number(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    match whole.unsigned_abs() {
        0..100_000_000_000 => {
            let nanos: i32 = match fraction {
                "" => 0,
                fraction => format!("{fraction:0<9.9}").parse().ok()?,
            };
            Timestamp::new(whole, if text.starts_with('-') { -nanos } else { nanos }).ok()
        }
        100_000_000_000..100_000_000_000_000 => Timestamp::from_millisecond(whole).ok(),
        _ => Timestamp::from_microsecond(whole).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are_shown() {
        let around = [0, 1, 999, 1_000, 123_000_000, 120_000_000, 999_999_999, 100, 5_000];
        let seconds = [0, 1, -1, 951_782_400, 1_790_000_000, -62_135_596_800, 253_402_207_199];
        for time in seconds.iter().flat_map(|second| around.map(|nano| Timestamp::new(*second, nano))) {
            let Ok(time) = time else { continue };
            let mut out = Vec::new();
            write_time(time, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
        }
        for time in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            let mut out = Vec::new();
            write_time(time, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
        }
    }

    #[test]
    fn every_form_that_vendors_use() {
        let noon = "2024-05-06T12:00:00Z".parse().unwrap();
        for text in [
            "2024-05-06T12:00:00Z",
            "2024-05-06T14:00:00+02:00",
            "2024-05-06T12:00:00.000+0000",
            "2024-05-06T12:00:00.000Z",
            "2024-05-06 12:00:00",
            "2024-05-06 12:00:00 +00:00",
            "2024-05-06 12:00:00 +0000",
            "2024-05-06 12:00:00 UTC",
            "2024-05-06T12:00:00",
            "Mon, 06 May 2024 12:00:00 GMT",
            "Mon, 06 May 2024 12:00:00 +0000",
            "1714996800",
            "1714996800000",
            "1714996800000000",
            "1714996800.0",
        ] {
            assert_eq!(parse_time(text), Some(noon), "{text}");
        }
        assert_eq!(parse_time("2024-05-06"), Some("2024-05-06T00:00:00Z".parse().unwrap()));
        assert_eq!(parse_time("1714996800.25"), Some("2024-05-06T12:00:00.25Z".parse().unwrap()));
        for text in ["", "yesterday", "12-", "-", "1.2.3", "99999999999999999999", "2024-13-01"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
