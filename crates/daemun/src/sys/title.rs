//! What process lists show of this process's command line: nginx tells there what each process is.

use std::sync::Mutex;

/// Held while the memory is written.
static WRITING: Mutex<()> = Mutex::new(());

/// Shows a text in place of the command line that the process was started with, cut to that one's length.
pub fn set(text: &str) {
    let Ok(_writing) = WRITING.lock() else { return };
    let Some((start, length)) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| place(&stat)) else {
        return;
    };
    let shown = &text.as_bytes()[..text.len().min(length - 1)];
    let start = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel says that these bytes are the words this process was started with: memory of its own, mapped
    // and writable for its whole life, which the C library hands to the program and writes no more. The interpreter
    // has made copies at its start, and so has this program; nobody else writes here, as the lock sees to. The last
    // byte stays zero, so whoever still reads it as text finds an end.
    unsafe {
        std::ptr::write_bytes(start, 0, length);
        std::ptr::copy_nonoverlapping(shown.as_ptr(), start, shown.len());
    }
}

/// Where the command line is in memory, and its length: the fields 48 and 49 of `/proc/self/stat`.
fn place(stat: &str) -> Option<(usize, usize)> {
    // The name, which may hold anything, stands in parentheses; after it comes the third field.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(48 - 3);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let length = end.checked_sub(start)?;
    (start != 0 && length > 1).then_some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_found_behind_any_name() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        assert_eq!(place(&format!("1 (a) b (c)) S {}", fields.join(" "))), None, "48 to 49 is one byte");
        let moved = fields.join(" ").replace(" 49 ", " 90 ");
        assert_eq!(place(&format!("1 (a) b (c)) S {moved}")), Some((48, 42)));
        assert_eq!(place(""), None);
    }
}
