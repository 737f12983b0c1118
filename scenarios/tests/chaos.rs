//! Chaos as a stranger starts it: real processes under a plan, and nothing left of them.
#![cfg(all(feature = "real", unix))]

use seedfall::checkers::models::{KvInput, KvOutput};
use seedfall::sim::Seed;
use seedfall::{FaultPlan, Judgement, Scenario, always};
use seedfall_protocols::raft::{self, Raft};
use seedfall_real::chaos::{ChaosOptions, ChaosVerdict};
use seedfall_real::service::{Served as _, Service, Told};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A kill, a frozen process, a partition and two shutdowns, one after the other.
const PLAN: &str = r#"[
  {"at": 300000000, "lasts": 1500000000, "fault": {"crash": {"node": "n1", "point": null}}},
  {"at": 2000000000, "lasts": 1000000000, "fault": {"pause": {"node": "n2"}}, "aim": "leader"},
  {"at": 3200000000, "lasts": 1500000000,
   "fault": {"partition": {"two-way": {"side": ["n3"]}}}},
  {"at": 4800000000, "lasts": 500000000,
   "fault": {"shutdown": {"node": "n2", "signal": "terminate"}}},
  {"at": 5400000000, "lasts": 500000000,
   "fault": {"shutdown": {"node": "n3", "signal": "interrupt"}}},
  {"at": 0, "lasts": 6000000000, "fault": {"loss": {"ppm": 20000}}}
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
    let mut command = chaos(place.path(), &["--for", "6s", "--plan", &path, "--record", "--json"]);
    let output = command.output().expect("the command runs");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    assert_eq!(report["verdict"], "holds", "{report}");
    assert_eq!(output.status.code(), Some(0));
    assert!(report["completed"].as_u64().is_some_and(|count| count > 20), "{report}");
    for class in ["crash", "pause", "partition", "loss", "shutdown"] {
        assert!(report["faults"][class]["effects"].as_u64() > Some(0), "{class}: {report}");
    }
    // Six lives: one node was killed, two were told to end, and all came back.
    let replayed = &report["replayed"];
    assert_eq!(replayed[0], 6, "{report}");
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
        until(&mut child, "nodes are up", |_| processes(place.path()) == 3);
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        let ended = child.wait().expect("it ends");
        assert_eq!(ended.code(), code, "{signal}");
        until(&mut child, "nodes are gone", |_| processes(place.path()) == 0);
        if code.is_some() {
            assert!(names(place.path()).is_empty(), "{signal}: {:?}", names(place.path()));
        }
    }
}

fn options(nodes: usize, seconds: u64) -> ChaosOptions {
    ChaosOptions {
        nodes,
        time: Duration::from_secs(seconds),
        seed: Seed(1),
        plan: Some(FaultPlan::default()),
        program: env!("CARGO_BIN_EXE_seedfall").into(),
        direct: false,
        record: true,
    }
}

/// What clients do does not depend on how many operations they have done: while faults last, they
/// move money.
#[test]
fn clients_of_the_bank_go_on_with_transfers() {
    let services = seedfall_scenarios::services::all();
    let bank = services.iter().find(|service| service.name() == "2pc").expect("it is built in");
    let plan = r#"[{"at": 0, "lasts": 4000000000, "fault": {"loss": {"ppm": 20000}}}]"#;
    let plan = Some(serde_json::from_str(plan).expect("a plan"));
    let options = ChaosOptions { plan, record: false, ..options(3, 4) };
    let report = bank.chaos(&options, &|_| ()).expect("the plan fits");
    if let Some(place) = &report.kept {
        std::fs::remove_dir_all(place).expect("it was kept");
    }
    assert!(!matches!(report.verdict, ChaosVerdict::Violated { .. }), "{:?}", report.verdict);
    // After twelve operations of a client the faults have begun: it has a second before.
    let late = |line: &&String| {
        let name = line.split_whitespace().next().expect("an operation has a name");
        let (_, number) = name.split_once('/').expect("client and number");
        number.parse::<u32>().expect("a number") >= 13
    };
    let late: Vec<&String> = report.history.iter().filter(late).collect();
    let transfers = late.iter().filter(|line| line.contains("Transfer")).count();
    assert!(late.len() > 40, "clients are at work: {} operations", report.history.len());
    assert!(transfers * 3 > late.len(), "{transfers} of {} move money", late.len());
}

type Store = Scenario<Raft, KvInput<&'static str, String>, KvOutput<String>>;

/// Raft under a property that takes its time to be judged.
#[expect(clippy::print_stdout, reason = "who started this process reads it")]
fn judged_for_long() -> Store {
    let mut scenario = seedfall_scenarios::raft_kv::three();
    scenario.properties = vec![always("judged for long", |_| {
        println!("it judges");
        #[expect(clippy::disallowed_methods, reason = "this is about real time")]
        std::thread::sleep(Duration::from_secs(120));
        Judgement::Holds
    })];
    scenario
}

/// Not a test, but a process of its own for the next one.
#[test]
#[ignore = "another test starts it"]
#[expect(clippy::print_stdout, reason = "who started this process reads it")]
fn judge_for_long() {
    let service = Service::<Raft, _, _> {
        name: "raft",
        about: "judged for long",
        usage: "nothing",
        config: raft::Config::PAPER,
        parse: |_, _| Err("nobody asks".to_owned()),
        tell: |_| Told::Refused("nobody asks".to_owned()),
        scenario: judged_for_long,
    };
    let report = service.chaos(&options(3, 1), &|_| ()).expect("the plan fits");
    let kept = report.kept.expect("a complete history is kept");
    println!("{:?} at {}", report.verdict, kept.display());
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "it looks for processes in /proc")]
fn it_can_be_broken_off_while_it_judges() {
    for signal in ["-INT", "-TERM"] {
        let place = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "judge_for_long", "--ignored", "--nocapture"])
            .env("TMPDIR", place.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started again");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("it judges"))));
        assert_eq!(processes(place.path()), 0, "no node is left by then");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        until(&mut child, "it ends", |child| child.try_wait().is_ok_and(|ended| ended.is_some()));
        assert!(child.wait().expect("it has ended").success(), "{signal}");
        let last: Vec<String> = lines.map_while(Result::ok).collect();
        let told = last.iter().find_map(|line| line.split_once("Interrupted at "));
        let (_, kept) = told.unwrap_or_else(|| panic!("{signal}: {last:?}"));
        let mut kept = names(Path::new(kept));
        kept.retain(|name| !name.ends_with(".log") && name.contains('.'));
        kept.sort();
        let expected = ["history.txt", "n1.recording", "n2.recording", "n3.recording", "plan.json"];
        assert_eq!(kept, expected, "{signal}");
    }
}

/// Waits for something that takes a moment.
#[expect(clippy::disallowed_methods, reason = "processes come and go in their own time")]
fn until(child: &mut Child, what: &str, is_so: impl Fn(&mut Child) -> bool) {
    for _ in 0..3_000 {
        if is_so(child) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
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
