//! A Docker engine for tests, through the `docker` command.
//! In: `TAILWATER_TEST_DOCKER`, as printed by `dockerd.sh start`.  Out: containers, networks, and their own logs as truth.
//! Owns: everything it made, by a label that no other [`Engine`] has; dropping the engine removes it.
//!
//! Calls block. They take tens of milliseconds, so an async test makes them directly on a multi-thread runtime.

use std::collections::hash_map::RandomState;
use std::env;
use std::fs;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

const ENGINE: &str = "TAILWATER_TEST_DOCKER";
const REQUIRED: &str = "TAILWATER_REQUIRE_DOCKER";
const LABEL: &str = "tailwater-test";

/// The engine tests may use, if there is one. Never the system's own: a test must not meet foreign containers by chance.
pub fn engine() -> Option<Engine> {
    env::var(ENGINE).ok().filter(|host| !host.is_empty()).map(at)
}

fn at(host: String) -> Engine {
    let mark = format!("{:016x}", RandomState::new().build_hasher().finish());
    let engine = Engine { host: host.clone(), image: OnceLock::new(), cleanup: Cleanup { host, mark } };
    engine.docker(&["version"]);
    engine
}

/// `let Some(engine) = engine_or_skip() else { return };` opens a test that needs an engine.
///
/// Where an engine is required (`TAILWATER_REQUIRE_DOCKER=1`, as in CI), a missing one fails the test.
pub fn engine_or_skip() -> Option<Engine> {
    let engine = engine();
    if engine.is_none() {
        assert!(!env::var(REQUIRED).is_ok_and(|value| value == "1"), "{REQUIRED}=1, but {ENGINE} is not set");
        // Not eprintln!, which the test harness swallows when a test passes.
        let notice = format!("\nSKIPPED: needs a Docker engine; set {ENGINE}\n");
        std::io::stderr().write_all(notice.as_bytes()).expect("stderr is open");
    }
    engine
}

/// An engine of one test's own, where there may be one: it can be restarted. Dropping it ends it.
pub struct OwnEngine {
    pub engine: Engine,
    directory: tempfile::TempDir,
}

impl OwnEngine {
    pub fn start_or_skip() -> Option<OwnEngine> {
        drop(engine_or_skip()?);
        // Short: the path of a Unix socket ends at 107 bytes.
        let directory =
            tempfile::Builder::new().prefix("tw").tempdir_in("/tmp").expect("/tmp can be written");
        let host = dockerd("start", directory.path());
        Some(OwnEngine { engine: at(host), directory })
    }

    /// Ends the daemon, with all containers, and starts it again.
    pub fn restart(&self) {
        dockerd("stop", self.directory.path());
        dockerd("start", self.directory.path());
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        dockerd("stop", self.directory.path());
    }
}

/// What `dockerd.sh` prints.
fn dockerd(verb: &str, directory: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/dockerd.sh");
    let output = Command::new(script).arg(verb).arg(directory).stderr(Stdio::inherit()).output();
    let output = output.expect("the script runs");
    assert!(output.status.success(), "dockerd.sh {verb}: {}", output.status);
    String::from_utf8(output.stdout).expect("a URL").trim_ascii_end().to_owned()
}

/// One test's share of an engine.
pub struct Engine {
    host: String,
    /// That it has the image of `loggen`.
    image: OnceLock<String>,
    cleanup: Cleanup,
}

/// What a container printed, as Docker keeps it. With `-t` everything is on stdout, with `\r\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Engine {
    /// `unix:///...`, for the agent's configuration.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The value of the label `tailwater-test` on all that this engine made; a filter for the agent's discovery.
    pub fn mark(&self) -> &str {
        &self.cleanup.mark
    }

    /// Runs `docker` with these arguments and gives its stdout, trimmed. Panics with its stderr when it fails.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.checked(args);
        String::from_utf8(output.stdout).expect("docker prints UTF-8").trim_ascii_end().to_owned()
    }

    #[track_caller]
    fn checked(&self, args: &[&str]) -> Output {
        let output = command(&self.host).args(args).output().expect("the docker command runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {}: {}\n{stderr}", args.join(" "), output.status);
        output
    }

    /// Starts a container in the background and gives its id. `options` are those of `docker run`.
    #[track_caller]
    pub fn run(&self, options: &[&str], image: &str, arguments: &[&str]) -> String {
        self.docker(&[&["run", "-d", "--label", &self.label()], options, &[image], arguments].concat())
    }

    /// Like [`run`](Self::run), without starting it: for what must be in place before the first line.
    #[track_caller]
    pub fn create(&self, options: &[&str], image: &str, arguments: &[&str]) -> String {
        self.docker(&[&["create", "--label", &self.label()], options, &[image], arguments].concat())
    }

    #[track_caller]
    pub fn start(&self, container: &str) {
        self.docker(&["start", container]);
    }

    /// SIGTERM, and SIGKILL at once: `loggen` as PID 1 ignores the first in any case.
    #[track_caller]
    pub fn stop(&self, container: &str) {
        self.docker(&["stop", "-t", "0", container]);
    }

    /// SIGKILL, and another start.
    #[track_caller]
    pub fn restart(&self, container: &str) {
        self.docker(&["restart", "-t", "0", container]);
    }

    #[track_caller]
    pub fn kill(&self, container: &str) {
        self.docker(&["kill", container]);
    }

    /// Removes the container, running or not, and its log with it.
    #[track_caller]
    pub fn rm(&self, container: &str) {
        self.docker(&["rm", "-f", "-v", container]);
    }

    /// Waits until the container has ended, and gives its exit status.
    #[track_caller]
    pub fn wait(&self, container: &str) -> i32 {
        self.docker(&["wait", container]).parse().expect("docker wait prints a number")
    }

    /// Waits until stdout of the container has had this many lines, over all its starts. Panics when it ends before, or
    /// when `timeout` has passed.
    #[track_caller]
    pub fn wait_for_printed(&self, container: &str, lines: usize, timeout: Duration) {
        let mut following = command(&self.host)
            .args(["logs", "--follow", container])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the docker command runs");
        let stdout = BufReader::new(following.stdout.take().expect("stdout is piped"));
        let (report, seen) = mpsc::sync_channel(1);
        // On a thread of its own, because a read from a pipe has no deadline. Killing `docker logs` ends it.
        let counting = thread::spawn(move || report.send(stdout.split(b'\n').take(lines).count()));
        let seen = seen.recv_timeout(timeout);
        following.kill().expect("docker logs can be killed");
        following.wait().expect("docker logs ends");
        drop(counting.join());
        assert_eq!(seen, Ok(lines), "lines of {container} on stdout, waited up to {timeout:?}");
    }

    /// Everything the container printed over all its starts. Complete once it has ended.
    #[track_caller]
    pub fn logs(&self, container: &str) -> Logs {
        let Output { stdout, stderr, .. } = self.checked(&["logs", container]);
        Logs { stdout, stderr }
    }

    /// Like [`logs`](Self::logs), each line after its time of arrival (RFC 3339, nanoseconds) and a space.
    #[track_caller]
    pub fn timed_logs(&self, container: &str) -> Logs {
        let Output { stdout, stderr, .. } = self.checked(&["logs", "--timestamps", container]);
        Logs { stdout, stderr }
    }

    /// One value of `docker inspect`, by its Go template.
    #[track_caller]
    pub fn inspect(&self, object: &str, template: &str) -> String {
        self.docker(&["inspect", "-f", template, object])
    }

    /// Makes a bridge network; its name is `name` made unique, and returned.
    #[track_caller]
    pub fn create_network(&self, name: &str) -> String {
        let unique = format!("{name}-{}", self.mark());
        self.docker(&["network", "create", "--driver", "bridge", "--label", &self.label(), &unique]);
        unique
    }

    #[track_caller]
    pub fn connect(&self, network: &str, container: &str) {
        self.docker(&["network", "connect", network, container]);
    }

    /// Builds with the classic builder, which is in every engine, and needs no buildx beside the command.
    #[track_caller]
    pub fn build_image_from_dir(&self, tag: &str, dir: &Path) {
        let built = command(&self.host)
            .env("DOCKER_BUILDKIT", "0")
            .args(["build", "-q", "-t", tag])
            .arg(dir)
            .output()
            .expect("the docker command runs");
        assert!(built.status.success(), "docker build of {tag}: {}", String::from_utf8_lossy(&built.stderr));
    }

    /// An image that holds `loggen` and nothing else, built when the engine lacks it. It stays for the next run.
    #[track_caller]
    pub fn loggen_image(&self) -> &str {
        self.image.get_or_init(|| {
            let tag = loggen_tag();
            let known = command(&self.host).args(["image", "inspect", &tag]).output();
            if !known.expect("the docker command runs").status.success() {
                self.build_loggen(&tag);
            }
            tag
        })
    }

    fn build_loggen(&self, tag: &str) {
        // Tests that begin together may all find it missing.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory can be made");
        compile_loggen(dir.path());
        fs::write(
            dir.path().join("Dockerfile"),
            "FROM scratch\nCOPY loggen /loggen\nENTRYPOINT [\"/loggen\"]\n",
        )
        .expect("the build directory can be written");
        self.build_image_from_dir(tag, dir.path());
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.mark())
    }
}

const LOGGEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/loggen.rs");

/// Compiles `loggen` into `dir`, statically, so that it runs in an image without a C library; gives the program's path.
pub fn compile_loggen(dir: &Path) -> PathBuf {
    let program = dir.join("loggen");
    let rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "--edition",
            "2024",
            "-C",
            "opt-level=2",
            "-C",
            "target-feature=+crt-static",
            "-C",
            "strip=symbols",
        ])
        .arg("-o")
        .args([program.as_path(), Path::new(LOGGEN)])
        .output()
        .expect("rustc runs");
    assert!(rustc.status.success(), "rustc loggen.rs: {}", String::from_utf8_lossy(&rustc.stderr));
    program
}

/// Named after the source, so that an edited `loggen` is a new image.
fn loggen_tag() -> String {
    let mut hasher = DefaultHasher::new();
    fs::read(LOGGEN).expect("loggen.rs is beside this file").hash(&mut hasher);
    format!("tailwater-loggen:{:016x}", hasher.finish())
}

fn command(host: &str) -> Command {
    let mut command = Command::new("docker");
    // A context chosen in the developer's shell must not lead anywhere else.
    command.args(["-H", host]).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command
}

/// Removes what carries its mark.
struct Cleanup {
    host: String,
    mark: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let filter = format!("label={LABEL}={}", self.mark);
        self.remove(&["ps", "-aq", "--filter", &filter], &["rm", "-f", "-v"]);
        self.remove(&["network", "ls", "-q", "--filter", &filter], &["network", "rm"]);
    }
}

impl Cleanup {
    /// Says what failed and goes on: a panic here would abort a test that is failing already.
    fn remove(&self, list: &[&str], remove: &[&str]) {
        let listed = command(&self.host).args(list).output();
        let ids =
            listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if ids.is_empty() {
            return;
        }
        match command(&self.host).args(remove).args(ids.split_ascii_whitespace()).output() {
            Ok(output) if output.status.success() => {}
            failed => eprintln!("could not remove {ids:?} of {}: {failed:?}", self.mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Expected;
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn each_boot_of_a_killed_container_has_its_own_name() {
        let Some(engine) = engine_or_skip() else { return };
        // Flat out, so that the kill falls into the middle of a line as often as not.
        let arguments = ["--source", "app", "--until-signal", "--stderr-every", "1000", "--state", "/seq"];
        let container = engine.run(&[], engine.loggen_image(), &arguments);
        engine.wait_for_printed(&container, 1, SOON);
        engine.kill(&container);
        let first_boot = engine.logs(&container).stdout.split(|&byte| byte == b'\n').count();
        engine.start(&container);
        engine.wait_for_printed(&container, first_boot + 10, SOON);
        engine.stop(&container);
        assert_eq!(engine.wait(&container), 137);

        let Logs { stdout, stderr } = engine.logs(&container);
        let mut expected = Expected::new();
        expected.printed(&stdout);
        expected.printed(&stderr);
        assert_eq!(expected.sources().collect::<Vec<_>>(), ["app/0", "app/1"]);
        assert_eq!(expected.gaps(), [], "what a killed boot printed is a gapless run");
    }

    #[test]
    fn a_container_can_be_on_three_networks() {
        let Some(engine) = engine_or_skip() else { return };
        let [a, b, c] = ["a", "b", "c"].map(|name| engine.create_network(name));
        let container = engine.create(&["--network", &a], engine.loggen_image(), &["--lines", "3"]);
        engine.connect(&b, &container);
        engine.connect(&c, &container);
        engine.start(&container);
        assert_eq!(engine.wait(&container), 0);
        assert_eq!(engine.inspect(&container, "{{len .NetworkSettings.Networks}}"), "3");
        assert_eq!(engine.logs(&container).stdout.iter().filter(|&&byte| byte == b'\n').count(), 3);
    }

    #[test]
    fn what_an_engine_made_goes_with_it() {
        let (Some(engine), Some(other)) = (engine_or_skip(), engine()) else { return };
        let container = engine.run(&[], engine.loggen_image(), &["--until-signal", "--rate", "1"]);
        let network = engine.create_network("gone");
        drop(engine);
        for left in [&["ps", "-aq", "--no-trunc"][..], &["network", "ls", "--format", "{{.Name}}"]] {
            let left = other.docker(left);
            assert!(!left.contains(&container) && !left.contains(&network), "{left}");
        }
    }
}
