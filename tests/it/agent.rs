//! Runs the real program for a test.
//! In: a configuration.  Out: its log, its pages, its exit.  Owns: the process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing in these tests takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines a process has printed so far, and a way to wait for the next.
#[derive(Clone, Default)]
struct Printed(Arc<(Mutex<(String, bool)>, Condvar)>);

/// A running agent. Dropping it kills it.
pub struct Agent {
    child: Child,
    stderr: Printed,
    stdout: Printed,
}

impl Agent {
    /// Starts the program with a configuration written to `directory`, and waits until it is ready.
    pub fn start(directory: &Path, configuration: &str) -> Agent {
        let file = directory.join("tailwater.yaml");
        std::fs::write(&file, configuration).unwrap();
        let agent = Agent::spawn(&[&format!("-config.file={}", file.display())]);
        agent.wait_for_log("msg=ready");
        agent
    }

    /// Starts the program with these arguments.
    pub fn spawn(arguments: &[&str]) -> Agent {
        Agent::spawn_with(arguments, &[])
    }

    /// Starts the program with these arguments, and these variables in its environment.
    pub fn spawn_with(arguments: &[&str], variables: &[(&str, &str)]) -> Agent {
        let mut program = program();
        program.args(arguments).envs(variables.iter().copied());
        Agent::of(program)
    }

    /// Starts the program with so many open files at most.
    pub fn start_with_open_files(directory: &Path, configuration: &str, limit: u32) -> Agent {
        let file = directory.join("tailwater.yaml");
        std::fs::write(&file, configuration).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
        shell.args([env!("CARGO_BIN_EXE_tailwater"), &format!("-config.file={}", file.display())]);
        let agent = Agent::of(shell);
        agent.wait_for_log("msg=ready");
        agent
    }

    /// Starts a command that is or becomes the program.
    pub fn of(mut program: Command) -> Agent {
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Printed::follow(child.stderr.take().unwrap());
        let stdout = Printed::follow(child.stdout.take().unwrap());
        Agent { child, stderr, stdout }
    }

    /// Waits until the agent has logged a line with `text`; the whole log so far.
    pub fn wait_for_log(&self, text: &str) -> String {
        self.stderr.wait_for(text)
    }

    /// Waits until the agent has printed a line with `text` on stdout; everything so far.
    pub fn wait_for_output(&self, text: &str) -> String {
        self.stdout.wait_for(text)
    }

    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// Where the agent's server listens.
    pub fn address(&self) -> SocketAddr {
        let log = self.wait_for_log("msg=\"serving /metrics and /ready\"");
        let line = log.lines().find(|line| line.contains("serving /metrics")).unwrap();
        let address = line.split_whitespace().find_map(|field| field.strip_prefix("address="));
        address.unwrap().parse().unwrap()
    }

    /// Where a source of this job listens.
    pub fn listening(&self, job: &str) -> SocketAddr {
        let of_job = format!("msg=listening job={job} ");
        let log = self.wait_for_log(&of_job);
        let line = log.lines().rfind(|line| line.contains(&of_job)).unwrap();
        let address = line.split_whitespace().find_map(|field| field.strip_prefix("address="));
        address.unwrap().parse().unwrap()
    }

    /// Asks for a page of the agent's server: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        http(self.address(), "GET", path)
    }

    pub fn post(&self, path: &str) -> (u16, String) {
        http(self.address(), "POST", path)
    }

    /// The value of a sample, such as `tailwater_lines_read_total{source="file"}`; 0 when it is not there.
    pub fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let values = text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        values.map(|value| value.parse::<f64>().unwrap()).next().unwrap_or(0.0)
    }

    /// The sum over all series of a metric, or the value of one sample.
    pub fn metric_sum(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let is_it = |line: &str| {
            line.split(['{', ' ']).next() == Some(name)
                || line.rsplit_once(' ').is_some_and(|it| it.0 == name)
        };
        let samples = text.lines().filter(|line| is_it(line));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Asks again and again until the sum over all series of a metric is as wanted.
    pub fn wait_for_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        self.wait_for_metric_within(PATIENCE, name, wanted)
    }

    /// The same, for what takes its time.
    pub fn wait_for_metric_within(
        &self,
        patience: Duration,
        name: &str,
        wanted: impl Fn(f64) -> bool,
    ) -> f64 {
        let started = Instant::now();
        loop {
            let value = self.metric_sum(name);
            if wanted(value) {
                return value;
            }
            assert!(started.elapsed() < patience, "{name} is {value}:\n{}", self.get("/metrics").1);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks for a page again and again until it is as wanted.
    pub fn wait_for_page_within(
        &self,
        patience: Duration,
        path: &str,
        wanted: impl Fn(&(u16, String)) -> bool,
    ) {
        let started = Instant::now();
        loop {
            let page = self.get(path);
            if wanted(&page) {
                return;
            }
            assert!(started.elapsed() < patience, "{path} is {page:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a quiet moment, in which what came in is settled or under way in every hop.
    #[track_caller]
    pub fn assert_nothing_is_missing(&self) {
        let started = Instant::now();
        loop {
            let (_, text) = self.get("/metrics");
            let gaps = text.lines().filter(|line| line.starts_with("tailwater_conservation_gap{"));
            let gaps: Vec<&str> = gaps.collect();
            if gaps.len() >= 2 && gaps.iter().all(|gap| gap.ends_with(" 0")) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{gaps:#?}\n{text}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The files that the process has open, as the inodes of them all.
    pub fn open_inodes(&self) -> Vec<u64> {
        open_inodes(self.child.id())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory the process has had, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    /// The memory the process has now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Files and sockets the process has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Sends SIGTERM and waits for the exit, which must come within the 5 s that are promised.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "stopping took {:?}:\n{}",
            started.elapsed(),
            self.log()
        );
        (status, self.stderr.to_the_end())
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the exit of an agent that ends by itself.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.stderr.to_the_end())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if thread::panicking() {
            eprintln!("--- log of the agent ---\n{}------------------------", self.log());
        }
    }
}

impl Printed {
    fn follow(pipe: impl std::io::Read + Send + 'static) -> Printed {
        let printed = Printed::default();
        let into = printed.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                into.add(&String::from_utf8_lossy(&line));
                line.clear();
            }
            into.0.0.lock().unwrap().1 = true;
            into.0.1.notify_all();
        });
        printed
    }

    fn add(&self, line: &str) {
        self.0.0.lock().unwrap().0.push_str(line);
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        self.0.0.lock().unwrap().0.clone()
    }

    fn wait_for(&self, text: &str) -> String {
        let guard = self.0.0.lock().unwrap();
        let missing = |state: &mut (String, bool)| !state.0.contains(text) && !state.1;
        let printed = self.0.1.wait_timeout_while(guard, PATIENCE, missing).unwrap().0.0.clone();
        assert!(printed.contains(text), "`{text}` was never printed. Printed was:\n{printed}");
        printed
    }

    fn to_the_end(&self) -> String {
        let guard = self.0.0.lock().unwrap();
        let (guard, _) = self.0.1.wait_timeout_while(guard, PATIENCE, |state| !state.1).unwrap();
        guard.0.clone()
    }
}

/// Inodes of what a process has open, deleted files too.
pub fn open_inodes(process: u32) -> Vec<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| std::fs::metadata(entry.path()).ok()).map(|metadata| metadata.ino()).collect()
}

/// The program under test, with a clean environment for what it reads from there.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailwater"));
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    command
}

/// A configuration around these scrape configs, which stand in column 0.
pub fn configuration(state: &Path, clients: &str, scrape_configs: &str) -> String {
    let positions: PathBuf = state.join("positions.yaml");
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: '{}', sync_period: 100ms}}\n\
         target_config: {{sync_period: 200ms}}\n\
         clients:\n{clients}\n\
         scrape_configs:\n{scrape_configs}\n",
        positions.display()
    )
}

/// A client that does not dawdle.
pub fn client(url: &str) -> String {
    format!("- {{url: '{url}', batchwait: 50ms, backoff_config: {{min_period: 20ms, max_period: 200ms}}}}")
}

/// One job on files.
pub fn file_job(path: &str) -> String {
    format!("- {{job_name: files, static_configs: [{{labels: {{job: files, __path__: '{path}'}}}}]}}")
}

fn http(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    send(address, method, path, "", b"").unwrap()
}

/// One request with these header lines, each ended; status and body of the answer.
pub fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<(u16, String)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}{length}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes())?;
    socket.write_all(body)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let cut_off = || std::io::Error::other("the answer is cut off");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut_off)?;
    Ok((status, body.to_owned()))
}
