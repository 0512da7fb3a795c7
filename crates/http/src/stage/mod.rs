//! Body stages: bytes in, bytes out. They are synchronous and know neither request nor connection; what they keep
//! between two chunks is bounded.

pub mod brotli;
pub mod charset;
pub mod gunzip;
pub mod gzip;
mod pool;
pub mod sub;
pub mod zstd;

#[cfg(test)]
mod coding_tests;

/// Something that a body goes through.
pub trait Stage: Send {
    /// Takes a part of the body and appends what comes of it.
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>);

    /// Ends the body: appends what was held back.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Both at once, where it is known that this part is the last one.
    fn last(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.feed(input, out);
        self.end(out);
    }

    /// Takes as much of a part as gives a bounded amount, and says how many bytes that was; `last`: no more parts come
    /// after this one. For a stage by which a body may become very much longer.
    fn pull(&mut self, input: &[u8], _last: bool, out: &mut Vec<u8>) -> usize {
        self.feed(input, out);
        input.len()
    }

    /// Whether that is so: `pull` may take less than all.
    fn expands(&self) -> bool {
        false
    }

    /// Whether more comes of what was taken by `pull`: it is to be called again, if only with nothing.
    fn is_full(&self) -> bool {
        false
    }

    /// Appends what was held back for the sake of shortness, as far as it can be told before the body goes on.
    fn flush(&mut self, _out: &mut Vec<u8>) {}

    /// Whether a body's length stays what it was.
    fn keeps_length(&self) -> bool {
        false
    }

    /// By how much the body has become shorter.
    fn ratio(&self) -> Option<Ratio> {
        None
    }

    /// The coding and its level, of a stage that makes the same of the same body each time.
    fn makes(&self) -> Option<(Coding, i32)> {
        None
    }

    /// Why the body cannot be completed, told once.
    fn failure(&mut self) -> Option<String> {
        None
    }
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// Its name in fields.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// Its place in a list of all.
    pub fn index(self) -> usize {
        match self {
            Coding::Gzip => 0,
            Coding::Brotli => 1,
            Coding::Zstd => 2,
        }
    }
}

/// What a body was and became, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratio {
    pub coding: Coding,
    pub input: u64,
    pub output: u64,
}

impl Stage for sub::Sub {
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        sub::Sub::feed(self, input, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        sub::Sub::end(self, out);
    }
}

impl Stage for charset::Charset {
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        charset::Charset::feed(self, input, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        charset::Charset::end(self, out);
    }

    fn keeps_length(&self) -> bool {
        charset::Charset::keeps_length(self)
    }
}

/// The stages of one body, one after another. The first one may give a bounded amount of a part at a time.
pub struct Chain {
    stages: Vec<Box<dyn Stage>>,
}

impl Chain {
    pub fn new(stages: Vec<Box<dyn Stage>>) -> Chain {
        Chain { stages }
    }

    /// Appends what comes of a part of the body, or of its beginning: how many bytes were taken.
    pub fn feed(&mut self, input: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        let Some((first, rest)) = self.stages.split_first_mut() else {
            out.extend_from_slice(input);
            return input.len();
        };
        if rest.is_empty() {
            return first.pull(input, last, out);
        }
        let mut bytes = Vec::new();
        let taken = first.pull(input, last, &mut bytes);
        for stage in rest {
            let mut made = Vec::new();
            if !bytes.is_empty() {
                stage.feed(&bytes, &mut made);
            }
            bytes = made;
        }
        out.append(&mut bytes);
        taken
    }

    /// Whether `feed` is to be called again before the next part, if only with nothing.
    pub fn is_full(&self) -> bool {
        self.stages.first().is_some_and(|first| first.is_full())
    }

    /// Appends what comes of the last part and the end. Where the first stage gives a bounded amount, the part is
    /// empty.
    pub fn last(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if let [only] = &mut self.stages[..] {
            return only.last(input, out);
        }
        let mut bytes = Vec::from(input);
        for stage in &mut self.stages {
            let mut made = Vec::new();
            stage.last(&bytes, &mut made);
            bytes = made;
        }
        out.append(&mut bytes);
    }

    /// Appends what was held back, as far as can be.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        for stage in &mut self.stages {
            let mut made = Vec::new();
            if !bytes.is_empty() {
                stage.feed(&bytes, &mut made);
            }
            stage.flush(&mut made);
            bytes = made;
        }
        out.append(&mut bytes);
    }

    /// Whether a part can become very much longer.
    pub fn expands(&self) -> bool {
        self.stages.first().is_some_and(|first| first.expands())
    }

    /// All that comes of a part of the body, piece by piece.
    pub fn feed_all<E>(&mut self, input: &[u8], mut each: impl FnMut(Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let mut at = 0;
        loop {
            let mut out = Vec::new();
            at += self.feed(&input[at..], false, &mut out);
            each(out)?;
            if at == input.len() && !self.is_full() {
                return Ok(());
            }
        }
    }

    /// What comes of the end of the body.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.last(&[], &mut out);
        out
    }

    /// The only stage, if nothing but a coding is left to be done.
    pub fn sole_coder(&mut self) -> Option<Box<dyn Stage>> {
        match &self.stages[..] {
            [only] if only.makes().is_some() => self.stages.pop(),
            _ => None,
        }
    }

    /// By how much the body has become shorter.
    pub fn ratio(&self) -> Option<Ratio> {
        self.stages.last().and_then(|last| last.ratio())
    }

    /// Why the body cannot be completed, told once.
    pub fn failure(&mut self) -> Option<String> {
        self.stages.iter_mut().find_map(|stage| stage.failure())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::sub::{Patterns, Sub};
    use super::*;

    #[test]
    fn what_one_stage_holds_back_goes_through_the_next() {
        let stage = |from: &str, to: &str| -> Box<dyn Stage> {
            Box::new(Sub::new(Arc::new(Patterns::new(&[from.as_bytes()])), vec![to.as_bytes().to_vec()], false))
        };
        let mut chain = Chain::new(vec![stage("abc", "xy"), stage("yab", "-")]);
        let mut out = Vec::new();
        assert_eq!(chain.feed(b"1abc", false, &mut out), 4);
        chain.feed(b"ab", false, &mut out);
        chain.last(b"", &mut out);
        assert_eq!(out, b"1x-");
    }
}
