//! `expires`: what it says, and the Expires and Cache-Control that come of it.

/// What `expires` says. Times are in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expires {
    #[default]
    Off,
    /// Expired since 1970.
    Epoch,
    /// Not before the end of 2037.
    Max,
    /// So long after this answer; negative: before.
    Access(i64),
    /// So long after the file was last modified; negative: before.
    Modified(i64),
    /// At the next such time of day, counted from local midnight.
    Daily(i64),
}

/// The two values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Values {
    pub expires: [u8; 29],
    pub cache_control: String,
}

impl Expires {
    /// Reads the value of `expires`; `modified`: that word stood before it. The error is nginx's, without the name of
    /// the directive. A value with variables that is wrong in a request counts as `off`.
    pub fn parse(value: &str, modified: bool) -> Result<Expires, &'static str> {
        match value {
            "epoch" if !modified => return Ok(Expires::Epoch),
            "max" if !modified => return Ok(Expires::Max),
            "off" if !modified => return Ok(Expires::Off),
            _ => {}
        }
        if let Some(time) = value.strip_prefix('@') {
            if modified {
                return Err("daily time cannot be used with \"modified\" parameter");
            }
            let time = seconds(time).ok_or("invalid value")?;
            if time > 24 * 60 * 60 {
                return Err("daily time value must be less than 24 hours");
            }
            return Ok(Expires::Daily(time));
        }
        let (digits, negative) = match value.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (value.strip_prefix('+').unwrap_or(value), false),
        };
        let time = seconds(digits).ok_or("invalid value")?;
        let time = if negative { -time } else { time };
        Ok(if modified { Expires::Modified(time) } else { Expires::Access(time) })
    }

    /// The values for an answer at `now` with this time of last modification, both in seconds since 1970;
    /// `offset_minutes`: how far local time is ahead of UTC. `None`: the answer stays as it is.
    pub fn values(self, now: i64, last_modified: Option<i64>, offset_minutes: i32) -> Option<Values> {
        let (at, age) = match self {
            Expires::Off => return None,
            Expires::Epoch => return Some(Values { expires: date(1), cache_control: "no-cache".into() }),
            Expires::Max => {
                // 31 December 2037, 23:55:55, the last minutes that 32 bits can say; ten years.
                return Some(Values { expires: date(2_145_916_555), cache_control: "max-age=315360000".into() });
            }
            Expires::Access(0) | Expires::Modified(0) => (now, 0),
            Expires::Daily(time) => {
                let at = next(now, time, offset_minutes);
                (at, at - now)
            }
            Expires::Access(time) => (now.saturating_add(time), time),
            Expires::Modified(time) => match last_modified {
                Some(modified) => {
                    let at = modified.saturating_add(time);
                    // Told a negative time, nginx forbids caching even if it lies ahead.
                    (at, if time < 0 { -1 } else { at - now })
                }
                None => (now.saturating_add(time), time),
            },
        };
        let cache_control = if age < 0 { "no-cache".into() } else { format!("max-age={age}") };
        Some(Values { expires: date(at), cache_control })
    }
}

/// A time in whole seconds.
fn seconds(text: &str) -> Option<i64> {
    i64::try_from(conf::time_s(text)?).ok()
}

/// The next moment after `now` at which local clocks show `time` seconds after midnight.
fn next(now: i64, time: i64, offset_minutes: i32) -> i64 {
    const DAY: i64 = 24 * 60 * 60;
    let offset = i64::from(offset_minutes) * 60;
    let midnight = (now + offset).div_euclid(DAY) * DAY - offset;
    let today = midnight + time % DAY;
    if today > now { today } else { today + DAY }
}

fn date(seconds: i64) -> [u8; 29] {
    wire::date::format(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sat, 21 Nov 2026 15:59:26 GMT, when nginx was asked.
    const NOW: i64 = 1_795_276_766;
    /// Tue, 14 Nov 2023 22:13:20 GMT.
    const MODIFIED: i64 = 1_700_000_000;

    #[test]
    fn values_are_those_of_nginx() {
        let plain = |text| Expires::parse(text, false).unwrap();
        let modified = |text| Expires::parse(text, true).unwrap();
        let table: &[(Expires, Option<i64>, &str, &str)] = &[
            (plain("30"), None, "Sat, 21 Nov 2026 15:59:56 GMT", "max-age=30"),
            (plain("-1"), None, "Sat, 21 Nov 2026 15:59:25 GMT", "no-cache"),
            (plain("0"), None, "Sat, 21 Nov 2026 15:59:26 GMT", "max-age=0"),
            (plain("-0"), None, "Sat, 21 Nov 2026 15:59:26 GMT", "max-age=0"),
            (plain("+5m"), None, "Sat, 21 Nov 2026 16:04:26 GMT", "max-age=300"),
            (plain("epoch"), None, "Thu, 01 Jan 1970 00:00:01 GMT", "no-cache"),
            (plain("max"), None, "Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000"),
            (plain("@15h30m"), None, "Sun, 22 Nov 2026 15:30:00 GMT", "max-age=84634"),
            (plain("@0"), None, "Sun, 22 Nov 2026 00:00:00 GMT", "max-age=28834"),
            (plain("@24h"), None, "Sun, 22 Nov 2026 00:00:00 GMT", "max-age=28834"),
            (plain("@16h"), None, "Sat, 21 Nov 2026 16:00:00 GMT", "max-age=34"),
            (modified("1h"), Some(MODIFIED), "Tue, 14 Nov 2023 23:13:20 GMT", "no-cache"),
            (modified("1h"), None, "Sat, 21 Nov 2026 16:59:26 GMT", "max-age=3600"),
            (modified("-1h"), Some(MODIFIED), "Tue, 14 Nov 2023 21:13:20 GMT", "no-cache"),
            (modified("0"), Some(MODIFIED), "Sat, 21 Nov 2026 15:59:26 GMT", "max-age=0"),
            (modified("-10y"), None, "Wed, 23 Nov 2016 15:59:26 GMT", "no-cache"),
            (plain("1y"), None, "Sun, 21 Nov 2027 15:59:26 GMT", "max-age=31536000"),
        ];
        for &(expires, last_modified, date, cache_control) in table {
            let values = expires.values(NOW, last_modified, 0).unwrap();
            assert_eq!(String::from_utf8_lossy(&values.expires), date, "{expires:?}");
            assert_eq!(values.cache_control, cache_control, "{expires:?}");
        }
        assert_eq!(plain("off").values(NOW, None, 0), None);
    }

    #[test]
    fn a_time_of_day_is_local() {
        let at = |offset| Expires::Daily(3600).values(NOW, None, offset).unwrap().expires;
        assert_eq!(&at(0), b"Sun, 22 Nov 2026 01:00:00 GMT");
        assert_eq!(&at(-540), b"Sun, 22 Nov 2026 10:00:00 GMT");
        assert_eq!(&at(540), b"Sat, 21 Nov 2026 16:00:00 GMT");
    }

    #[test]
    fn wrong_values() {
        let table: &[(&str, bool, &str)] = &[
            ("bad", false, "invalid value"),
            ("", false, "invalid value"),
            ("+", false, "invalid value"),
            ("@", false, "invalid value"),
            ("+-1", false, "invalid value"),
            ("100ms", false, "invalid value"),
            ("epoch", true, "invalid value"),
            ("off", true, "invalid value"),
            ("@1h", true, "daily time cannot be used with \"modified\" parameter"),
            ("@25h", false, "daily time value must be less than 24 hours"),
        ];
        for &(value, modified, error) in table {
            assert_eq!(Expires::parse(value, modified), Err(error), "{value}");
        }
    }
}
