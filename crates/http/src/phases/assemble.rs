//! Answers that are put together of several: pages with SSI commands, and what `addition` puts round a body. The answer
//! was kept; what it includes is fetched by subrequests, whose answers are kept, too.

use std::sync::Arc;

use super::route::From;
use super::subrequest::subrequest;
use super::{Begin, log, travel};
use crate::exchange::{Assembly, Chunk, Request};
use crate::features::limit_conn::Held;
use crate::features::ssi::{Interpreter, Shared, Step, page::Page};
use crate::handlers::Content;
use crate::stage::{Chain, Stage};
use crate::transport::Conn;
use crate::transport::sender::{Kept, MOST_KEPT, PIECE, Sender};
use crate::variables::Scope;

/// The body of a subrequest that becomes a variable, in bytes.
const MOST_SET: usize = 1 << 20;

/// So much text of a page is gathered before it is passed on, in bytes.
const GATHERED: usize = 16 * 1024;

/// Why an answer cannot be completed.
enum Broken {
    /// The client is gone.
    Gone,
    /// A file could not be read, or there is too much.
    Failed(String),
}

/// Sends the answer that was kept, with what it includes. `true`: some of the request's body may not be read.
pub async fn finish(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender) -> (Box<Request>, bool) {
    let engine = conn.engine.clone();
    let Some(mut kept) = sender.take_kept() else { return (request, false) };
    let page = if kept.too_long { Err(too_long()) } else { prepare(&mut kept) };
    let Prepared { body, assembly } = match page {
        Ok(prepared) => prepared,
        Err(why) => {
            let log = engine.log_of(&request);
            request.error(&engine.config, log, format_args!("{why}"));
            request.route.plain_body = true;
            let begin = Begin::Content(Content::Status(500));
            return travel(&engine, conn, request, sender, begin, &mut Held::default()).await;
        }
    };
    let aborted = kept.aborted;
    sender.begin(kept.head);
    if !sender.has_body() {
        sender.end();
        return (request, false);
    }
    let mut lent = assembly.request;
    let own = lent.as_mut().unwrap_or(&mut request);
    let mut parts = Parts { sender, shared: Shared::default(), capture: None, empty: true };
    let done = parts.whole(conn, own, assembly.before, body, assembly.after).await;
    match done {
        Ok(()) if aborted => sender.abort(),
        Ok(()) => sender.end(),
        Err(Broken::Gone) => {
            sender.broken = true;
            sender.clear_queue();
            sender.abort();
        }
        Err(Broken::Failed(why)) => {
            let log = engine.log_of(&request);
            request.error(&engine.config, log, format_args!("{why}"));
            sender.abort();
        }
    }
    (request, false)
}

fn too_long() -> String {
    format!("the answer is longer than {} MB, which is the most that may be kept for SSI or addition", MOST_KEPT >> 20)
}

/// An answer's own part.
enum Body {
    /// As it is, but for stages.
    Plain(Vec<Chunk>, Vec<Box<dyn Stage>>),
    /// A page with commands.
    Page(Arc<[u8]>),
}

struct Prepared {
    body: Body,
    assembly: Assembly,
}

/// Takes a kept answer apart. The error is for the log.
fn prepare(kept: &mut Kept) -> Result<Prepared, String> {
    let assembly = kept.head.assembly.take().map(|assembly| *assembly).unwrap_or_default();
    let stages = std::mem::take(&mut kept.head.stages);
    let chunks = std::mem::take(&mut kept.body);
    if !stages.iter().all(|stage| stage.keeps_length()) {
        kept.head.length = None;
    }
    let body = if assembly.ssi { Body::Page(whole(chunks, stages)?) } else { Body::Plain(chunks, stages) };
    Ok(Prepared { body, assembly })
}

/// All of a body, through its stages.
fn whole(chunks: Vec<Chunk>, stages: Vec<Box<dyn Stage>>) -> Result<Arc<[u8]>, String> {
    let mut chain = Chain::new(stages);
    let mut page = Vec::new();
    let mut add = |bytes: Vec<u8>| {
        page.extend_from_slice(&bytes);
        if page.len() > MOST_KEPT { Err(too_long()) } else { Ok(()) }
    };
    for chunk in chunks {
        let mut at = 0;
        while let Some(piece) = piece_of(&chunk, &mut at)? {
            chain.feed_all(&piece, &mut add)?;
        }
    }
    add(chain.end())?;
    match chain.failure() {
        None => Ok(page.into()),
        Some(why) => Err(why),
    }
}

/// The next piece of a chunk, from `at` on.
fn piece_of(chunk: &Chunk, at: &mut u64) -> Result<Option<Vec<u8>>, String> {
    if *at >= chunk.len() {
        return Ok(None);
    }
    let mut piece = Vec::new();
    match chunk {
        Chunk::File(slice) => {
            slice.read_at(*at, PIECE, &mut piece).map_err(|error| format!("read() of a file failed: {error}"))?;
        }
        other => piece.extend_from_slice(other.memory().unwrap_or_default()),
    }
    *at += piece.len() as u64;
    Ok(Some(piece))
}

/// What is to be fetched.
struct Wanted {
    path: Vec<u8>,
    query: Vec<u8>,
    /// A page that stands for an answer that is empty or an error, and the media type of the one it is in.
    stub: Option<(Vec<u8>, Vec<u8>)>,
    /// How deep it is below the main request, from 1.
    depth: u32,
}

/// An answer that is being put together.
struct Parts<'a> {
    sender: &'a mut Sender,
    shared: Shared,
    /// What comes goes here and not to the client.
    capture: Option<Vec<u8>>,
    /// Nothing has come since this was last set.
    empty: bool,
}

impl Parts<'_> {
    /// The main answer, with what comes before and after it.
    async fn whole(
        &mut self,
        conn: &mut Conn,
        request: &mut Box<Request>,
        before: Option<Arc<[u8]>>,
        body: Body,
        after: Option<Arc<[u8]>>,
    ) -> Result<(), Broken> {
        let wanted = |path: Arc<[u8]>| Wanted { path: path.to_vec(), query: Vec::new(), stub: None, depth: 1 };
        if let Some(path) = before {
            self.fetch(conn, request, wanted(path)).await?;
        }
        self.body(conn, request, body, 0).await?;
        if let Some(path) = after {
            self.fetch(conn, request, wanted(path)).await?;
        }
        Ok(())
    }

    /// The body of an answer, `depth` subrequests below the main one.
    async fn body(
        &mut self,
        conn: &mut Conn,
        request: &mut Box<Request>,
        body: Body,
        depth: u32,
    ) -> Result<(), Broken> {
        match body {
            Body::Page(page) => self.run(conn, request, page, depth).await,
            Body::Plain(chunks, stages) if stages.is_empty() => {
                for chunk in chunks {
                    self.put(conn, chunk).await?;
                }
                Ok(())
            }
            Body::Plain(chunks, stages) => {
                let mut chain = Chain::new(stages);
                for chunk in chunks {
                    let mut at = 0;
                    while let Some(piece) = piece_of(&chunk, &mut at).map_err(Broken::Failed)? {
                        let mut done = 0;
                        while done < piece.len() || chain.is_full() {
                            let mut out = Vec::new();
                            done += chain.feed(&piece[done..], false, &mut out);
                            self.put(conn, Chunk::Bytes(out)).await?;
                        }
                    }
                }
                let end = chain.end();
                if let Some(why) = chain.failure() {
                    return Err(Broken::Failed(why));
                }
                self.put(conn, Chunk::Bytes(end)).await
            }
        }
    }

    /// Passes something on.
    async fn put(&mut self, conn: &mut Conn, chunk: Chunk) -> Result<(), Broken> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.empty = false;
        if let Some(capture) = &mut self.capture {
            let mut at = 0;
            while let Some(piece) = piece_of(&chunk, &mut at).map_err(Broken::Failed)? {
                if capture.len() + piece.len() > MOST_SET {
                    return Err(Broken::Failed("too long value of an \"include\" command with \"set\"".into()));
                }
                capture.extend_from_slice(&piece);
            }
            return Ok(());
        }
        self.sender.push(chunk);
        if self.sender.is_full() {
            let timeout = self.sender.settings().map_or(60_000, |settings| settings.send_timeout);
            conn.flush(self.sender, timeout).await.map_err(|_| Broken::Gone)?;
        }
        Ok(())
    }

    /// Runs the commands of a page.
    async fn run(
        &mut self,
        conn: &mut Conn,
        request: &mut Box<Request>,
        page: Arc<[u8]>,
        depth: u32,
    ) -> Result<(), Broken> {
        let engine = conn.engine.clone();
        let settings = engine.config.location(request.route.location).settings.clone();
        let media_type = settings.types.of(&request.path).unwrap_or(&settings.default_type).as_bytes().to_vec();
        let ssi = &settings.ssi;
        let mut interpreter = Interpreter::new(page, &request.path, depth, ssi.value_length, ssi.silent_errors);
        let mut text = Vec::new();
        loop {
            let include = {
                let log = engine.log_of(request);
                // The scope needs the request, the log is chosen by it.
                let mut cx = Page { scope: Scope::new(&engine.config, request, log) };
                match interpreter.next(&mut self.shared, &mut cx) {
                    Step::Bytes(bytes) => {
                        text.extend_from_slice(&bytes);
                        None
                    }
                    Step::Include(include) => Some(include),
                    Step::End => break,
                }
            };
            if include.is_some() || text.len() >= GATHERED {
                self.put(conn, Chunk::Bytes(std::mem::take(&mut text))).await?;
            }
            let Some(include) = include else { continue };
            let outer = include.set.is_some().then(|| self.capture.replace(Vec::new()));
            let stub = include.stub.map(|stub| (stub, media_type.clone()));
            let wanted = Wanted { path: include.path, query: include.query, stub, depth: depth + 1 };
            let done = self.fetch(conn, request, wanted).await;
            if let Some(outer) = outer {
                let value = std::mem::replace(&mut self.capture, outer).unwrap_or_default();
                interpreter.resume_with(value, &mut self.shared);
            }
            done?;
        }
        self.put(conn, Chunk::Bytes(text)).await
    }

    /// Passes on the body of what answers to a path.
    async fn fetch(&mut self, conn: &mut Conn, main: &mut Box<Request>, wanted: Wanted) -> Result<(), Broken> {
        let engine = conn.engine.clone();
        let depth = wanted.depth;
        let request = subrequest(main, wanted.path, wanted.query);
        let read = request.consumed;
        let mut sender = Sender::new();
        let settings = &engine.config.location(request.route.location).settings;
        sender.reset(&request, true, settings);
        sender.keep();
        // Boxed: a page may include itself, and subrequests must not make every request's future larger.
        // What the main request holds, it holds for its parts.
        let mut held = Held::default();
        let way = Begin::Way(From::Server);
        let (mut request, _) = Box::pin(travel(&engine, conn, request, &mut sender, way, &mut held)).await;
        // What an application's handler has read ahead of the next request.
        if let Some(ahead) = request.buf.get(read..).filter(|ahead| !ahead.is_empty()) {
            main.buf.extend_from_slice(ahead);
            request.buf.truncate(read);
        }
        let Some(mut kept) = sender.take_kept() else { return Ok(()) };
        if kept.too_long {
            return Err(Broken::Failed(too_long()));
        }
        let failed = kept.head.own_error || request.route.error_page || kept.aborted;
        let Prepared { mut body, mut assembly } = prepare(&mut kept).map_err(Broken::Failed)?;
        let empty = match &body {
            Body::Plain(chunks, _) => chunks.iter().all(Chunk::is_empty),
            Body::Page(page) => page.is_empty(),
        };
        let mut lent = assembly.request.take();
        let own = lent.as_mut().unwrap_or(&mut request);
        if let Some((stub, media_type)) = wanted.stub.filter(|_| failed || empty) {
            // Where nothing was answered, the type is that of the page around.
            let settings = &engine.config.location(own.route.location).settings;
            let is_page = if failed { settings.ssi.is_for(&media_type) } else { assembly.ssi };
            body = if is_page { Body::Page(stub.into()) } else { Body::Plain(vec![Chunk::Bytes(stub)], Vec::new()) };
        }
        let done = Box::pin(self.body(conn, own, body, depth)).await;
        if engine.config.location(request.route.location).settings.log_subrequest {
            sender.head = kept.head;
            log(conn, lent.as_mut().unwrap_or(&mut request), &sender);
        }
        // All requests of one answer have the same variables.
        main.route.values = std::mem::take(&mut lent.as_mut().unwrap_or(&mut request).route.values);
        done
    }
}
