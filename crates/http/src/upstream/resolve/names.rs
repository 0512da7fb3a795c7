//! What is known of names, and which are being asked for: one question at a time for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::message::Target;
use super::{Code, Found};

/// Most names that are remembered.
const MOST: usize = 4096;
/// How long it is remembered that there is no such name, in seconds.
const MISSING: u64 = 1;

/// A name and what of it is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub service: bool,
    /// In lower case, without a dot at its end.
    pub name: Box<str>,
}

/// What a question comes to.
pub type Outcome = Result<Arc<Found>, Code>;

enum Entry {
    /// It holds up to this second.
    Known(Outcome, u64),
    Asked(watch::Sender<Option<Outcome>>),
}

/// The memory of a resolver.
#[derive(Default)]
pub struct Names {
    all: Mutex<HashMap<Key, Entry>>,
}

/// What there is of a name.
pub enum Look {
    Known(Outcome),
    /// Somebody asks already.
    Wait(watch::Receiver<Option<Outcome>>),
    /// The caller is to ask.
    Ask(Question, watch::Receiver<Option<Outcome>>),
}

/// The duty to find out; if it is dropped without an answer, nobody waits for it any more.
pub struct Question {
    pub key: Key,
    names: Arc<Names>,
    sender: watch::Sender<Option<Outcome>>,
    done: bool,
}

impl Names {
    /// `now`: in seconds.
    pub fn look(self: &Arc<Names>, key: Key, now: u64) -> Look {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&key) {
            Some(Entry::Known(outcome, until)) if *until >= now => return Look::Known(outcome.clone()),
            Some(Entry::Asked(sender)) => return Look::Wait(sender.subscribe()),
            _ => {}
        }
        if all.len() >= MOST {
            make_room(&mut all, now);
        }
        let (sender, receiver) = watch::channel(None);
        all.insert(key.clone(), Entry::Asked(sender.clone()));
        Look::Ask(Question { key, names: self.clone(), sender, done: false }, receiver)
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.all.lock().unwrap().len()
    }
}

/// Forgets what holds no longer, and if that is nothing, what would be the first.
fn make_room(all: &mut HashMap<Key, Entry>, now: u64) {
    all.retain(|_, entry| !matches!(entry, Entry::Known(_, until) if *until < now));
    if all.len() < MOST {
        return;
    }
    let until = |entry: &Entry| match entry {
        Entry::Known(_, until) => *until,
        Entry::Asked(_) => u64::MAX,
    };
    if let Some(key) = all.iter().min_by_key(|(_, entry)| until(entry)).map(|(key, _)| key.clone()) {
        all.remove(&key);
    }
}

impl Question {
    /// Whether somebody still wants to know.
    pub fn is_waited_for(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Tells all who wait.
    pub fn answer(mut self, outcome: Outcome, now: u64) {
        let until = match &outcome {
            Ok(found) => Some(now.saturating_add(found.valid)),
            Err(Code::NAME) => Some(now + MISSING),
            Err(_) => None,
        };
        {
            let mut all = self.names.all.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) => all.insert(self.key.clone(), Entry::Known(outcome.clone(), until)),
                None => all.remove(&self.key),
            };
        }
        self.done = true;
        self.sender.send_replace(Some(outcome));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.done {
            self.names.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        }
    }
}

/// In the order in which they are to be used (RFC 2782): by priority.
pub fn in_order(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_by_key(|target| target.priority);
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { service: false, name: name.into() }
    }

    fn found(valid: u64) -> Outcome {
        Ok(Arc::new(Found { valid, ..Found::default() }))
    }

    #[test]
    fn one_asks_and_all_know_until_it_is_old() {
        let names = Arc::new(Names::default());
        let Look::Ask(question, first) = names.look(key("a"), 10) else { panic!() };
        let Look::Wait(second) = names.look(key("a"), 11) else { panic!() };
        assert!(question.is_waited_for());
        question.answer(found(5), 12);
        assert!(first.borrow().is_some() && second.borrow().is_some());
        assert!(matches!(names.look(key("a"), 17), Look::Known(Ok(_))));
        assert!(matches!(names.look(key("a"), 18), Look::Ask(..)));
        assert!(matches!(names.look(key("a"), 18), Look::Ask(..)), "the question was given up");
    }

    #[test]
    fn failures_are_not_kept_but_for_a_moment() {
        let names = Arc::new(Names::default());
        let Look::Ask(question, _) = names.look(key("a"), 1) else { panic!() };
        assert!(!question.is_waited_for());
        question.answer(Err(Code::SERVER), 1);
        let Look::Ask(question, _) = names.look(key("a"), 1) else { panic!() };
        question.answer(Err(Code::NAME), 1);
        assert!(matches!(names.look(key("a"), 2), Look::Known(Err(Code::NAME))));
        assert!(matches!(names.look(key("a"), 3), Look::Ask(..)));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let names = Arc::new(Names::default());
        for number in 0..MOST as u64 + 100 {
            let Look::Ask(question, _) = names.look(key(&number.to_string()), 0) else { panic!() };
            question.answer(found(10 + number), 0);
        }
        assert_eq!(names.len(), MOST);
        assert!(matches!(names.look(key(&(MOST + 99).to_string()), 0), Look::Known(_)));
    }
}
