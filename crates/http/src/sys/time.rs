//! Clocks: what std does not offer, namely the monotonic clock as a plain number that several processes share, the
//! kernel's cheap wall clock, and the offset of local time.

/// Milliseconds of the monotonic clock: the same number in every process of this machine.
pub fn monotonic_ms() -> u64 {
    let now = clock(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// The same clock, at most one kernel tick old; cheaper.
pub fn coarse_monotonic_ms() -> u64 {
    let now = clock(libc::CLOCK_MONOTONIC_COARSE);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Seconds since 1970, at most one kernel tick old; cheaper than the exact clock.
pub fn coarse_seconds() -> i64 {
    clock(libc::CLOCK_REALTIME_COARSE).tv_sec
}

/// Milliseconds since 1970, at most one kernel tick old.
pub fn coarse_unix_ms() -> u64 {
    let now = clock(libc::CLOCK_REALTIME_COARSE);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// How many minutes local time (`TZ`, /etc/localtime) is ahead of UTC at this moment.
pub fn local_offset_minutes(unix: i64) -> i32 {
    (local(unix).tm_gmtoff / 60) as i32
}

/// The name of the local time zone at this moment.
pub fn local_zone(unix: i64) -> String {
    let zone = local(unix).tm_zone;
    if zone.is_null() {
        return String::new();
    }
    // SAFETY: `localtime_r` leaves a pointer to a name that ends in NUL and belongs to the C library, which keeps the
    // names it has given out while the process does not change TZ; nothing here does.
    unsafe { std::ffi::CStr::from_ptr(zone) }.to_string_lossy().into_owned()
}

fn local(unix: i64) -> libc::tm {
    let unix = unix as libc::time_t;
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right type, and an all-zero `tm` is a valid one, so it is
    // initialised whether the call succeeds or not.
    unsafe {
        libc::localtime_r(&unix, broken_down.as_mut_ptr());
        broken_down.assume_init()
    }
}

/// How long the calling thread has been runnable without running, in nanoseconds; 0 where the kernel does not tell.
pub fn run_delay() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_ascii_whitespace().nth(1).and_then(|delay| delay.parse().ok()).unwrap_or(0)
}

fn clock(id: libc::clockid_t) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call; these clocks exist on every Linux this builds for.
    unsafe { libc::clock_gettime(id, &mut now) };
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic_ms();
        assert!(monotonic_ms() >= first);
        assert!(coarse_seconds() > 1_700_000_000);
    }

    #[test]
    fn an_offset_is_within_a_day() {
        assert!(local_offset_minutes(1_800_000_000).abs() <= 24 * 60);
    }
}
