//! What systemd is told.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use crate::agent::{Agent, PATIENCE, program};

#[test]
fn a_hangup_is_answered_and_survived() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path(), "server: {disable: true}\n");
    agent.signal("HUP");
    agent.wait_for_log("the configuration is unchanged");
    assert!(agent.terminate().0.success());
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let file = directory.path().join("c.yaml");
    std::fs::write(&file, "server: {disable: true}\n").unwrap();
    let mut child = program()
        .arg(format!("-config.file={}", file.display()))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(told(), "WATCHDOG=1");
    assert_eq!(told(), "WATCHDOG=1", "again and again");
    // What is printed without a client stays as it is until a restart, so this one is refused: no less an answer.
    std::fs::write(&file, "clients: [{url: 'http://127.0.0.1:9/push'}]\n").unwrap();
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    let reloading = std::iter::repeat_with(told).find(|message| message != "WATCHDOG=1").unwrap();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(std::iter::repeat_with(told).find(|message| message != "WATCHDOG=1").unwrap(), "READY=1");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let last = std::iter::repeat_with(told).find(|message| message != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(child.wait().unwrap().success());
}
