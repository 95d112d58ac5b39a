//! An S3-compatible storage: the server of moto, which has nothing in common with us.
//! In: nothing.  Out: an endpoint, what its buckets hold by its own account.  Owns: a process, a port.
//!
//! `TAILWATER_TEST_MOTO` names the program where `moto_server` is not in the path. Without it tests skip, loudly;
//! `TAILWATER_REQUIRE_S3=1` makes that a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test support must stop the test at once"
)]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "test support, in two binaries")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

const REQUIRED: &str = "TAILWATER_REQUIRE_S3";

/// Names in one page of a listing; fewer than Amazon's 1,000, so that tests need fewer to see several pages.
pub const PAGE: usize = 50;

pub struct Moto {
    server: Child,
    /// `127.0.0.1:port`.
    pub address: String,
}

impl Moto {
    /// `None` where it is not installed, which is said.
    pub fn start() -> Option<Moto> {
        let program = std::env::var("TAILWATER_TEST_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let server = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("MOTO_S3_DEFAULT_MAX_KEYS", PAGE.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut server = match server {
            Ok(server) => server,
            Err(error) => {
                assert!(std::env::var(REQUIRED).is_err(), "{REQUIRED} is set, but moto_server: {error}");
                // Not eprintln!, which the test harness swallows when a test passes.
                std::io::stderr().write_all(b"\nSKIPPED: needs moto_server\n").unwrap();
                return None;
            }
        };
        let mut said = BufReader::new(server.stderr.take().unwrap()).lines();
        let address = loop {
            let line = said.next().expect("moto_server ended").unwrap();
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().to_owned();
            }
        };
        // It stops when nobody reads.
        thread::spawn(move || said.count());
        Some(Moto { server, address })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn make_bucket(&self, name: &str) {
        let answer = self.ask("PUT", &format!("/{name}"));
        assert!(answer.contains(" 200 "), "{answer}");
    }

    /// The keys of a bucket, as the server writes them.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let answer = self.ask("GET", &format!("/{bucket}?list-type=2&max-keys=1000"));
        answer.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
    }

    fn ask(&self, method: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}
