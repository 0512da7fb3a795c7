//! `ssl_stapling`: what a responder says of a certificate of our own, sent along with it. The responder is asked in the
//! background; while there is no answer, or none that holds, nothing is sent along.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::super::verify::parsed;
use super::message::{self, Id, Status};
use super::{Responder, chain};

/// An answer is asked for anew after so many seconds at most, and at least.
const LATEST: i64 = 3600;
const SOONEST: i64 = 300;

/// A certificate of our own whose state is asked for.
pub struct Staple {
    /// As the certificate is named.
    pub shown: Box<str>,
    own: Arc<CertifiedKey>,
    id: Id,
    issuer: CertificateDer<'static>,
    pub responder: Responder,
    /// `ssl_stapling_verify`: who vouches for the issuer.
    trusted: Option<Vec<CertificateDer<'static>>>,
    known: WebPkiSupportedAlgorithms,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The certificate with the answer, and until when that holds.
    answered: Option<(Arc<CertifiedKey>, i64)>,
    /// When it is to be asked for.
    due: i64,
    asking: bool,
}

impl fmt::Debug for Staple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Staple({})", self.shown)
    }
}

impl Staple {
    /// The error is nginx's warning that there will be no answers. `said`: who is to be asked in place of the responder that
    /// the certificate names; `trusted`: certificates of authorities; `verify`: answers are checked with these.
    pub fn new(
        shown: &str,
        own: Arc<CertifiedKey>,
        said: Option<&str>,
        trusted: &[CertificateDer<'static>],
        verify: bool,
        known: WebPkiSupportedAlgorithms,
    ) -> Result<Staple, String> {
        let ignored = |why: String| format!("\"ssl_stapling\" ignored, {why}");
        let certificate = own.cert.first().and_then(|first| parsed(first).map(|certificate| (first, certificate)));
        let no_issuer = || ignored(format!("issuer certificate not found for certificate \"{shown}\""));
        let (first, certificate) = certificate.ok_or_else(no_issuer)?;
        let issuer = chain::issuer(first, own.cert.iter().skip(1).chain(trusted), &known).ok_or_else(no_issuer)?;
        let parent = parsed(issuer).ok_or_else(no_issuer)?;
        let Some(url) = said.map(str::to_owned).or_else(|| Responder::of(&certificate)) else {
            return Err(ignored(format!("no OCSP responder URL in the certificate \"{shown}\"")));
        };
        let responder = Responder::parse(&url).map_err(|(why, what)| {
            ignored(format!("{why} in OCSP responder \"{what}\" in the certificate \"{shown}\""))
        })?;
        Ok(Staple {
            shown: shown.into(),
            id: Id::of(&certificate, &parent),
            issuer: issuer.clone().into_owned(),
            responder,
            trusted: verify.then(|| trusted.to_vec()),
            known,
            state: Mutex::default(),
            own,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate with an answer that holds.
    pub fn answered(&self, now: i64) -> Option<Arc<CertifiedKey>> {
        let state = self.state();
        state.answered.as_ref().filter(|(_, until)| *until >= now).map(|(own, _)| own.clone())
    }

    /// Whether the responder is to be asked now; who is told so must call `end`.
    pub fn begin(&self, now: i64) -> bool {
        let mut state = self.state();
        if state.asking || now < state.due {
            return false;
        }
        state.asking = true;
        true
    }

    /// What is asked.
    pub fn question(&self) -> Vec<u8> {
        self.id.question()
    }

    /// Takes what came of asking; the error is for the log.
    pub fn end(&self, answer: Option<Vec<u8>>, now: i64) -> Result<(), String> {
        let read = answer.map(|answer| self.read(&answer, now).map(|until| (answer, until)));
        let mut state = self.state();
        (state.asking, state.due) = (false, now + SOONEST);
        let Some(read) = read else { return Ok(()) };
        let (answer, until) = read?;
        let mut own = (*self.own).clone();
        own.ocsp = Some(answer);
        // Before it holds no more, but neither all the time nor never.
        state.due = until.saturating_sub(300).min(now + LATEST).max(now + SOONEST);
        state.answered = Some((Arc::new(own), until));
        Ok(())
    }

    /// Until when an answer holds that may be sent along.
    fn read(&self, answer: &[u8], now: i64) -> Result<i64, String> {
        let told = message::read(answer, &self.id, &self.issuer, self.trusted.is_none(), &self.known, now)?;
        // The issuer itself is taken on the word of the file that it stands in, as with nginx.
        if let Some(trusted) = &self.trusted
            && !told.by_issuer
            && !chain::is_trusted(&self.issuer, trusted, &self.own.cert, &self.known, now)
        {
            return Err("OCSP_basic_verify() failed (SSL: root ca not trusted)".to_owned());
        }
        if told.status != Status::Good {
            return Err(format!("certificate status \"{}\" in the OCSP response", told.status.word()));
        }
        Ok(told.until.unwrap_or(i64::MAX))
    }
}
