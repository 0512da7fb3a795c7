//! `error_page`: what is shown in place of an error's own page.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};
use crate::variables::Template;

/// A page for a status.
#[derive(Clone)]
pub struct ErrorPage {
    pub status: u16,
    pub page: Template,
    /// The arguments that the page brings; `None`: with variables in it, they are looked for in its value.
    pub args: Option<Box<[u8]>>,
    pub answer: AnswerStatus,
}

/// The status that the client sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerStatus {
    /// The error's.
    Same,
    /// That of the page.
    Page,
    Fixed(u16),
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("error_page", HSLI, (2, MANY), "CODE ... [=[RESPONSE]] URI | @NAME | URL", "",
        "What is answered in place of an error's page: a path, a named location, or a URL to redirect to. `=RESPONSE` changes the \
         status, `=` takes the page's.", Set(set)).repeats(),
];

fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let count = s.count();
    let mut codes = count - 1;
    let mut answer = AnswerStatus::Same;
    if let Some(status) = s.text(count - 2).strip_prefix('=') {
        if count == 2 {
            return Err(s.wrong("invalid value \"=\""));
        }
        codes -= 1;
        answer = match status {
            "" => AnswerStatus::Page,
            status => match status.parse() {
                Ok(status) => AnswerStatus::Fixed(status),
                Err(_) => return Err(s.wrong(format!("invalid value \"={status}\""))),
            },
        };
    }
    let text = s.text(count - 1).to_owned();
    let (page, args) = match text.split_once('?') {
        Some((page, args)) if text.starts_with('/') && !text.contains('$') => {
            (s.compile(page)?, Some(args.as_bytes().into()))
        }
        _ if !text.contains('$') => (s.compile(&text)?, Some(Box::default())),
        _ => (s.compile(&text)?, None),
    };
    let mut pages = Vec::new();
    for index in 0..codes {
        let status = s.number(index).map_err(|_| s.wrong(format!("invalid value \"{}\"", s.text(index))))?;
        if status == 499 {
            return Err(s.wrong("invalid value \"499\""));
        }
        if !(300..=599).contains(&status) {
            return Err(s.wrong(format!("value \"{status}\" must be between 300 and 599")));
        }
        pages.push(ErrorPage { status: status as u16, page: page.clone(), args: args.clone(), answer });
    }
    let first = s.first;
    let all = &mut s.settings().error_pages;
    let all = Arc::make_mut(all);
    if first {
        all.clear();
    }
    all.extend(pages);
    Ok(())
}
