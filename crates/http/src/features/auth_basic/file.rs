//! Files of names and passwords, as `htpasswd` writes them: read when they have changed, and kept.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::sys;
use crate::sys::identity::Identity;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 16 << 20;
/// So many files are kept; a name with variables may mean many.
const MOST_FILES: usize = 64;
/// So many bytes of files are kept.
const MOST_KEPT: u64 = 32 << 20;
/// The clock of a file system moves in steps: a file that was read so soon after its last change may have changed
/// since without a trace.
const STEP: Duration = Duration::from_millis(100);

/// The lines of one file.
#[derive(Debug, Default)]
pub struct Passwords {
    by_user: HashMap<Box<[u8]>, Box<[u8]>>,
}

impl Passwords {
    /// Reads lines `NAME:PASSWORD[:COMMENT]`. Those that begin with `#` are comments; of two for one name the first
    /// counts.
    pub fn parse(text: &[u8]) -> Passwords {
        let mut by_user = HashMap::new();
        for line in text.split(|&byte| byte == b'\n') {
            let Some(colon) =
                memchr::memchr(b':', line).filter(|_| !line.starts_with(b"#") && !line.starts_with(b"\r"))
            else {
                continue;
            };
            let rest = &line[colon + 1..];
            let end = memchr::memchr2(b':', b'\r', rest).unwrap_or(rest.len());
            by_user.entry(Box::from(&line[..colon])).or_insert_with(|| Box::from(&rest[..end]));
        }
        Passwords { by_user }
    }

    /// The stored password of a user.
    pub fn of(&self, user: &[u8]) -> Option<&[u8]> {
        self.by_user.get(user).map(|stored| &**stored)
    }
}

/// Whether a file had been left alone for long enough when it was read now.
fn is_settled(identity: &Identity) -> bool {
    let (seconds, nanos) = identity.last_change();
    let since = Duration::new(seconds.max(0) as u64, nanos.max(0) as u32);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(since).is_some_and(|age| age > STEP)
}

struct Kept {
    identity: Identity,
    settled: bool,
    passwords: Arc<Passwords>,
}

static KEPT: LazyLock<Mutex<HashMap<Box<[u8]>, Kept>>> = LazyLock::new(Mutex::default);

/// What could not be done with a file.
#[derive(Debug)]
pub struct Failed {
    /// nginx's word for the call.
    pub call: &'static str,
    pub error: io::Error,
}

/// The contents of a file, as it is now.
pub fn open(path: &[u8]) -> Result<Arc<Passwords>, Failed> {
    let failed = |call| move |error| Failed { call, error };
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = all.get(path).filter(|kept| kept.settled)
        && sys::open::metadata(path).is_ok_and(|metadata| Identity::of(&metadata) == kept.identity)
    {
        return Ok(kept.passwords.clone());
    }
    all.remove(path);
    let file = sys::open::open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("fstat"))?;
    if !metadata.is_file() {
        let error = if metadata.is_dir() { libc::EISDIR } else { libc::EINVAL };
        return Err(Failed { call: "pread", error: io::Error::from_raw_os_error(error) });
    }
    let identity = Identity::of(&metadata);
    let settled = is_settled(&identity);
    let mut text = Vec::with_capacity(identity.len.min(LONGEST) as usize);
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(failed("pread"))?;
    if text.len() as u64 > LONGEST {
        return Err(Failed { call: "pread", error: io::Error::from_raw_os_error(libc::EFBIG) });
    }
    let passwords = Arc::new(Passwords::parse(&text));
    let kept: u64 = all.values().map(|kept| kept.identity.len).sum();
    if all.len() >= MOST_FILES || kept + identity.len > MOST_KEPT {
        all.clear();
    }
    all.insert(path.into(), Kept { identity, settled, passwords: passwords.clone() });
    Ok(passwords)
}
