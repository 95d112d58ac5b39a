//! What a server's refusal, or its silence, means, in one sentence.
//! In: errors of the client.  Out: errors as those of files are.  Owns: nothing.

use std::error::Error;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

use crate::retention::objects::s3::transport::NoAnswer;

/// Characters of a server's own words that are told.
const LONGEST: usize = 200;

/// The first line of the text that the client makes of an answer that is no success, before status and body.
const ANSWER: &str = "Server returned non-2xx status code: ";

/// Neither address nor secret is in it.
pub(super) fn failure(error: &object_store::Error) -> io::Error {
    let mut last: &(dyn Error + 'static) = error;
    loop {
        if let Some(error) = last.downcast_ref::<HttpError>() {
            return no_answer(error);
        }
        let text = last.to_string();
        if let Some(answer) = text.strip_prefix(ANSWER) {
            // Who is asked for keys may answer that, too, and must not be taken for the bucket.
            return refusal(answer, matches!(error, object_store::Error::NotFound { .. }));
        }
        match last.source() {
            Some(source) => last = source,
            None => return io::Error::other(shortened(&text)),
        }
    }
}

fn no_answer(error: &HttpError) -> io::Error {
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    if error.source().and_then(<dyn Error>::downcast_ref::<NoAnswer>).is_some_and(|none| none.of_machine) {
        let what = "there are no keys: none are configured, and the machine gives none";
        return io::Error::new(io::ErrorKind::PermissionDenied, format!("{what}: {text}"));
    }
    match error.kind() {
        HttpErrorKind::Timeout => {
            io::Error::new(io::ErrorKind::TimedOut, format!("the server does not answer in time: {text}"))
        }
        HttpErrorKind::Connect => io::Error::other(format!("the server cannot be reached: {text}")),
        HttpErrorKind::Request | HttpErrorKind::Interrupted => {
            io::Error::other(format!("the connection to the server broke: {text}"))
        }
        _ => io::Error::other(text),
    }
}

/// `answer` is status and body; `of_object` is whether it is about an object.
fn refusal(answer: &str, of_object: bool) -> io::Error {
    let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
    let code = element(body, "Code");
    let words = [code, element(body, "Message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let words = if words.is_empty() { String::new() } else { format!(" ({})", shortened(&words)) };
    match status.split(' ').next() {
        Some("404") if code == Some("NoSuchBucket") => {
            io::Error::other(format!("there is no such bucket{words}"))
        }
        Some("404") if of_object => {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no such object{words}"))
        }
        Some("401" | "403") => {
            io::Error::new(io::ErrorKind::PermissionDenied, format!("the server denies access{words}"))
        }
        _ => io::Error::other(format!("the server answers {status}{words}")),
    }
}

/// The text of the first element of this name.
fn element<'b>(body: &'b str, name: &str) -> Option<&'b str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn shortened(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_server_answers_a_short_line_is_made_of_it(
            status in "[1-5][0-9]{2} \\PC{0,10}",
            body in prop_oneof!["\\PC{0,300}", "(<Code>|</Code>|<Message>|</Message>|NoSuchBucket|\\n){0,9}"],
        ) {
            let told = refusal(&format!("{status}: {body}"), true).to_string();
            prop_assert!(told.chars().count() < LONGEST + 60 && !told.contains('\n'), "{told}");
        }
    }
}
