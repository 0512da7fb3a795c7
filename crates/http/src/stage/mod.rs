//! Body stages: bytes in, bytes out. They are synchronous and know neither request nor connection; what they keep
//! between two chunks is bounded.

pub mod charset;
pub mod sub;

/// Something that a body goes through.
pub trait Stage: Send {
    /// Takes a part of the body and appends what comes of it.
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>);

    /// Ends the body: appends what was held back.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Whether a body's length stays what it was.
    fn keeps_length(&self) -> bool {
        false
    }
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

/// The stages of one body, one after another.
pub struct Chain {
    stages: Vec<Box<dyn Stage>>,
}

impl Chain {
    pub fn new(stages: Vec<Box<dyn Stage>>) -> Chain {
        Chain { stages }
    }

    /// What comes of a part of the body.
    pub fn feed(&mut self, input: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, stage) in self.stages.iter_mut().enumerate() {
            let mut out = Vec::new();
            stage.feed(if at == 0 { input } else { &bytes }, &mut out);
            bytes = out;
        }
        if self.stages.is_empty() { input.to_vec() } else { bytes }
    }

    /// What comes of the end of the body.
    pub fn end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for stage in &mut self.stages {
            let mut out = Vec::new();
            stage.feed(&bytes, &mut out);
            stage.end(&mut out);
            bytes = out;
        }
        bytes
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
        let mut out = chain.feed(b"1abc");
        out.extend(chain.feed(b"ab"));
        out.extend(chain.end());
        assert_eq!(out, b"1x-");
    }
}
