//! Docker's API of a real engine, where `TAILWATER_TEST_DOCKER` names one (see `tests/support/dockerd.sh`).
//! In: a container that has printed its lines.  Out: lines a second, CPU of both.  Owns: the container and its image.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::agent::cpu_seconds;
use crate::report::Row;
use crate::{api, carry, job};

const LINES: u64 = 500_000;
const IMAGE: &str = "tailwater-bench-printer";

/// Prints a file and stays, as it has no signal handlers until it is killed.
const PRINTER: &str = "fn main() -> std::io::Result<()> {
    std::io::copy(&mut std::fs::File::open(\"/log/plain\")?, &mut std::io::stdout())?;
    loop { std::thread::park() }
}";

pub fn run() -> Vec<Row> {
    let Some(host) = std::env::var("TAILWATER_TEST_DOCKER").ok().filter(|host| !host.is_empty()) else {
        return vec![Row {
            what: "Docker API, a real engine".to_owned(),
            target: "≥ 90 k lines/s, ≤ 4 µs per line",
            measured: "not measured: set TAILWATER_TEST_DOCKER".to_owned(),
            met: None,
            figures: Vec::new(),
        }];
    };
    let directory = tempfile::tempdir().unwrap();
    let container = Container::start(&host, directory.path());
    let socket = Path::new(host.strip_prefix("unix://").unwrap());
    let dockerd = fs::read_to_string(socket.with_file_name("dockerd.pid")).unwrap().trim().parse().unwrap();
    let before = cpu_seconds(dockerd);
    let carried = carry::run(&job::containers(socket, job::STAGES), LINES, Duration::ZERO);
    let daemon = (cpu_seconds(dockerd) - before) * 1e6 / LINES as f64;
    drop(container);
    let (rate, micros) = (carried.rate(), carried.micros());
    vec![Row {
        what: "Docker API, a real engine".to_owned(),
        target: "≥ 90 k lines/s, ≤ 4 µs per line",
        measured: format!("{rate:.0} lines/s, {micros:.2} µs per line; dockerd itself {daemon:.2} µs"),
        met: Some(rate >= 90_000.0 && micros <= 4.0),
        figures: vec![
            ("lines_per_second", rate),
            ("cpu_us_per_line", micros),
            ("dockerd_us_per_line", daemon),
        ],
    }]
}

/// One that has printed all of its lines; dropping it removes it.
struct Container<'h> {
    host: &'h str,
    id: String,
}

impl<'h> Container<'h> {
    fn start(host: &'h str, directory: &Path) -> Container<'h> {
        let [image, log] = ["image", "log"].map(|name| directory.join(name));
        fs::create_dir(&image).unwrap();
        fs::create_dir(&log).unwrap();
        fs::write(image.join("printer.rs"), PRINTER).unwrap();
        fs::write(
            image.join("Dockerfile"),
            "FROM scratch\nCOPY printer /printer\nENTRYPOINT [\"/printer\"]\n",
        )
        .unwrap();
        let rustc = Command::new("rustc")
            .current_dir(&image)
            .args(["-O", "-C", "target-feature=+crt-static", "printer.rs"])
            .status();
        assert!(rustc.unwrap().success());
        docker(host, &["build", "-q", "-t", IMAGE, image.to_str().unwrap()]);
        let mut out = BufWriter::new(File::create(log.join("plain")).unwrap());
        (0..LINES).for_each(|number| writeln!(out, "{}", api::message(number).1).unwrap());
        out.flush().unwrap();
        let mount = format!("{}:/log:ro", log.display());
        let id = docker(host, &["run", "-d", "--network", "none", "-v", &mount, IMAGE]);
        let container = Container { host, id };
        let last = api::message(LINES - 1).1;
        while docker(host, &["logs", "--tail", "1", &container.id]) != last {
            thread::sleep(Duration::from_millis(200));
        }
        container
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        docker(self.host, &["rm", "-f", "-v", &self.id]);
        docker(self.host, &["rmi", "-f", IMAGE]);
    }
}

fn docker(host: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.env("DOCKER_BUILDKIT", "0").env_remove("DOCKER_CONTEXT").args(["-H", host]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
