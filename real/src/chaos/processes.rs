//! The nodes' processes: started, killed, frozen, and gone when this is.

use super::ChaosOptions;
use super::proxy::Wires;
use crate::driver::status;
use rustix::process::{Pid, Signal, kill_process};
use seedfall_sim::{ClientId, NodeId};
use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One node.
#[derive(Debug)]
struct Process {
    command: Vec<String>,
    address: SocketAddr,
    folder: PathBuf,
    log: PathBuf,
    /// `None` while it is down.
    child: Option<Child>,
    /// How many entries keep it down, and how many frozen.
    down: u32,
    frozen: u32,
    /// It was told to end: then it may end by itself.
    told: bool,
    /// It never comes back.
    gone: bool,
}

/// All nodes. Dropped, it kills every one of them.
#[derive(Debug)]
pub(super) struct Processes {
    program: PathBuf,
    all: Vec<Process>,
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.all {
            if let Some(child) = &mut process.child {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// So many free ports below those that the machine hands out by itself: the port of a node that is
/// down must not be taken by somebody's connection.
pub(super) fn ports(count: usize) -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    let mut port = 20_000 + (crate::service::entropy()? % 10_000) as u16;
    while found.len() < count {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            found.push(address);
        }
        port = if port < 32_000 { port + 1 } else { 20_000 };
    }
    Ok(found)
}

/// Where a node records its lives. Not in its folder, which may be wiped.
pub(super) fn recording(place: &Path, node: NodeId) -> PathBuf {
    place.join(format!("{node}.recording"))
}

impl Processes {
    pub(super) fn new(
        protocol: &str,
        options: &ChaosOptions,
        ports: &[SocketAddr],
        wires: &Wires,
        place: &Path,
    ) -> Self {
        let process = |(node, address): (NodeId, &SocketAddr)| {
            let peers: Vec<String> = wires.peers_of(node).iter().map(ToString::to_string).collect();
            let folder = place.join(node.to_string());
            let disk = if options.direct { "direct" } else { "buffered" };
            let record = options.record.then(|| recording(place, node).display().to_string());
            let record = record.into_iter().flat_map(|path| ["--record".to_owned(), path]);
            let command = ["serve", protocol, "--id", &node.to_string(), "--disk", disk]
                .into_iter()
                .chain(["--peers", &peers.join(","), "--listen", &address.to_string()])
                .chain(["--until-input-ends", "--data"])
                .map(str::to_owned)
                .chain([folder.display().to_string()])
                .chain(record)
                .collect();
            Process {
                command,
                address: *address,
                log: place.join(format!("{node}.log")),
                folder,
                child: None,
                down: 0,
                frozen: 0,
                told: false,
                gone: false,
            }
        };
        let all = NodeId::all(ports.len()).zip(ports).map(process).collect();
        Self { program: options.program.clone(), all }
    }

    pub(super) fn start(&mut self, node: usize) -> io::Result<()> {
        let process = &mut self.all[node];
        let log = OpenOptions::new().create(true).append(true).open(&process.log)?;
        let child = Command::new(&self.program)
            .args(&process.command)
            // It ends when this process does, however that ends.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        (process.child, process.told) = (Some(child), false);
        Ok(())
    }

    /// Tells a node to end, which stays down until [`Processes::restart`]; says whether it was up.
    pub(super) fn tell_to_end(&mut self, node: NodeId, signal: Signal) -> io::Result<bool> {
        let process = &mut self.all[node.index()];
        process.down += 1;
        process.told = true;
        self.signal(node, signal)
    }

    /// Ends a node that was told to end, if it runs even so; says whether it did.
    pub(super) fn end(&mut self, node: NodeId) -> io::Result<bool> {
        let Some(mut child) = self.all[node.index()].child.take() else { return Ok(false) };
        let runs = child.try_wait()?.is_none();
        child.kill()?;
        child.wait()?;
        Ok(runs)
    }

    /// Kills a node, unless it is down; says whether it was up.
    pub(super) fn kill(&mut self, node: NodeId) -> io::Result<bool> {
        let process = &mut self.all[node.index()];
        process.down += 1;
        self.end(node)
    }

    /// Takes back a kill; the node comes up again when nothing else keeps it down.
    pub(super) fn restart(&mut self, node: NodeId) -> io::Result<()> {
        let process = &mut self.all[node.index()];
        process.down -= 1;
        if process.down == 0 && !process.gone && process.child.is_none() {
            self.start(node.index())?;
            if self.all[node.index()].frozen > 0 {
                self.signal(node, Signal::STOP)?;
            }
        }
        Ok(())
    }

    /// Freezes a node; says whether it was up.
    pub(super) fn freeze(&mut self, node: NodeId) -> io::Result<bool> {
        self.all[node.index()].frozen = 1;
        self.signal(node, Signal::STOP)
    }

    /// Takes back a freeze.
    pub(super) fn thaw(&mut self, node: NodeId) -> io::Result<()> {
        let process = &mut self.all[node.index()];
        process.frozen = 0;
        self.signal(node, Signal::CONT)?;
        Ok(())
    }

    /// Kills a node and takes its disk; says whether it was up.
    pub(super) fn wipe(&mut self, node: NodeId) -> io::Result<bool> {
        let was_up = self.kill(node)?;
        let process = &self.all[node.index()];
        if process.folder.exists() {
            fs::remove_dir_all(&process.folder)?;
        }
        Ok(was_up)
    }

    /// As [`Processes::wipe`], and it never comes back.
    pub(super) fn take(&mut self, node: NodeId) -> io::Result<bool> {
        self.all[node.index()].gone = true;
        self.wipe(node)
    }

    fn signal(&self, node: NodeId, signal: Signal) -> io::Result<bool> {
        let Some(child) = &self.all[node.index()].child else { return Ok(false) };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(false) };
        kill_process(pid, signal)?;
        Ok(true)
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether a node's process runs.
    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.all[node.index()].child.is_some()
    }

    /// What a node says at its end, if one has ended by itself, or with an error as it was told to.
    pub(super) fn died(&mut self) -> Option<String> {
        for (node, process) in NodeId::all(self.all.len()).zip(&mut self.all) {
            let Some(child) = &mut process.child else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                // As it was told to: by its own hand, or by the signal before it listened to it.
                let by_signal = [Signal::TERM, Signal::INT].map(|one| Some(one.as_raw()));
                let as_told = status.success() || by_signal.contains(&status.signal());
                if process.told && as_told {
                    process.child = None;
                    continue;
                }
                // Its number may be somebody else's from now on.
                (process.child, process.gone) = (None, true);
                let log = fs::read(&process.log).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                let last: Vec<&str> = log.lines().rev().take(3).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                let how =
                    if process.told { "with an error as it was told to" } else { "by itself" };
                return Some(format!("{node} ended {how} ({status}): {}", last.join(" | ")));
            }
        }
        None
    }

    /// Who leads, as far as the nodes say within a moment.
    pub(super) async fn leader(&self) -> Option<NodeId> {
        let asks = ClientId::new(0x7FFF);
        for (node, process) in NodeId::all(self.all.len()).zip(&self.all) {
            if process.child.is_none() || process.frozen > 0 {
                continue;
            }
            let answer = status(process.address, asks, Duration::from_millis(100)).await;
            if answer.is_ok_and(|(_, status)| status.leads) {
                return Some(node);
            }
        }
        None
    }

    /// Lets every node run that is not gone.
    pub(super) fn heal(&mut self) -> io::Result<()> {
        for node in NodeId::all(self.all.len()) {
            let process = &mut self.all[node.index()];
            (process.down, process.frozen) = (0, 0);
            self.signal(node, Signal::CONT)?;
            if self.all[node.index()].told {
                self.end(node)?;
            }
            let process = &self.all[node.index()];
            if process.child.is_none() && !process.gone {
                self.start(node.index())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One node, whose program is a script.
    fn one(place: &Path, script: &str) -> Processes {
        let process = Process {
            command: vec!["-c".to_owned(), script.to_owned()],
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            folder: place.join("data"),
            log: place.join("log"),
            child: None,
            down: 0,
            frozen: 0,
            told: false,
            gone: false,
        };
        Processes { program: "/bin/sh".into(), all: vec![process] }
    }

    /// What is said of a node that listens to the signal like this, if it is told to end.
    fn told_to_end(listens: &str) -> Option<String> {
        let place = tempfile::tempdir().expect("a folder");
        let script = format!("{listens}\necho ready; while :; do sleep 0.01; done");
        let mut nodes = one(place.path(), &script);
        nodes.start(0).expect("there is a shell");
        until(|| fs::read_to_string(place.path().join("log")).is_ok_and(|log| log == "ready\n"));
        assert!(nodes.tell_to_end(NodeId::new(0), Signal::TERM).expect("it runs"));
        let mut said = None;
        until(|| {
            said = nodes.died();
            !nodes.is_up(NodeId::new(0))
        });
        said
    }

    #[expect(clippy::disallowed_methods, reason = "it waits for real processes")]
    fn until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn who_is_told_to_end_may_end_but_not_with_an_error() {
        assert_eq!(told_to_end("trap 'exit 0' TERM"), None);
        assert_eq!(told_to_end(""), None, "it ends where it stands");
        let said = told_to_end("trap 'echo my disk is full; exit 3' TERM").expect("it fails");
        let why = "n1 ended with an error as it was told to (exit status: 3): ready | my disk";
        assert!(said.starts_with(why), "{said}");
    }

    #[test]
    fn who_ends_by_itself_says_why() {
        let place = tempfile::tempdir().expect("a folder");
        let mut nodes = one(place.path(), "echo I give up");
        nodes.start(0).expect("there is a shell");
        let mut said = None;
        until(|| {
            said = nodes.died();
            said.is_some()
        });
        let why = "n1 ended by itself (exit status: 0): I give up";
        assert_eq!(said.as_deref(), Some(why));
    }
}
