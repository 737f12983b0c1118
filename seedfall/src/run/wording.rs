//! What a verdict says, as far as it does not depend on the protocol: so it is compiled once, and
//! not for each.

use super::broken::Broken;
use super::panics::Panic;
use crate::faults::ActsOn;
use crate::report::{Failure, FailureKind};
use crate::scenario::{COMES_TO_ITS_END, NEVER_PANICS};
use crate::words::counted;
use seedfall_sim::{Address, Counters, Duration, Handler, Seed, Time};

/// Who panicked: the property that was being judged, whoever's handler was running, or else
/// Seedfall itself.
pub(super) fn blame(
    panic: &Panic,
    judging: Option<&'static str>,
    running: Option<(Address, Handler)>,
    event: u64,
) -> Broken {
    let mut declared = None;
    let (kind, property, who) = match (judging, running) {
        (Some(name), _) => {
            let property = format!("the property `{name}` does not panic");
            (FailureKind::Crash, property, format!("the property `{name}` panicked"))
        }
        (None, Some((actor, handler))) if actor.node().is_some() => {
            let who = format!("{actor} panicked in `{handler}`");
            declared = Some(NEVER_PANICS);
            (FailureKind::Crash, NEVER_PANICS.to_owned(), who)
        }
        (None, Some((actor, _))) => {
            let property = "the workload does not panic".to_owned();
            (FailureKind::Crash, property, format!("the workload panicked for {actor}"))
        }
        (None, None) => {
            let property = "Seedfall does not panic".to_owned();
            (FailureKind::Internal, property, "this is a bug of Seedfall: it panicked".into())
        }
    };
    let Panic { message, place } = panic;
    let why = format!("{who} at {place}, event {event}: {message}");
    // Numbers differ from run to run; the words are the bug.
    let shape: String = message.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
    Broken { declared, ..Broken::new(kind, property, &shape, why) }
}

/// A run in which nothing goes on: who waits for what, and the shape of that.
pub(super) fn stuck(why: &str, waiting: &str, shape: &str) -> Broken {
    let property = COMES_TO_ITS_END.to_owned();
    let shape = format!("{why}: {shape}");
    Broken::new(FailureKind::Stuck, property, &shape, format!("it {why}, while {waiting}"))
        .of(COMES_TO_ITS_END)
}

/// Operations that are not complete so long after the last fault.
pub(super) fn incomplete(
    name: &'static str,
    settle: Duration,
    waiting: &str,
    shape: &str,
) -> Broken {
    let why = format!("{settle} after the last fault, {waiting}");
    let property = format!("eventually {name}");
    let shape = format!("operations: {shape}");
    Broken::new(FailureKind::Liveness, property, &shape, why).of(name)
}

/// What should have come to be so long after the last fault, and has not.
pub(super) fn unsettled(
    name: &'static str,
    settle: Duration,
    why: &str,
    nodes_wait: &[String],
    shape: &str,
) -> Broken {
    let why = format!("{settle} after the last fault, {why}; {}", nodes_wait.join("; "));
    let property = format!("eventually {name}");
    let shape = format!("{name}: {shape}");
    Broken::new(FailureKind::Liveness, property, &shape, why).of(name)
}

/// A fault that had an effect after its plan was over is a bug of the nemesis.
pub(super) fn outlived(before: &impl std::fmt::Debug, after: &impl std::fmt::Debug) -> Broken {
    let why = format!("a fault took effect after its plan was over: {before:?}, {after:?}");
    let property = "faults end with their plan".to_owned();
    Broken::new(FailureKind::Internal, property, "late fault", why)
}

/// A property that holds of a history and not of a prefix of it.
pub(super) fn not_prefix_closed(name: &'static str, until: u64, reason: &str) -> Broken {
    let property = format!("the property `{name}` is prefix-closed");
    let until = Time::from_nanos(until);
    let why = format!(
        "`{name}` holds for the history, and not for what clients knew of it at {until}: \
         {reason}. A run may be judged at any instant, and `always` speaks of all of them; \
         what must be so at the end is an `eventually`"
    );
    Broken::new(FailureKind::Crash, property, name, why)
}

/// The run that a failure is of.
pub(super) struct Of {
    pub(super) scenario: &'static str,
    pub(super) seed: Seed,
    pub(super) event: u64,
    pub(super) at: Time,
    pub(super) hash: u64,
    pub(super) faults: Vec<String>,
}

/// The operations of a history of `all` that a failure shows; and what it names that is not there,
/// in words: that is a slip of the user's, and told.
pub(super) fn shown(broken: &Broken, all: usize) -> (Vec<usize>, String) {
    let mut shown = broken.core.clone();
    shown.extend(broken.operation.filter(|one| !shown.contains(one)));
    shown.sort_unstable();
    let strange = shown.iter().find(|index| all <= **index).map_or_else(String::new, |index| {
        let operations = counted(all as u64, "operation");
        format!("; it names operation {index}, and the history has {operations}")
    });
    shown.retain(|index| *index < all);
    (shown, strange)
}

/// What is broken, as a report has it; `expected` is why the scenario expects it, if it does, or
/// why the wait that it expects need not be.
pub(super) fn failure(
    broken: Broken,
    expected: Result<Option<String>, String>,
    strange: &str,
    operations: Vec<String>,
    of: Of,
) -> Failure {
    let (expected, need_not) = match expected {
        Ok(expected) => (expected, String::new()),
        Err(why) => (None, format!("; it need not wait: {why}")),
    };
    let Of { scenario, seed, event, at, hash, faults } = of;
    let kind = broken.kind;
    Failure {
        kind,
        scenario,
        seed,
        fingerprint: format!("{}: {}: {}", kind.name(), broken.property, broken.shape),
        property: broken.property,
        explanation: broken.explanation + &need_not + strange,
        expected,
        operations,
        nodes: Vec::new(),
        event,
        at,
        hash,
        faults,
        replay: crate::words::command(&format!("replay {scenario} --seed {}", seed.0)),
    }
}

/// What nobody expects comes first.
pub(super) fn expected_last(failures: &mut [Failure]) {
    failures.sort_by_key(|failure| failure.expected.is_some());
}

/// Why a run proves nothing, if it does not.
pub(super) fn vacuous(judged: bool, completed: u64) -> Option<String> {
    match (judged, completed) {
        (false, _) => Some("the scenario has no property that could be broken".to_owned()),
        (true, 0) => Some("no operation completed".to_owned()),
        _ => None,
    }
}

/// What a run used none of: whatever faults do to it, they cannot have an effect.
pub(super) fn without(nodes: usize, strategies: usize, counters: &Counters) -> Vec<ActsOn> {
    let used = [
        (ActsOn::Peers, nodes as u64 - 1),
        (ActsOn::Timers, counters.timers),
        (ActsOn::Disk, counters.appended),
        (ActsOn::Strategies, strategies as u64),
    ];
    used.into_iter().filter(|(_, used)| *used == 0).map(|(what, _)| what).collect()
}
