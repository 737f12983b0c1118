//! The peers that exist as crates, on what they can judge: one register, every answer known.
//!
//! Neither can be asked to stop, so each load is judged in a process of its own, which is ended
//! after a few seconds.

use std::process::{Command, Stdio};
use std::time::Duration;

use seedfall_checkers::models::{Register, RegisterInput, RegisterOutput};
use seedfall_checkers::{Budget, Outcome, linearizable};
use stateright::semantics::register::{Register as Spec, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use todc_utils::specifications::register::{RegisterOperation, RegisterSpecification};
use todc_utils::{Action, WGLChecker};

use crate::loads::{self, Registers};

/// Seconds that a peer gets for one load.
const PATIENCE: u64 = 10;

/// Operations, clients, whether a stale read is planted.
const LOADS: [(usize, usize, bool); 9] = [
    (50, 3, false),
    (50, 3, true),
    (200, 2, true),
    (1_000, 5, false),
    (1_000, 5, true),
    (1_000, 8, false),
    (1_000, 12, false),
    (1_000, 20, false),
    (10_000, 5, false),
];

fn load((n, clients, bad): (usize, usize, bool)) -> Registers {
    let mut history = loads::register((1, n, clients, 0), 0, None, true);
    if bad {
        loads::plant_stale_read(&mut history);
    }
    history
}

/// Calls and responses in order of time, a call before a response of equal stamp.
fn events(history: &Registers) -> Vec<(usize, bool)> {
    let mut events = Vec::new();
    for (index, operation) in history.operations.iter().enumerate() {
        events.push((operation.call, 0, index));
        if let Outcome::Ok { returned, .. } = operation.outcome {
            events.push((returned, 1, index));
        }
    }
    events.sort_unstable();
    events.into_iter().map(|(_, response, index)| (index, response == 1)).collect()
}

/// The same history for `todc-utils`, whose register starts at its type's default.
fn todc(history: &Registers) -> bool {
    type Op = RegisterOperation<Option<u32>>;
    let actions: Vec<(usize, Action<Op>)> = events(history)
        .into_iter()
        .map(|(index, response)| {
            let told = &history.operations[index];
            let operation = match (&told.input, &told.outcome) {
                (RegisterInput::Write(value), _) => RegisterOperation::Write(*value),
                (_, Outcome::Ok { output: RegisterOutput::Value(seen), .. }) => {
                    RegisterOperation::Read(Some(*seen))
                }
                _ => RegisterOperation::Read(None),
            };
            let action =
                if response { Action::Response(operation) } else { Action::Call(operation) };
            (told.client as usize, action)
        })
        .collect();
    let history = todc_utils::History::from_actions(actions);
    WGLChecker::<RegisterSpecification<Option<u32>>>::is_linearizable(history)
}

fn stateright(history: &Registers) -> bool {
    let mut tester = LinearizabilityTester::new(Spec(None));
    for (index, response) in events(history) {
        let told = &history.operations[index];
        let thread = told.client;
        if !response {
            let op = match told.input {
                RegisterInput::Write(value) => RegisterOp::Write(value),
                _ => RegisterOp::Read,
            };
            tester.on_invoke(thread, op).expect("one call at a time");
        } else if let Outcome::Ok { output, .. } = &told.outcome {
            let answer = match output {
                RegisterOutput::Value(seen) => RegisterRet::ReadOk(*seen),
                _ => RegisterRet::WriteOk,
            };
            tester.on_return(thread, answer).expect("a call is open");
        }
    }
    tester.is_consistent()
}

/// Judges one load with one peer and prints seconds and answer.
pub fn child(arguments: Vec<String>) {
    let number: usize = arguments[1].parse().expect("a load");
    let history = load(LOADS[number]);
    let (start, clock) = (crate::cpu_seconds(), std::time::Instant::now());
    let answer = match arguments[0].as_str() {
        "todc" => todc(&history),
        _ => stateright(&history),
    };
    let spent = crate::cpu_seconds() - start;
    // Below the kernel's resolution the clock tells more.
    let spent = if spent > 0.01 { spent } else { clock.elapsed().as_secs_f64() };
    println!("{spent} {answer}");
}

/// Seconds and answer of a peer, if it came in time.
fn ask(peer: &str, number: usize) -> Option<(f64, bool)> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["peer", peer, &number.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    for _ in 0..PATIENCE * 20 {
        std::thread::sleep(Duration::from_millis(50));
        if child.try_wait().expect("a child").is_some() {
            let told = child.wait_with_output().expect("its output").stdout;
            let told = String::from_utf8(told).expect("text");
            let (seconds, answer) = told.trim().split_once(' ')?;
            return Some((seconds.parse().ok()?, answer == "true"));
        }
    }
    child.kill().expect("a running child");
    child.wait().expect("an ended child");
    None
}

/// Prints the table.
pub fn table() {
    println!("\n| register, unique values | Seedfall | todc-utils | ratio | stateright | ratio |");
    println!("|---|---|---|---|---|---|");
    for (number, shape) in LOADS.into_iter().enumerate() {
        let history = load(shape);
        let model = Register { initial: None };
        let (ours, verdict) = crate::best_of(|| linearizable(&model, &history, Budget::DEFAULT));
        let holds = verdict.is_ok_and(|verdict| verdict.holds());
        assert_eq!(holds, !shape.2, "planted or not");
        let mut row = format!(
            "| {} operations, c{}, {} | {:.4} ms |",
            shape.0,
            shape.1,
            if shape.2 { "bad" } else { "ok" },
            ours * 1e3
        );
        for peer in ["todc", "stateright"] {
            match ask(peer, number) {
                Some((seconds, answer)) => {
                    assert_eq!(answer, holds, "{peer} disagrees");
                    row += &format!(" {:.2} ms | {:.0} |", seconds * 1e3, seconds / ours);
                }
                None => {
                    let least = PATIENCE as f64 / ours;
                    row += &format!(" none in {PATIENCE} s | > {least:.0} |");
                }
            }
        }
        println!("{row}");
    }
}
