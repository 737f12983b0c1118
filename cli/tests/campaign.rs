//! Campaigns: one result however their seeds are cut, and whatever is killed, cut off or damaged
//! while they run.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test waits for processes until it kills them"
)]

use seedfall::campaign::{About, Entry, Group, Runs, Start, decode, encode};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "campaign/disturbed.rs"]
mod disturbed;
#[path = "campaign/many.rs"]
mod many;
#[path = "../examples/campaign.rs"]
mod program;

/// The program `examples/campaign.rs`, which `cargo test -p seedfall-cli` builds with these tests;
/// whoever asks for this file alone builds it first.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let folder = own.parent().and_then(Path::parent).expect("target/debug/deps");
    let program = folder.join("examples/campaign");
    // `cargo test --test campaign` does not build it.
    assert!(program.is_file(), "no {}: `cargo build --example campaign`", program.display());
    program
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["campaign", words[0]]).args(&words[1..]);
    if words[0] == "run" {
        command.args(["--jobs", "2", "--build-id", "test", "--out"]).arg(folder);
    }
    command.env_remove("GITHUB_STEP_SUMMARY").env_remove("GITHUB_ACTIONS").stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program is built");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout) + &text(&stderr))
}

/// Runs a campaign; says its exit code, and what it printed.
fn run(folder: &Path, words: &[&str]) -> (i32, String) {
    let mut all = vec!["run", "--seeds", "400"];
    all.extend_from_slice(words);
    output(command(folder, &all))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for a while")
}

fn result(folder: &Path) -> String {
    fs::read_to_string(folder.join("result.json")).expect("a campaign has a result")
}

/// Whether it is what 400 seeds of every scenario come to undisturbed, byte for byte.
#[track_caller]
fn undisturbed(result: &str) {
    let wanted = wanted();
    let differ = result.lines().zip(wanted.lines()).find(|(one, other)| one != other);
    assert!(result == wanted, "first {differ:?}");
}

fn wanted() -> String {
    static RESULT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let run = || {
        let folder = folder();
        let (code, text) = run(folder.path(), &[]);
        assert_eq!(code, 0, "{text}");
        result(folder.path())
    };
    RESULT.get_or_init(run).clone()
}

fn start(folder: &Path, words: &[&str]) -> Child {
    let mut all = vec!["run", "--seeds", "400"];
    all.extend_from_slice(words);
    let mut command = command(folder, &all);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program is built")
}

/// Waits until workers have left so many lines.
fn wait_for_lines(folder: &Path, lines: usize) {
    let started = Instant::now();
    let count = || {
        let parts = fs::read_dir(folder.join("parts")).into_iter().flatten().flatten();
        let texts = parts.filter_map(|part| fs::read_to_string(part.path()).ok());
        texts.map(|text| text.lines().count()).sum::<usize>()
    };
    while count() < lines {
        assert!(started.elapsed() < Duration::from_secs(120), "no worker writes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills everything that works on a folder but the coordinator itself.
fn workers(folder: &Path) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("Linux").flatten().filter_map(|entry| {
        let id = entry.file_name().to_string_lossy().into_owned();
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let mark = format!("SEEDFALL_OUT={}", folder.join("parts").display());
        let text = String::from_utf8_lossy(&environment).into_owned();
        text.contains(&mark).then_some(id)
    });
    all.collect()
}

fn kill(id: &str) {
    let _ = Command::new("kill").args(["-9", id]).stderr(Stdio::null()).status();
}

#[test]
fn one_result_however_it_is_cut() {
    for shards in [7, 64] {
        let folder = folder();
        let folders: Vec<PathBuf> =
            (1..=shards).map(|shard| folder.path().join(shard.to_string())).collect();
        for (index, folder) in folders.iter().enumerate() {
            let shard = format!("{}/{shards}", index + 1);
            let (code, text) = run(folder, &["--shard", &shard]);
            assert_eq!(code, 0, "{text}");
        }
        let (_, expect) = (0, shards.to_string());
        let mut merge = command(folder.path(), &["merge", "--expect", &expect, "--out"]);
        merge.arg(folder.path().join("merged")).args(&folders);
        let (code, text) = output(merge);
        assert_eq!(code, 0, "{text}");
        undisturbed(&result(&folder.path().join("merged")));
    }
}

#[test]
fn a_shard_that_is_missing_is_named_and_run() {
    let folder = folder();
    for shard in ["1/3", "3/3"] {
        assert_eq!(run(folder.path(), &["--shard", shard]).0, 0);
    }
    let path = folder.path().to_str().expect("a plain path");
    let (code, text) = output(command(folder.path(), &["merge", path, "--expect", "3"]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("shard 2/3") && text.contains("nobody has begun it"), "{text}");
    let missing = ["merge", path, "--expect", "3", "--missing"];
    assert_eq!(output(command(folder.path(), &missing)).1.trim(), "1");
    let (code, text) = output(command(folder.path(), &["merge", path, "--resume"]));
    assert_eq!(code, 0, "{text}");
    undisturbed(&result(folder.path()));
}

#[test]
fn killed_workers_lose_nothing_and_nothing_counts_twice() {
    let folder = folder();
    let mut campaign = start(folder.path(), &[]);
    for lines in [3, 6, 9] {
        wait_for_lines(folder.path(), lines);
        workers(folder.path()).iter().for_each(|id| kill(id));
    }
    let status = campaign.wait().expect("it ends");
    assert!(status.success());
    undisturbed(&result(folder.path()));
}

#[test]
fn a_killed_coordinator_is_followed_by_another() {
    let folder = folder();
    for lines in [2, 4, 8] {
        let mut campaign = start(folder.path(), &[]);
        wait_for_lines(folder.path(), lines);
        campaign.kill().expect("it is at work");
        campaign.wait().expect("it ends");
    }
    let (code, text) = run(folder.path(), &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("goes on:"), "{text}");
    undisturbed(&result(folder.path()));
}

#[test]
fn two_coordinators_with_one_shard_agree() {
    let folder = folder();
    let mut both = [start(folder.path(), &[]), start(folder.path(), &[])];
    both.iter_mut().for_each(|one| assert!(one.wait().expect("it ends").success()));
    let path = folder.path().to_str().expect("a plain path");
    let (code, text) = output(command(folder.path(), &["merge", path]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("done by more than one worker, counted once"), "{text}");
    undisturbed(&result(folder.path()));
}

/// The file of what was done by the first attempt.
fn shard_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("shards")).expect("shards").flatten();
    let mut lines = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    lines.next().expect("what was done")
}

#[test]
fn damaged_lines_are_seen_and_their_seeds_run_again() {
    let folder = folder();
    assert_eq!(run(folder.path(), &[]).0, 0);
    let path = shard_file(folder.path());
    let text = fs::read_to_string(&path).expect("lines");
    // A digit in the middle of the second line, and the end of the last.
    let changed = text.replacen("\"passed\":", "\"passed\":1", 1);
    fs::write(&path, &changed[..changed.len() - 40]).expect("a file");
    let (code, text) = run(folder.path(), &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("its checksum is wrong") && text.contains("cut short"), "{text}");
    undisturbed(&result(folder.path()));
}

#[test]
fn runs_that_differ_are_told_and_runs_of_another_build_do_not_count() {
    let folder = folder();
    assert_eq!(run(folder.path(), &[]).0, 0);
    let text = fs::read_to_string(shard_file(folder.path())).expect("lines");
    let runs = text.lines().find_map(|line| match decode(line) {
        Ok(Entry::Runs(runs)) => Some(*runs),
        _ => None,
    });
    let runs = runs.expect("a line with runs");
    let other = Runs { build: "another".to_owned(), ..runs.clone() };
    let parts = folder.path().join("parts");
    fs::write(parts.join("other.jsonl"), encode(&Entry::Runs(Box::new(other)))).expect("a file");
    let path = folder.path().to_str().expect("a plain path");
    let (code, text) = output(command(folder.path(), &["merge", path]));
    assert!(code == 0 && text.contains("of another build or scenario do not count"), "{text}");
    undisturbed(&result(folder.path()));
    let differs = Runs { hash: "0x0000000000000001".to_owned(), ..runs };
    fs::write(parts.join("differs.jsonl"), encode(&Entry::Runs(Box::new(differs))))
        .expect("a file");
    let (code, text) = output(command(folder.path(), &["merge", path]));
    assert!(code == 7 && text.contains("0x0000000000000001"), "{text}");
    let (code, text) = run(folder.path(), &["--base", "5"]);
    assert!(code == 2 && text.contains("another campaign is in this folder"), "{code} {text}");
}

#[test]
fn a_full_disk_is_an_error_and_what_was_written_counts() {
    let folder = folder();
    let limited = format!(
        "ulimit -f 8; exec {} campaign run --seeds 400 --jobs 2 --build-id test --out {}",
        program().display(),
        folder.path().display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &limited]);
    let output = shell.output().expect("a shell");
    assert!(!output.status.success(), "files of 4 kB are too small for it");
    let (code, text) = run(folder.path(), &[]);
    assert_eq!(code, 0, "{text}");
    undisturbed(&result(folder.path()));
}

#[test]
fn a_seed_that_kills_its_process_is_named() {
    let total = |result: &str| -> (u64, u64, Vec<String>) {
        let value: serde_json::Value = serde_json::from_str(result).expect("JSON");
        let runs = &value["scenarios"]["steady"]["runs"];
        let count = |name: &str| runs[name].as_u64().unwrap_or(0);
        let groups = runs["groups"].as_object().map(|groups| groups.keys().cloned().collect());
        (count("passed"), count("failed"), groups.unwrap_or_default())
    };
    for (how, what) in [("abort", "SIGABRT"), ("exit", "exit code 0")] {
        let folder = folder();
        let mut words = command(folder.path(), &["run", "steady", "--seeds", "400"]);
        words.env("CAMPAIGN_DIES", how);
        let (code, text) = output(words);
        assert_eq!(code, 1, "{text}");
        let (passed, failed, groups) = total(&result(folder.path()));
        assert!(failed > 0 && passed + failed <= 400, "{text}");
        assert_eq!(groups.len(), 1, "{groups:?}");
        assert!(groups[0].contains(what), "{groups:?}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_a_failure() {
    let folder = folder();
    let mut words = command(folder.path(), &["run", "steady", "--seeds", "200", "--timeout", "2s"]);
    words.env("CAMPAIGN_DIES", "sleep");
    let (code, text) = output(words);
    assert!(code == 1 && text.contains("hang: a run comes to its end"), "{code} {text}");
}

#[test]
fn a_canary_must_be_found_and_known_failures_are_not_red() {
    let folder_one = folder();
    let (code, text) = run(folder_one.path(), &["steady", "--canary", "steady"]);
    assert!(code == 4 && text.contains("planted bug of steady was not found"), "{code} {text}");

    let folder = folder();
    let known = folder.path().join("known.txt");
    let asked = |known: &Path, words: &[&str]| {
        let out = folder.path().join("campaign");
        let mut all = vec!["run", "--seeds", "400", "--known", known.to_str().expect("a path")];
        all.extend_from_slice(words);
        let mut command = command(&out, &all);
        command.env("CAMPAIGN_FAILS", "1");
        output(command)
    };
    let (code, text) = asked(&known, &[]);
    assert!(code == 1 && text.contains("to make them known"), "{code} {text}");
    let small = fs::read_dir(folder.path().join("campaign/failures")).expect("failures").count();
    assert!(small >= 3, "a case, its page, and what is said of it");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("    broken: ")).collect();
    fs::write(&known, lines.join("\n")).expect("a file");
    let (code, text) = asked(&known, &["--no-shrink"]);
    assert!(code == 0 && text.contains("known, 0 new"), "{code} {text}");
}

#[test]
fn a_filter_is_a_part_of_a_name_or_all_of_it() {
    let folder = folder();
    let (code, text) = run(folder.path(), &["stead"]);
    assert!(code == 0 && text.contains("x 1 scenario"), "{text}");
    let (code, text) = run(folder.path(), &["stead", "--exact", "--anew"]);
    assert!(code == 2 && text.contains("no scenario is named `stead`"), "{text}");
    let (code, text) = run(folder.path(), &["steady", "--exact", "--anew"]);
    assert!(code == 0 && text.contains("x 1 scenario"), "{text}");
}

/// A million; where nothing is optimized, fewer, so that nobody has to wait.
const MANY: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

/// A million failures of one kind, and ten thousand kinds: what is read is bounded in memory, what
/// is written in size, and nothing is lost.
#[test]
fn a_million_failures_take_little_room() {
    let folder = folder();
    let mut words = command(folder.path(), &["run", "steady", "--seeds", "2m", "--for", "1s"]);
    words.args(["--no-shrink"]);
    output(words);
    fs::remove_dir_all(folder.path().join("shards")).expect("shards");
    let one = |seed: u64, print: &str| {
        let group = Group {
            runs: 1,
            seed,
            event: 100,
            faults: 2,
            kind: "safety".to_owned(),
            property: "always linearizable".to_owned(),
            told: "what is wrong".to_owned(),
        };
        encode(&Entry::Runs(Box::new(Runs {
            scenario: "steady".to_owned(),
            build: "test".to_owned(),
            from: seed,
            to: seed + 1,
            failed: 1,
            hash: "0x0000000000000001".to_owned(),
            groups: BTreeMap::from([(print.to_owned(), group)]),
            ..Runs::default()
        })))
    };
    fs::remove_dir_all(folder.path().join("parts")).expect("parts");
    fs::create_dir_all(folder.path().join("parts")).expect("parts");
    let mut file = std::io::BufWriter::new(
        fs::File::create(folder.path().join("parts/many.jsonl")).expect("a file"),
    );
    for seed in 0..MANY {
        use std::io::Write as _;
        let print = if seed < MANY - 10_000 { "one".to_owned() } else { format!("kind {seed}") };
        file.write_all(one(seed, &print).as_bytes()).expect("a line");
    }
    drop(file);
    let limited = format!(
        "ulimit -v 600000; exec {} campaign merge {}",
        program().display(),
        folder.path().display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &limited]);
    let (code, text) = output(shell);
    assert_eq!(code, 1, "{text}");
    let value: serde_json::Value = serde_json::from_str(&result(folder.path())).expect("JSON");
    let runs = &value["scenarios"]["steady"]["runs"];
    assert_eq!(runs["failed"], MANY);
    assert_eq!(runs["groups"]["one"]["runs"], MANY - 10_000);
    assert_eq!(runs["groups"].as_object().expect("groups").len(), 10_001);
    let size = |name: &str| fs::metadata(folder.path().join(name)).expect("a file").len();
    assert!(size("index.html") < 1_000_000 && size("result.json") < 8_000_000);
    assert!(text.len() < 20_000, "what is printed is for people");
}

/// What a user's tests look like; what is run of them, the environment says.
mod of_a_user {
    use super::program::{Version, scenario};
    use seedfall::{Expect, check};

    #[test]
    fn steady() {
        check(scenario("steady", Version::Primary));
    }

    #[test]
    fn copied() {
        let because = "each node answers from its own copy";
        let mut scenario = scenario("copied", Version::Copies);
        if std::env::var_os("CAMPAIGN_FAILS").is_none() {
            scenario.expect = Expect::violates(["linearizable"], because);
        }
        check(scenario);
    }
}

/// Runs the tests above in a process of their own.
fn tests_of_a_user(variables: &[(&str, &str)]) -> (i32, String) {
    let mut tests = Command::new(std::env::current_exe().expect("a test has a path"));
    tests.args(["of_a_user::", "--nocapture", "--test-threads=1"]).env("RUST_BACKTRACE", "0");
    tests.envs(variables.iter().copied());
    output(tests)
}

#[test]
fn tests_are_workers_by_themselves() {
    let folder = folder();
    let path = folder.path().to_str().expect("a plain path");
    for shard in ["1/3", "2/3", "3/3"] {
        let lines = [("SEEDFALL_OUT", path), ("SEEDFALL_SEEDS", "400"), ("SEEDFALL_SHARD", shard)];
        let (code, text) = tests_of_a_user(&lines);
        assert!(code == 0 && text.contains("steady: 0 kept cases replayed; 1"), "{text}");
    }
    let (code, text) = output(command(folder.path(), &["merge", path, "--expect", "3"]));
    assert_eq!(code, 0, "{text}");
    let runs = |result: &str| {
        let value: serde_json::Value = serde_json::from_str(result).expect("JSON");
        ["steady", "copied"].map(|name| {
            let mut runs = value["scenarios"][name]["runs"].clone();
            runs["build"] = serde_json::Value::Null;
            runs
        })
    };
    assert_eq!(runs(&result(folder.path())), runs(&wanted()), "the same runs as a campaign's");
    let shard = [("SEEDFALL_SEEDS", "32"), ("SEEDFALL_SHARD", "2/2")];
    assert!(tests_of_a_user(&shard).1.contains("steady: 0 kept cases replayed; 16 seeds"));
    // A part with few seeds, or none, proves nothing by itself, and breaks nothing.
    let none = [("SEEDFALL_SEEDS", "1"), ("SEEDFALL_SHARD", "64/64")];
    let other = [("SEEDFALL_SEEDS", "1"), ("SEEDFALL_SHARD", "63/64")];
    assert!([none, other].iter().all(|shard| tests_of_a_user(shard).0 == 0));
    let refused = |name, value| tests_of_a_user(&[("SEEDFALL_OUT", path), (name, value)]).1;
    assert!(refused("SEEDFALL_SHARD", "0/3").contains("SEEDFALL_SHARD: `0/3` is not a shard"));
    assert!(refused("SEEDFALL_UNIT", "x").contains("SEEDFALL_UNIT: `x`"));
}

#[test]
fn tests_say_which_scenarios_they_have_and_try_first_what_failed() {
    let folder = folder();
    let list = folder.path().join("list");
    let (code, _) = tests_of_a_user(&[("SEEDFALL_LIST", list.to_str().expect("a plain path"))]);
    let text = fs::read_to_string(list).expect("a list");
    assert_eq!((code, text.lines().count()), (0, 2), "{text}");
    assert!(text.contains("\"scenario\":\"steady\",\"test\":\"of_a_user::steady\""), "{text}");

    let path = folder.path().to_str().expect("a plain path");
    let seeds = |seeds| {
        let lines = [("SEEDFALL_OUT", path), ("SEEDFALL_SEEDS", seeds), ("CAMPAIGN_FAILS", "1")];
        tests_of_a_user(&lines)
    };
    let (code, text) = seeds("0..40");
    assert!(code != 0 && text.contains("always linearizable"), "{text}");
    assert!(
        fs::read_to_string(folder.path().join("failing.txt")).expect("a list").contains("copied@")
    );
    let (_, text) = seeds("1000..1001");
    assert!(text.contains("which failed earlier, fails"), "{text}");
}

#[test]
fn lines_of_several_test_binaries_are_one_campaign_and_the_later_build_counts() {
    let folder = folder();
    let write = |scenario: &str, build: &str, failed: u64| {
        let about = About {
            scenario: scenario.to_owned(),
            test: String::new(),
            story: String::new(),
            model: String::new(),
            properties: Vec::new(),
            sometimes: Vec::new(),
            breaks: Vec::new(),
            blocks: false,
        };
        let start = Start { version: 1, about, build: build.to_owned(), seeds: 0..10, unit: 16 };
        let runs = Runs {
            scenario: scenario.to_owned(),
            build: build.to_owned(),
            to: 10,
            passed: 10 - failed,
            failed,
            ..Runs::default()
        };
        let lines = encode(&Entry::Start(Box::new(start))) + &encode(&Entry::Runs(Box::new(runs)));
        fs::write(folder.path().join(format!("{scenario}.{build}.jsonl")), lines).expect("a file");
        std::thread::sleep(Duration::from_millis(20));
    };
    write("one", "binary-9", 10);
    write("one", "binary-1", 0);
    write("two", "binary-2", 0);
    let path = folder.path().to_str().expect("a plain path");
    let (code, text) = output(command(folder.path(), &["merge", path]));
    assert!(code == 0 && text.contains("10 seeds x 2 scenarios, 0 failures"), "{code} {text}");
    assert!(text.contains("10 runs of another build or scenario do not count"), "{text}");
}

#[test]
fn what_failed_in_another_campaign_is_tried_again() {
    let folder = folder();
    let asked = |base: &str, fails: bool| {
        let words = ["run", "--seeds", "40", "--base", base, "--anew", "--no-shrink"];
        let mut command = command(folder.path(), &words);
        if fails {
            command.env("CAMPAIGN_FAILS", "1");
        }
        output(command)
    };
    let (code, text) = asked("0", true);
    assert!(code == 1 && !text.contains("failed earlier"), "{text}");
    let failing = fs::read_to_string(folder.path().join("failing.txt")).expect("seeds");
    let first = failing.lines().next().expect("a seed").to_owned();
    let (code, text) = asked("100000", true);
    assert!(code == 1 && text.contains(&format!("still    {first} failed earlier")), "{text}");
    // Its scenario is gone.
    let (code, text) = asked("200000", false);
    assert!(code == 0 && !text.contains("failed earlier"), "{text}");
}
