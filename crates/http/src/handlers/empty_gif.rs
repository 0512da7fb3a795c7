//! `empty_gif`: a transparent picture of one pixel, 43 bytes, from memory.

use wire::h1::Method;

use super::{Content, answer};
use crate::config::Handler;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::transport::sender::Sender;
use crate::variables::Scope;

/// The answer's Content-Type.
pub const CONTENT_TYPE: &[u8] = b"image/gif";

/// The answer's Last-Modified: Mon, 28 Sep 1970 06:00:00 GMT, in seconds since 1970. Never later, so that nobody
/// fetches it twice.
pub const LAST_MODIFIED: u64 = 23_349_600;

/// The picture: GIF89a, one by one pixel, two colours, the second (white) transparent.
pub const BODY: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x01\x00\
    \x00\x00\x00\xff\xff\xff\
    !\xf9\x04\x01\x00\x00\x01\x00\
    ,\x00\x00\x00\x00\x01\x00\x01\x00\x00\
    \x02\x02L\x01\x00;";

/// The table, by name.
pub const ROWS: &[Row] = &[Row::new(
    "empty_gif",
    L,
    (0, 0),
    "",
    "",
    "Answers with a transparent image of one pixel.",
    Set(|s| s.handler(Handler::EmptyGif)),
)];

pub fn serve(scope: &mut Scope<'_>, sender: &mut Sender) -> Content {
    if !matches!(scope.request.current_method(), Method::Get | Method::Head) {
        return Content::Status(405);
    }
    let mut head = sender.recycled_head(200);
    head.content_type.extend_from_slice(CONTENT_TYPE);
    head.last_modified.extend_from_slice(&wire::date::format(LAST_MODIFIED));
    head.length = Some(BODY.len() as u64);
    answer::whole(scope, sender, head, BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_was_last_modified_long_ago() {
        assert_eq!(&wire::date::format(LAST_MODIFIED), b"Mon, 28 Sep 1970 06:00:00 GMT");
        assert!(BODY.starts_with(b"GIF89a") && BODY.ends_with(b";"));
    }
}
