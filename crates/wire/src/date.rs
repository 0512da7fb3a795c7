//! Dates as HTTP writes them (RFC 9110 section 5.6.7) and as access logs do. Seconds since 1970, UTC, no leap seconds.

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const LONG_DAYS: [&[u8]; 7] = [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The last second of the year 9999: what four digits can say.
const LAST: u64 = 253_402_300_799;

/// A date and time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Monday.
    pub weekday: u8,
}

impl Civil {
    /// The date of so many seconds since 1970.
    pub fn of(seconds: i64) -> Civil {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Years begin on 1 March here, so that the leap day is the last of its year; eras have 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 3).rem_euclid(7) as u8,
        }
    }

    /// Seconds since 1970; `None` if there is no such date.
    fn seconds(self) -> Option<i64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let last_day = match self.month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let time_ok = self.hour < 24 && self.minute < 60 && self.second <= 60;
        if !(1..=12).contains(&self.month) || !(1..=last_day).contains(&self.day) || !time_ok {
            return None;
        }
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(self.day) - 1;
        let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
        Some(days * 86_400 + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second))
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Later than the year 9999 is that year's last second.
pub fn format(unix_secs: u64) -> [u8; 29] {
    let civil = Civil::of(unix_secs.min(LAST) as i64);
    let mut out = *b"Www, dd Mmm yyyy hh:mm:ss GMT";
    out[..3].copy_from_slice(DAYS[civil.weekday as usize]);
    two(&mut out[5..7], civil.day);
    out[8..11].copy_from_slice(MONTHS[civil.month as usize - 1]);
    four(&mut out[12..16], civil.year);
    time(&mut out[17..25], civil);
    out
}

/// `21/Nov/2026:02:35:46 +0000`, the time of day at that many minutes east of Greenwich.
pub fn common_log(unix_secs: u64, offset_minutes: i32) -> [u8; 26] {
    let offset_minutes = offset_minutes.clamp(-24 * 60 + 1, 24 * 60 - 1);
    let local = (unix_secs.min(LAST) as i64 + i64::from(offset_minutes) * 60).clamp(0, LAST as i64);
    let civil = Civil::of(local);
    let mut out = *b"dd/Mmm/yyyy:hh:mm:ss +hhmm";
    two(&mut out[..2], civil.day);
    out[3..6].copy_from_slice(MONTHS[civil.month as usize - 1]);
    four(&mut out[7..11], civil.year);
    time(&mut out[12..20], civil);
    let offset = offset_minutes.unsigned_abs();
    out[21] = if offset_minutes < 0 { b'-' } else { b'+' };
    two(&mut out[22..24], (offset / 60) as u8);
    two(&mut out[24..26], (offset % 60) as u8);
    out
}

fn two(out: &mut [u8], value: u8) {
    out.copy_from_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

fn four(out: &mut [u8], value: i64) {
    two(&mut out[..2], (value / 100) as u8);
    two(&mut out[2..], (value % 100) as u8);
}

fn time(out: &mut [u8], civil: Civil) {
    two(&mut out[..2], civil.hour);
    two(&mut out[3..5], civil.minute);
    two(&mut out[6..], civil.second);
}

/// Seconds since 1970 of a date in any of the three formats that a recipient must read. The name of the day must be
/// one, but need not be the right one.
pub fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let comma = text.iter().position(|&b| b == b',');
    let civil = match comma {
        Some(3) => imf_fixdate(text),
        Some(len) => rfc850(text, len),
        None => asctime(text),
    };
    civil?.seconds()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &[u8]) -> Option<Civil> {
    let separators = [(4, b' '), (7, b' '), (11, b' '), (16, b' ')];
    let shape = text.len() == 29 && separators.iter().all(|&(at, b)| text[at] == b) && text.ends_with(b" GMT");
    if !shape || !is_day(&text[..3]) {
        return None;
    }
    let year = number(&text[12..16])?;
    civil(i64::from(year), month(&text[8..11])?, &text[5..7], &text[17..25])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. A two-digit year counts from 1970 to 2069, as POSIX and nginx have it.
fn rfc850(text: &[u8], day_len: usize) -> Option<Civil> {
    let (day, rest) = (&text[..day_len], &text[day_len + 1..]);
    let separators = [(0, b' '), (3, b'-'), (7, b'-'), (10, b' ')];
    let shape = rest.len() == 23 && separators.iter().all(|&(at, b)| rest[at] == b) && rest.ends_with(b" GMT");
    if !shape || !LONG_DAYS.iter().any(|name| name.eq_ignore_ascii_case(day)) {
        return None;
    }
    let year = i64::from(number(&rest[8..10])?);
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    civil(year, month(&rest[4..7])?, &rest[1..3], &rest[11..19])
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<Civil> {
    let separators = [(3, b' '), (7, b' '), (10, b' '), (19, b' ')];
    let shape = text.len() == 24 && separators.iter().all(|&(at, b)| text[at] == b);
    if !shape || !is_day(&text[..3]) {
        return None;
    }
    let day = if text[8] == b' ' { &text[9..10] } else { &text[8..10] };
    civil(i64::from(number(&text[20..24])?), month(&text[4..7])?, day, &text[11..19])
}

fn civil(year: i64, month: u8, day: &[u8], time: &[u8]) -> Option<Civil> {
    if time[2] != b':' || time[5] != b':' {
        return None;
    }
    let small = |text| number(text).and_then(|value| u8::try_from(value).ok());
    let (hour, minute, second) = (small(&time[..2])?, small(&time[3..5])?, small(&time[6..])?);
    Some(Civil { year, month, day: small(day)?, hour, minute, second, weekday: 0 })
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')))
}

fn month(name: &[u8]) -> Option<u8> {
    MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name)).map(|at| at as u8 + 1)
}

fn is_day(name: &[u8]) -> bool {
    DAYS.iter().any(|day| day.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_formats() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " sun, 06 nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(parse(b"Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
        assert_eq!(parse(b"Fri, 31 Dec 1969 23:59:59 GMT"), Some(-1));
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "0",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Xyz 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2023 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "\u{e9}\u{e9}\u{e9}, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn formats() {
        assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&format(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(&common_log(1_795_228_546, 0), b"21/Nov/2026:02:35:46 +0000");
        assert_eq!(&common_log(1_795_228_546, -210), b"20/Nov/2026:23:05:46 -0330");
        assert_eq!(&common_log(0, -60), b"01/Jan/1970:00:00:00 -0100");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..=LAST) {
            prop_assert_eq!(parse(&format(seconds)), Some(seconds as i64));
        }

        #[test]
        fn any_input_is_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            parse(&text);
        }
    }
}
