//! `sub_filter`: replaces strings in a body.
//!
//! The leftmost match wins; of several that begin at one byte, the one that stands first in the configuration. Letters
//! of ASCII match in either case. All patterns are searched for at once (Aho and Corasick, "Efficient String Matching",
//! 1975), each byte is looked at once unless a longer pattern that began earlier fails, and no more is held back than
//! the longest pattern.

use std::sync::Arc;

/// The patterns of one `sub_filter` set, ready to be searched for.
pub struct Patterns {
    /// In lower case, in the order of the configuration; an empty one never matches.
    texts: Vec<Vec<u8>>,
    /// The column of each byte in `next`; 0: it occurs in no pattern.
    columns: [u8; 256],
    width: usize,
    /// The state that follows a state (row) on a byte (column).
    next: Vec<u32>,
    /// What each state stands for: so many bytes of the input begin a pattern.
    depth: Vec<u32>,
    /// The first pattern among those that begin with these bytes.
    first: Vec<u32>,
    /// The patterns that are these bytes, in order.
    ends: Vec<Vec<u32>>,
    /// The longest proper suffix of these bytes that is a pattern; 0: none.
    shorter: Vec<u32>,
}

/// The state in which nothing has matched.
const ROOT: u32 = 0;

impl Patterns {
    /// Prepares the patterns, in the order in which they stand in the configuration.
    pub fn new(patterns: &[&[u8]]) -> Patterns {
        let texts: Vec<Vec<u8>> = patterns.iter().map(|text| text.to_ascii_lowercase()).collect();
        let mut columns = [0u8; 256];
        let mut width = 1usize;
        for &byte in texts.iter().flatten() {
            if columns[byte as usize] == 0 {
                // Upper-case letters have no column of their own, so that this stays below 256.
                columns[byte as usize] = width as u8;
                columns[byte.to_ascii_uppercase() as usize] = width as u8;
                width += 1;
            }
        }
        let mut found = Patterns {
            texts,
            columns,
            width,
            next: vec![ROOT; width],
            depth: vec![0],
            first: vec![u32::MAX],
            ends: vec![Vec::new()],
            shorter: vec![ROOT],
        };
        found.grow();
        found.link();
        found
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.next.len() == self.width
    }

    /// Makes the tree of all prefixes; a missing branch leads to the root.
    fn grow(&mut self) {
        for at in 0..self.texts.len() {
            let mut state = ROOT;
            for index in 0..self.texts[at].len() {
                let byte = self.texts[at][index];
                let slot = state as usize * self.width + self.columns[byte as usize] as usize;
                if self.next[slot] == ROOT {
                    self.next[slot] = self.depth.len() as u32;
                    self.next.resize(self.next.len() + self.width, ROOT);
                    self.depth.push(index as u32 + 1);
                    self.first.push(at as u32);
                    self.ends.push(Vec::new());
                    self.shorter.push(ROOT);
                }
                state = self.next[slot];
            }
            if state != ROOT {
                self.ends[state as usize].push(at as u32);
            }
        }
    }

    /// Lets each missing branch lead to the longest suffix that is a prefix of a pattern, shorter states first.
    fn link(&mut self) {
        let mut failure = vec![ROOT; self.depth.len()];
        let mut queue = std::collections::VecDeque::from([ROOT]);
        while let Some(state) = queue.pop_front() {
            let fallen = failure[state as usize];
            for column in 1..self.width {
                let slot = state as usize * self.width + column;
                let fallback = self.next[fallen as usize * self.width + column];
                let child = self.next[slot];
                if child == ROOT || self.depth[child as usize] <= self.depth[state as usize] {
                    self.next[slot] = if state == ROOT { ROOT } else { fallback };
                    continue;
                }
                let suffix = if state == ROOT { ROOT } else { fallback };
                failure[child as usize] = suffix;
                let is_pattern = !self.ends[suffix as usize].is_empty();
                self.shorter[child as usize] = if is_pattern { suffix } else { self.shorter[suffix as usize] };
                queue.push_back(child);
            }
        }
    }

    fn step(&self, state: u32, byte: u8) -> u32 {
        self.next[state as usize * self.width + self.columns[byte as usize] as usize]
    }
}

/// A match that may still be beaten by one that began no later.
#[derive(Clone, Copy)]
struct Match {
    /// Where it begins and ends in the held bytes followed by the input.
    start: usize,
    end: usize,
    pattern: u32,
}

/// The stage: one for each body.
pub struct Sub {
    patterns: Arc<Patterns>,
    /// What replaces each pattern; evaluated when the body begins.
    replacements: Vec<Vec<u8>>,
    /// Each pattern is replaced once only (`sub_filter_once`).
    once: bool,
    /// The patterns that are still looked for, and how many these are.
    wanted: Vec<bool>,
    left: usize,
    state: u32,
    best: Option<Match>,
    /// Bytes that may belong to a match: at most the longest pattern's length.
    held: Vec<u8>,
}

impl Sub {
    /// A stage with a replacement for each pattern.
    pub fn new(patterns: Arc<Patterns>, replacements: Vec<Vec<u8>>, once: bool) -> Sub {
        debug_assert_eq!(patterns.texts.len(), replacements.len());
        let wanted: Vec<bool> = patterns.texts.iter().map(|text| !text.is_empty()).collect();
        let left = wanted.iter().filter(|&&wanted| wanted).count();
        Sub { patterns, replacements, once, wanted, left, state: ROOT, best: None, held: Vec::new() }
    }

    /// Takes a part of the body and appends what is decided.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.left == 0 {
            out.append(&mut self.held);
            out.extend_from_slice(input);
            return;
        }
        let patterns = Arc::clone(&self.patterns);
        let bytes = Joined { held: std::mem::take(&mut self.held), input };
        let (mut at, mut copied) = (bytes.held.len(), 0);
        while at < bytes.len() {
            if self.state == ROOT && self.best.is_none() && at >= bytes.held.len() {
                // Nothing has begun: go to the next byte with which something can.
                let rest = &input[at - bytes.held.len()..];
                let skip = rest.iter().position(|&byte| patterns.step(ROOT, byte) != ROOT);
                at += skip.unwrap_or(rest.len());
                if at == bytes.len() {
                    break;
                }
            }
            self.state = patterns.step(self.state, bytes.at(at));
            at += 1;
            self.note(&patterns, at);
            let Some(best) = self.best.filter(|&best| self.is_settled(&patterns, best, at)) else { continue };
            bytes.copy(copied, best.start, out);
            out.extend_from_slice(&self.replacements[best.pattern as usize]);
            (at, copied) = (best.end, best.end);
            self.state = ROOT;
            self.best = None;
            self.count(best.pattern);
            if self.left == 0 {
                bytes.copy(copied, bytes.len(), out);
                return;
            }
        }
        let begun = at - patterns.depth[self.state as usize] as usize;
        let from = self.best.map_or(begun, |best| best.start.min(begun));
        bytes.copy(copied, from, out);
        bytes.copy(from, bytes.len(), &mut self.held);
        if let Some(best) = &mut self.best {
            best.start -= from;
            best.end -= from;
        }
    }

    /// Ends the body: appends what was held back. A match does not count here while a pattern before it could still
    /// have begun at the same byte or earlier, had the body gone on; so does nginx.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let tail = held.to_ascii_lowercase();
        (self.state, self.best) = (ROOT, None);
        let mut at = 0;
        'bytes: while at < tail.len() {
            for (pattern, text) in self.patterns.texts.iter().enumerate() {
                if !self.wanted[pattern] {
                    continue;
                }
                if tail[at..].starts_with(text) {
                    out.extend_from_slice(&self.replacements[pattern]);
                    at += text.len();
                    self.count(pattern as u32);
                    continue 'bytes;
                }
                if text.starts_with(&tail[at..]) {
                    break 'bytes;
                }
            }
            out.push(held[at]);
            at += 1;
        }
        out.extend_from_slice(&held[at..]);
    }

    /// Notes the longest pattern that ends at `end` if it beats the best match so far.
    fn note(&mut self, patterns: &Patterns, end: usize) {
        let mut state = self.state;
        if patterns.ends[state as usize].is_empty() {
            state = patterns.shorter[state as usize];
        }
        while state != ROOT {
            let wanted = patterns.ends[state as usize].iter().find(|&&pattern| self.wanted[pattern as usize]);
            if let Some(&pattern) = wanted {
                let start = end - patterns.depth[state as usize] as usize;
                if self.best.is_none_or(|best| (start, pattern) < (best.start, best.pattern)) {
                    self.best = Some(Match { start, end, pattern });
                }
                return;
            }
            state = patterns.shorter[state as usize];
        }
    }

    /// Whether no match that has begun at `at` can beat `best`.
    fn is_settled(&self, patterns: &Patterns, best: Match, at: usize) -> bool {
        let begun = at - patterns.depth[self.state as usize] as usize;
        begun > best.start || (begun == best.start && patterns.first[self.state as usize] >= best.pattern)
    }

    fn count(&mut self, pattern: u32) {
        if self.once {
            self.wanted[pattern as usize] = false;
            self.left -= 1;
        }
    }
}

/// The held bytes followed by the input.
struct Joined<'a> {
    held: Vec<u8>,
    input: &'a [u8],
}

impl Joined<'_> {
    fn len(&self) -> usize {
        self.held.len() + self.input.len()
    }

    fn at(&self, at: usize) -> u8 {
        self.held.get(at).copied().unwrap_or_else(|| self.input[at - self.held.len()])
    }

    fn copy(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let border = self.held.len();
        if from < border {
            out.extend_from_slice(&self.held[from..to.min(border)]);
        }
        if to > border {
            out.extend_from_slice(&self.input[from.max(border) - border..to - border]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(filters: &[(&str, &str)], once: bool, body: &[u8], chunk: usize) -> String {
        let texts: Vec<&[u8]> = filters.iter().map(|filter| filter.0.as_bytes()).collect();
        let replacements = filters.iter().map(|filter| filter.1.as_bytes().to_vec()).collect();
        let longest = texts.iter().map(|text| text.len()).max().unwrap();
        let mut stage = Sub::new(Arc::new(Patterns::new(&texts)), replacements, once);
        let mut out = Vec::new();
        for part in body.chunks(chunk) {
            stage.feed(part, &mut out);
            assert!(stage.held.len() <= longest);
        }
        stage.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn results_are_those_of_nginx() {
        let table: &[(&[(&str, &str)], bool, &str, &str)] = &[
            (&[("abc", "X"), ("ab", "Y")], false, "abcabab", "XYab"),
            (&[("ab", "Y"), ("abc", "X")], false, "abcabab", "YcYY"),
            (&[("bc", "X"), ("abcd", "Y")], false, "abce abcd bc", "aXe Y X"),
            (&[("AbC", "X")], false, "ABCabc aBc", "XX X"),
            (&[("a", "1"), ("b", "2")], true, "aabbab", "1a2bab"),
            (&[("aa", "X")], false, "aaaaa", "XXa"),
            (&[("aa", "X"), ("aaa", "Y")], false, "aaaaaaaa", "XXXX"),
            (&[("aaa", "Y"), ("aa", "X")], false, "aaaaaaaa", "YYaa"),
            (&[("a", "b"), ("b", "a")], false, "abab", "baba"),
            (&[("abc", "X"), ("b", "Y")], false, "abdabc", "aYdX"),
            (&[("abcdefgh", "X"), ("cde", "Y")], false, "abcdefg abcdefgh", "abYfg X"),
            (&[("ab", "X"), ("ab", "Y")], true, "ab ab ab", "X Y ab"),
            (&[("abc", "X"), ("bcd", "Y")], true, "abcd abcd abcd", "Xd aY abcd"),
            (&[("x", "")], false, "axbxc", "abc"),
            (&[("abc", "X"), ("ab", "Y")], true, "abcabcab", "XYcab"),
            (&[("abc", "X"), ("zz", "Y")], false, "ab", "ab"),
            (&[("\u{c9}t", "X")], false, "\u{e9}t\u{c9}T", "\u{e9}tX"),
            (&[("A", "X"), ("b", "Y")], false, "abab", "XYXY"),
            (&[("", "X"), ("b", "Y")], false, "abab", "aYaY"),
        ];
        for &(filters, once, body, expected) in table {
            for chunk in 1..=body.len() {
                assert_eq!(run(filters, once, body.as_bytes(), chunk), expected, "{filters:?} {body} by {chunk}");
            }
        }
    }

    /// What `end` does for a tail, done for all of the body: slow, and obviously the rule.
    fn by_the_rule(filters: &[(&str, &str)], once: bool, body: &str) -> String {
        let texts: Vec<&[u8]> = filters.iter().map(|filter| filter.0.as_bytes()).collect();
        let replacements = filters.iter().map(|filter| filter.1.as_bytes().to_vec()).collect();
        let mut stage = Sub::new(Arc::new(Patterns::new(&texts)), replacements, once);
        stage.held = body.into();
        let mut out = Vec::new();
        stage.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_small_case_follows_the_rule() {
        // A linear congruential generator: the same cases each time.
        let mut seed = 1u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        for _ in 0..4000 {
            let mut text = |len: u32| (0..len).map(|_| char::from(b'a' + random(2) as u8)).collect::<String>();
            let (one, two, three, body) = (text(1), text(3), text(5), text(30));
            let filters = [(three.as_str(), "X"), (one.as_str(), "Y"), (two.as_str(), "Z")];
            for (from, to) in [(0, 3), (0, 2), (1, 3)] {
                for once in [false, true] {
                    let expected = by_the_rule(&filters[from..to], once, &body);
                    for chunk in [1, 2, 7, 30] {
                        let found = run(&filters[from..to], once, body.as_bytes(), chunk);
                        assert_eq!(found, expected, "{filters:?} {body} by {chunk}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_body_of_almost_matches_takes_no_time() {
        let long = format!("{}b", "a".repeat(2000));
        let body = "a".repeat(1 << 20);
        let begun = std::time::Instant::now();
        assert_eq!(run(&[(&long, "X")], false, body.as_bytes(), 4096), body);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}
