//! The other end of a benchmark: takes pushes over HTTP.
//! In: connections.  Out: bodies to whoever looks at them, the answer that it gives.  Owns: threads.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Serves on a port of its own, which is given back; `answer` gets each body and says what to answer, or nothing at all.
pub fn serve(answer: impl Fn(Vec<u8>) -> Option<&'static str> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, answer) = (socket.unwrap(), answer.clone());
            thread::spawn(move || {
                while let Some(body) = take_push(&mut socket) {
                    let Some(status) = answer(body) else { continue };
                    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    if socket.write_all(text.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn take_push(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    socket.read_exact(&mut body).ok()?;
    Some(body)
}

/// The text of the agent's `/metrics`.
pub fn metrics(port: u16) -> Option<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The sum over all series of a metric; 0 while the agent does not answer.
pub fn metric(port: u16, name: &str) -> f64 {
    let text = metrics(port).unwrap_or_default();
    let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
