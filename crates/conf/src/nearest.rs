//! "Did you mean": the nearest known name.

/// The candidate with the smallest edit distance to `name`, if that is at most a third of the name's length (one edit
/// for names shorter than three characters). The first of several equal ones.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let name: Vec<char> = name.chars().collect();
    let bound = (name.len() / 3).max(1);
    candidates
        .into_iter()
        // One edit changes the length by one at most.
        .filter(|candidate| candidate.chars().count().abs_diff(name.len()) <= bound)
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|&(distance, _)| distance <= bound)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insertions, deletions, replacements, swaps of neighbours) between two words.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = Vec::with_capacity(b.len() + 1);
        next.push(i + 1);
        for j in 0..b.len() {
            let replace = row[j] + usize::from(a[i] != b[j]);
            let mut best = replace.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("bind", "bnid", 1), ("kitten", "sitting", 3)]
        {
            let a: Vec<char> = a.chars().collect();
            assert_eq!(distance(&a, b), expected);
        }
    }

    #[test]
    fn near_names_only() {
        let names = ["bind", "workers", "worker-class", "timeout"];
        assert_eq!(nearest("bnid", names), Some("bind"));
        assert_eq!(nearest("worker", names), Some("workers"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("", names), None);
    }
}
