//! Chaos as a stranger starts it: real processes under a plan, and nothing left of them.
#![cfg(all(feature = "cli", feature = "real", unix))]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A kill, a frozen process and a partition, one after the other.
const PLAN: &str = r#"[
  {"at": 300000000, "lasts": 1500000000, "fault": {"crash": {"node": "n1", "point": null}}},
  {"at": 2000000000, "lasts": 1000000000, "fault": {"pause": {"node": "n2"}}, "aim": "leader"},
  {"at": 3200000000, "lasts": 1500000000,
   "fault": {"wire": {"partition": {"two-way": {"side": ["n3"]}}}}},
  {"at": 0, "lasts": 5000000000, "fault": {"wire": {"loss": {"ppm": 20000}}}}
]"#;

fn chaos(place: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedfall"));
    command.args(["chaos", "raft", "--nodes", "3"]).args(more).env("TMPDIR", place);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What lies in a folder.
fn names(place: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(place).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// The processes whose arguments name this folder.
fn processes(place: &Path) -> usize {
    let place = place.display().to_string();
    let running = std::fs::read_dir("/proc").expect("a machine that shows its processes");
    let commands =
        running.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(&place)).count()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "it looks for processes in /proc")]
fn a_store_bears_what_is_done_to_its_processes() {
    let place = tempfile::tempdir().expect("a folder");
    let plan = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(plan.path(), PLAN).expect("room");
    let path = plan.path().display().to_string();
    let mut command = chaos(place.path(), &["--for", "5s", "--plan", &path, "--record", "--json"]);
    let output = command.output().expect("the command runs");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    assert_eq!(report["verdict"], "holds", "{report}");
    assert_eq!(output.status.code(), Some(0));
    assert!(report["completed"].as_u64().is_some_and(|count| count > 20), "{report}");
    for class in ["crash", "pause", "partition", "loss"] {
        assert!(report["faults"][class]["effects"].as_u64() > Some(0), "{class}: {report}");
    }
    // Four lives: one node was killed, and came back.
    let replayed = &report["replayed"];
    assert_eq!(replayed[0], 4, "{report}");
    assert!(replayed[2].as_u64() > Some(100), "{report}");
    assert!(names(place.path()).is_empty(), "left over: {:?}", names(place.path()));
    assert_eq!(processes(place.path()), 0);
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "it looks for processes in /proc")]
fn whoever_breaks_it_off_leaves_nothing_behind() {
    let place = tempfile::tempdir().expect("a folder");
    // A kill cannot be caught: nodes end as their input does.
    for (signal, code) in [("-INT", Some(130)), ("-TERM", Some(130)), ("-KILL", None)] {
        let mut child = chaos(place.path(), &["--for", "60s"]).spawn().expect("the command runs");
        until(&mut child, "nodes are up", || processes(place.path()) == 3);
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        let ended = child.wait().expect("it ends");
        assert_eq!(ended.code(), code, "{signal}");
        until(&mut child, "nodes are gone", || processes(place.path()) == 0);
        if code.is_some() {
            assert!(names(place.path()).is_empty(), "{signal}: {:?}", names(place.path()));
        }
    }
}

/// Waits for something that takes a moment.
#[expect(clippy::disallowed_methods, reason = "processes come and go in their own time")]
fn until(child: &mut Child, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Whatever came of it, nothing is left running.
    let _ = child.kill();
    panic!("not in time: {what}");
}

#[test]
fn a_plan_that_cannot_be_done_is_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let plan = tempfile::NamedTempFile::new().expect("a file");
    let refused = |text: &str, why: &str| {
        std::fs::write(plan.path(), text).expect("room");
        let path = plan.path().display().to_string();
        let output = chaos(place.path(), &["--for", "5s", "--plan", &path]).output();
        let output = output.expect("the command runs");
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains(why), "`{why}` is missing in {}", told(&output));
    };
    let entry = |fault: &str| format!(r#"[{{"at":0,"lasts":1000000000,"fault":{fault}}}]"#);
    refused(&entry(r#"{"slow":{"node":"n1","each":5}}"#), "a slow cannot be done to a real");
    refused(&entry(r#"{"pause":{"node":"n4"}}"#), "there is no n4");
    refused(&entry(r#"{"wipe":{"node":"n1"}}"#), "is not permitted by the model");
    let late = r#"[{"at":0,"lasts":6000000000,"fault":{"pause":{"node":"n1"}}}]"#;
    refused(late, "lasts past 5.000s");
    refused("[{", "EOF");
    assert!(names(place.path()).is_empty());
}
