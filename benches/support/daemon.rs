//! A Docker daemon that has silent containers, or one log to give as fast as it can.
//! In: how many containers, what each has printed.  Out: Docker's API on a Unix socket.  Owns: threads.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// Written at once.
const PIECE: usize = 64 * 1024;

/// What a daemon has.
struct Daemon {
    containers: usize,
    /// Of each container, as it goes over the wire.
    log: Vec<u8>,
}

/// Starts one with so many containers, each of which has printed `lines`; its socket. It lasts as long as the program.
pub fn start(directory: &Path, containers: usize, lines: &[(String, String)]) -> PathBuf {
    let socket = directory.join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // As the real one does: each message is a frame in a chunk of its own.
    let mut log = Vec::new();
    for (time, line) in lines {
        let payload = format!("{time} {line}\n");
        let length = u32::try_from(payload.len()).unwrap();
        write!(log, "{:x}\r\n", payload.len() + 8).unwrap();
        log.extend_from_slice(&[1, 0, 0, 0]);
        log.extend_from_slice(&length.to_be_bytes());
        log.extend_from_slice(payload.as_bytes());
        log.extend_from_slice(b"\r\n");
    }
    let daemon = Arc::new(Daemon { containers, log });
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, daemon) = (connection.unwrap(), daemon.clone());
            // One that goes away in the middle of an answer has its reasons.
            thread::spawn(move || drop(daemon.serve(connection)));
        }
    });
    socket
}

impl Daemon {
    fn serve(&self, mut out: UnixStream) -> std::io::Result<()> {
        let mut input = BufReader::new(out.try_clone()?);
        loop {
            let (mut request, mut line) = (String::new(), String::new());
            input.read_line(&mut request)?;
            while input.read_line(&mut line)? > 2 {
                line.clear();
            }
            let Some(target) = request.split(' ').nth(1) else { return Ok(()) };
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            if path.ends_with("/events") || (path.ends_with("/logs") && query.contains("follow=1")) {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let log = if path.ends_with("/logs") { self.log.as_slice() } else { &[] };
                log.chunks(PIECE).try_for_each(|piece| out.write_all(piece))?;
                // Nothing more is printed; the other side goes away some time.
                return input.read_exact(&mut [0]);
            }
            let answer = self.answer(path);
            write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            )?;
        }
    }

    fn answer(&self, path: &str) -> String {
        if path.ends_with("/containers/json") {
            let one = |number| {
                format!(
                    r#"{{"Id":"{number:064x}","Names":["/silent-{number}"],"Image":"bot-core","State":"running",
                    "Labels":{{"com.docker.compose.project":"bot-core","com.docker.compose.service":"s{number}"}},
                    "NetworkSettings":{{"Networks":{{"bridge":{{"NetworkID":"n","IPAddress":"10.0.0.1"}}}}}}}}"#
                )
            };
            let all: Vec<String> = (0..self.containers).map(one).collect();
            format!("[{}]", all.join(","))
        } else if path.ends_with("/networks") {
            r#"[{"Id":"n","Name":"bridge","Scope":"local"}]"#.to_owned()
        } else if path.ends_with("/logs") {
            String::new()
        } else if path.contains("/containers/") {
            r#"{"State":{"Running":true},"Config":{"Tty":false},"HostConfig":{"LogConfig":{"Type":"local"}}}"#
                .to_owned()
        } else {
            r#"{"ApiVersion":"1.41","Version":"20.10","Os":"linux","Arch":"amd64"}"#.to_owned()
        }
    }
}
