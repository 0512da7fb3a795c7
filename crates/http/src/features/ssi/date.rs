//! `timefmt`: dates as strftime(3) writes them in the C locale.

use wire::date::Civil;

/// The format until `config timefmt` says another.
pub const DEFAULT_FORMAT: &[u8] = b"%A, %d-%b-%Y %H:%M:%S %Z";

/// A date is shorter than this, or it is none.
const MAX_LENGTH: usize = 2048;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment and how it is told.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Seconds since 1970.
    pub unix: i64,
    /// How many minutes local time is ahead of UTC.
    pub offset_minutes: i32,
    /// The name of the local time zone.
    pub zone: &'a str,
}

/// Writes a moment. `None`: nothing comes of the format, or too much.
pub fn format(format: &[u8], moment: Moment) -> Option<Vec<u8>> {
    let civil = Civil::of(moment.unix + i64::from(moment.offset_minutes) * 60);
    let mut out = Vec::new();
    conversions(format, moment, civil, &mut out)?;
    if out.is_empty() || out.len() >= MAX_LENGTH { None } else { Some(out) }
}

/// How a value is filled up.
#[derive(Clone, Copy)]
struct Shape {
    pad: Option<u8>,
    width: Option<usize>,
    upper: bool,
    swap: bool,
}

fn conversions(format: &[u8], moment: Moment, civil: Civil, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = format;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..percent]);
        rest = &rest[percent..];
        let (shape, letter_at) = shape(rest)?;
        let Some(&letter) = rest.get(letter_at) else {
            break;
        };
        let known = conversion(letter, shape, moment, civil, out)?;
        if !known {
            // What is no conversion stands for itself.
            out.extend_from_slice(&rest[..=letter_at]);
        }
        if out.len() >= MAX_LENGTH {
            return None;
        }
        rest = &rest[letter_at + 1..];
    }
    out.extend_from_slice(rest);
    Some(())
}

/// Reads what stands between `%` and the letter, and says where the letter is.
fn shape(text: &[u8]) -> Option<(Shape, usize)> {
    let mut shape = Shape { pad: None, width: None, upper: false, swap: false };
    let mut at = 1;
    while let Some(&flag) = text.get(at) {
        match flag {
            b'-' | b'_' | b'0' => shape.pad = Some(flag),
            b'^' => shape.upper = true,
            b'#' => shape.swap = true,
            _ => break,
        }
        at += 1;
    }
    while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
        let width = shape.width.unwrap_or(0) * 10 + usize::from(digit - b'0');
        if width >= MAX_LENGTH {
            return None;
        }
        shape.width = Some(width);
        at += 1;
    }
    if matches!(text.get(at), Some(b'E' | b'O')) {
        at += 1;
    }
    Some((shape, at))
}

impl Shape {
    /// A number that has `width` digits, filled up with `pad`.
    fn number(self, value: i64, width: usize, pad: u8, out: &mut Vec<u8>) {
        let pad = self.pad.unwrap_or(pad);
        let width = if pad == b'-' { 0 } else { self.width.unwrap_or(width) };
        let text = if pad == b'_' { format!("{value:width$}") } else { format!("{value:0width$}") };
        out.extend_from_slice(text.as_bytes());
    }

    /// A text; `#` makes it upper case, or lower if it is upper already.
    fn text(self, text: &str, out: &mut Vec<u8>) {
        let is_upper = text.bytes().all(|byte| !byte.is_ascii_lowercase());
        let text = match (self.upper, self.swap) {
            (false, true) if is_upper => text.to_ascii_lowercase(),
            (true, _) | (_, true) => text.to_ascii_uppercase(),
            _ => text.to_string(),
        };
        let missing = if self.pad == Some(b'-') { 0 } else { self.width.unwrap_or(0).saturating_sub(text.len()) };
        let pad = if self.pad == Some(b'0') { b'0' } else { b' ' };
        out.resize(out.len() + missing, pad);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Writes one conversion; `Some(false)`: there is no such one.
fn conversion(letter: u8, shape: Shape, moment: Moment, civil: Civil, out: &mut Vec<u8>) -> Option<bool> {
    let Civil { year, month, day, hour, minute, second, weekday } = civil;
    let day_name = DAYS[usize::from(weekday)];
    let month_name = MONTHS[usize::from(month) - 1];
    let hour_12 = (i64::from(hour) + 11) % 12 + 1;
    let sunday_first = (i64::from(weekday) + 1) % 7;
    let mut two = |value: i64| shape.number(value, 2, b'0', out);
    match letter {
        b'd' => two(day.into()),
        b'H' => two(hour.into()),
        b'I' => two(hour_12),
        b'm' => two(month.into()),
        b'M' => two(minute.into()),
        b'S' => two(second.into()),
        b'y' => two(year.rem_euclid(100)),
        b'C' => two(year.div_euclid(100)),
        b'g' => two(iso_week(civil).0.rem_euclid(100)),
        b'V' => two(iso_week(civil).1),
        b'U' => two((day_of_year(civil) + 7 - sunday_first) / 7),
        b'W' => two((day_of_year(civil) + 7 - i64::from(weekday)) / 7),
        b'e' => shape.number(day.into(), 2, b'_', out),
        b'k' => shape.number(hour.into(), 2, b'_', out),
        b'l' => shape.number(hour_12, 2, b'_', out),
        b'j' => shape.number(day_of_year(civil) + 1, 3, b'0', out),
        b'Y' => shape.number(year, 1, b'0', out),
        b'G' => shape.number(iso_week(civil).0, 1, b'0', out),
        b'u' => shape.number(i64::from(weekday) + 1, 1, b'0', out),
        b'w' => shape.number(sunday_first, 1, b'0', out),
        b's' => shape.number(moment.unix, 1, b'0', out),
        b'a' => shape.text(&day_name[..3], out),
        b'A' => shape.text(day_name, out),
        b'b' | b'h' => shape.text(&month_name[..3], out),
        b'B' => shape.text(month_name, out),
        b'p' => shape.text(if hour < 12 { "AM" } else { "PM" }, out),
        b'P' => shape.text(if hour < 12 { "am" } else { "pm" }, out),
        b'Z' => shape.text(moment.zone, out),
        b'z' => {
            let sign = if moment.offset_minutes < 0 { '-' } else { '+' };
            let offset = moment.offset_minutes.unsigned_abs();
            shape.text(&format!("{sign}{:02}{:02}", offset / 60, offset % 60), out);
        }
        b'n' => shape.text("\n", out),
        b't' => shape.text("\t", out),
        b'%' => shape.text("%", out),
        b'c' => return composed(b"%a %b %e %H:%M:%S %Y", shape, moment, civil, out),
        b'D' | b'x' => return composed(b"%m/%d/%y", shape, moment, civil, out),
        b'F' => return composed(b"%Y-%m-%d", shape, moment, civil, out),
        b'r' => return composed(b"%I:%M:%S %p", shape, moment, civil, out),
        b'R' => return composed(b"%H:%M", shape, moment, civil, out),
        b'T' | b'X' => return composed(b"%H:%M:%S", shape, moment, civil, out),
        _ => return Some(false),
    }
    Some(true)
}

fn composed(format: &[u8], shape: Shape, moment: Moment, civil: Civil, out: &mut Vec<u8>) -> Option<bool> {
    let mut text = Vec::new();
    conversions(format, moment, civil, &mut text)?;
    shape.text(&String::from_utf8_lossy(&text), out);
    Some(true)
}

/// Days since 1 January.
fn day_of_year(civil: Civil) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_day = i64::from(civil.month > 2 && is_leap(civil.year));
    BEFORE[usize::from(civil.month) - 1] + leap_day + i64::from(civil.day) - 1
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The year and week of ISO 8601: a week belongs to the year in which its Thursday lies.
fn iso_week(civil: Civil) -> (i64, i64) {
    let thursday = day_of_year(civil) + 3 - i64::from(civil.weekday);
    let len = |year| if is_leap(year) { 366 } else { 365 };
    let (year, thursday) = if thursday < 0 {
        (civil.year - 1, thursday + len(civil.year - 1))
    } else if thursday >= len(civil.year) {
        (civil.year + 1, thursday - len(civil.year))
    } else {
        (civil.year, thursday)
    };
    (year, thursday / 7 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sat, 21 Nov 2026 15:58:59 GMT.
    const MOMENT: Moment = Moment { unix: 1_795_276_739, offset_minutes: 0, zone: "GMT" };

    fn text(pattern: &str, moment: Moment) -> Option<String> {
        format(pattern.as_bytes(), moment).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn all_conversions_as_nginx_writes_them() {
        let pattern = "%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %n %p %P %r %R %S %t %T %u %U %V %w \
                       %W %x %X %y %Y %z %Z %% %Q %Ey %Od %5d %-d %_d %^a %";
        let expected = "Sat Saturday Nov November Sat Nov 21 15:58:59 2026 20 21 11/21/26 21 2026-11-21 26 2026 Nov 15 \
                        03 325 15  3 11 58 \n PM pm 03:58:59 PM 15:58 59 \t 15:58:59 6 46 47 6 46 11/21/26 15:58:59 26 \
                        2026 +0000 GMT % %Q 26 21 00021 21 21 SAT %";
        assert_eq!(text(pattern, MOMENT).unwrap(), expected);
        let local = Moment { offset_minutes: -210, zone: "XST", ..MOMENT };
        assert_eq!(text("%H:%M %z %Z %s", local).unwrap(), "12:28 -0330 XST 1795276739");
    }

    #[test]
    fn weeks_of_iso_8601() {
        // 1 January 2021 was a Friday, 31 December 2024 a Tuesday, 1 January 2023 a Sunday.
        for (unix, expected) in [(1_609_459_200, "2020-53"), (1_735_603_200, "2025-01"), (1_672_531_200, "2022-52")] {
            assert_eq!(text("%G-%V", Moment { unix, ..MOMENT }).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_and_too_much_are_no_dates() {
        assert_eq!(text("", MOMENT), None);
        assert_eq!(text("%9999999d", MOMENT), None);
        assert_eq!(text(&"%c".repeat(100), MOMENT), None);
        assert_eq!(text("plain", MOMENT).unwrap(), "plain");
    }
}
