//! `ssl_ocsp`: certificates of clients, of which their issuers' responders must say that they are good.

use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;

use super::super::verify::parsed;
use super::message::{self, Id, Status, Told};
use super::{Responder, chain};
use crate::zone::Zone;
use crate::zone::values::Values;

/// A status and a time, in bytes.
const ENTRY: usize = 9;
/// What does not say how long it holds is kept for so many seconds.
const UNSAID: i64 = 3600;

/// What a server asks of clients' certificates.
pub struct Clients {
    /// Only the client's own certificate is asked for, not those between it and its root.
    pub leaf: bool,
    /// Who is asked, whatever certificates say.
    pub responder: Option<Responder>,
    /// What responders said.
    pub cache: Option<Arc<Zone>>,
    pub known: WebPkiSupportedAlgorithms,
    /// Certificates of authorities.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// What is to be found out of one certificate.
pub struct Question {
    pub id: Id,
    issuer: CertificateDer<'static>,
    /// `None`: nobody is named, or nobody that can be asked.
    pub responder: Option<Responder>,
    /// The certificate names it, not the configuration.
    pub is_foreign: bool,
}

impl Clients {
    /// What is to be found out of a client's certificates: of each but the root.
    pub fn questions(&self, chain: &[Box<[u8]>]) -> Vec<Question> {
        let among: Vec<CertificateDer<'_>> = chain
            .iter()
            .skip(1)
            .map(|one| CertificateDer::from(&**one))
            .chain(self.authorities.iter().map(|one| CertificateDer::from(one.as_ref())))
            .collect();
        let Some(own) = chain.first().map(|own| CertificateDer::from(&**own)) else { return Vec::new() };
        let path = chain::path(&own, &among, &self.known);
        let most = if self.leaf { 1 } else { path.len() };
        let pairs = path.windows(2).take(most).filter_map(|pair| {
            let (one, issuer) = (parsed(pair[0])?, parsed(pair[1])?);
            let named = || Responder::of(&one).and_then(|url| Responder::parse(&url).ok());
            Some(Question {
                id: Id::of(&one, &issuer),
                issuer: CertificateDer::from(pair[1].as_ref()).into_owned(),
                responder: self.responder.clone().or_else(named),
                is_foreign: self.responder.is_none(),
            })
        });
        pairs.collect()
    }

    /// What an answer says; the error is for the log.
    pub fn read(&self, question: &Question, answer: &[u8], now: i64) -> Result<Told, String> {
        message::read(answer, &question.id, &question.issuer, false, &self.known, now)
    }

    /// What was said before, and still holds.
    pub fn remembered(&self, question: &Question, now: i64) -> Option<Status> {
        let memory = self.cache.as_ref()?.memory()?;
        let hash = memory.secret.hash(&question.id.encode());
        let (text, _) = Values::new(memory.numbers(), memory.secret, ENTRY).get(hash)?;
        let (status, until) = text.split_first()?;
        if i64::from_le_bytes(until.try_into().ok()?) < now {
            return None;
        }
        match status {
            1 => Some(Status::Good),
            2 => Some(Status::Revoked),
            _ => None,
        }
    }

    pub fn remember(&self, question: &Question, told: Told, now: i64) {
        let Some(memory) = self.cache.as_ref().and_then(|zone| zone.memory()) else { return };
        let status = match told.status {
            Status::Good => 1,
            Status::Revoked => 2,
            Status::Unknown => return,
        };
        let mut text = vec![status];
        text.extend_from_slice(&told.until.unwrap_or(now + UNSAID).to_le_bytes());
        let hash = memory.secret.hash(&question.id.encode());
        Values::new(memory.numbers(), memory.secret, ENTRY).put(hash, &text, u64::try_from(now).unwrap_or(0));
    }
}
