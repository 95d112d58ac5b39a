//! A server that fails as a test wants it to.
//! In: what to do with each request, in order; then all is well.  Out: what was asked.  Owns: a port, a thread.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Status and body.
    Answer(u16, &'static str),
    /// Ends the connection in the middle of the answer.
    HalfAnswer(&'static str),
    /// Ends the connection before the whole request is read.
    HalfRequest,
    /// Reads the request and says nothing.
    Silence,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Method and address.
    pub(super) what: String,
    /// All header lines.
    pub(super) head: String,
    /// As far as it was read.
    pub(super) body: Vec<u8>,
}

pub(super) struct Scripted {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    pub(super) fn start(script: &[Act], after: Act) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (script, seen) = (script.to_vec(), requests.clone());
        thread::spawn(move || {
            // Connections without an answer stay open.
            let mut kept = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let act = script.get(number).copied().unwrap_or(after);
                kept.push(serve(stream.unwrap(), act, &seen));
            }
        });
        Scripted { address, requests }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads one request; gives the connection if it is to stay open.
fn serve(stream: TcpStream, act: Act, seen: &Mutex<Vec<Request>>) -> Option<TcpStream> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut head, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    if matches!(act, Act::HalfRequest) {
        length /= 2;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let what = first.rsplit_once(' ').map(|(what, _)| what.to_owned()).unwrap();
    seen.lock().unwrap().push(Request { what, head, body });
    let mut stream = reader.into_inner();
    let (status, body, more) = match act {
        Act::Answer(status, body) => (status, body, 0),
        Act::HalfAnswer(body) => (200, body, 10),
        Act::HalfRequest => return None,
        Act::Silence => return Some(stream),
    };
    let length = body.len() + more;
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nETag: \"x\"\r\nLast-Modified: Wed, 18 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
    None
}
