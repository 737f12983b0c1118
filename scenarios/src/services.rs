//! The built-in services.

use crate as builtin;
use seedfall_protocols::kv::{Answer, Command, Text};
use seedfall_protocols::{abd, raft, saga, two_phase_commit};
use seedfall_real::service::{Served, Service, Told};
use seedfall_sim::Duration;

/// What each account has at first.
const OPENING: i64 = 100;

/// Every built-in service.
pub fn all() -> Vec<Box<dyn Served>> {
    vec![Box::new(raft()), Box::new(abd()), Box::new(two_phase_commit()), Box::new(saga())]
}

type Raft = Service<raft::Raft, builtin::raft_kv::Input, builtin::raft_kv::Output>;
type Abd = Service<abd::Abd, builtin::raft_kv::Input, builtin::raft_kv::Output>;
type TwoPhaseCommit = Service<two_phase_commit::Site, builtin::bank::Input, builtin::bank::Output>;
type Saga = Service<saga::orchestrated::Node, builtin::saga::Input, builtin::saga::Output>;

fn raft() -> Raft {
    Service {
        name: "raft",
        about: "a replicated key-value store; any odd number of nodes",
        usage: "get KEY\nput KEY VALUE\nappend KEY VALUE\ncas KEY EXPECTED VALUE \
                (EXPECTED `-`: no value)\ndelete KEY",
        // Twice the paper's timeouts: a sync of a busy disk takes its time.
        config: raft::Config {
            election_timeout_min: Duration::millis(300),
            election_timeout_max: Duration::millis(600),
            heartbeat_interval: Duration::millis(75),
            max_entries_per_append: 64,
            max_in_flight: 256,
            snapshot_after: Some(4_096),
            pre_vote: true,
            ..raft::Config::PAPER
        },
        parse: |words, sequence| match commands(words)?.as_slice() {
            [command] => Ok(raft::Request::Command { sequence, command: command.clone() }),
            _ => Err("one command at a time".to_owned()),
        },
        tell: |response| match response {
            raft::Response::Done(answer) => kv_told(&answer),
            raft::Response::NotLeader { leader } => Told::Elsewhere(leader),
            raft::Response::Expired => Told::Done("done, once; its answer is forgotten".to_owned()),
            other => Told::Refused(format!("{other:?}")),
        },
        scenario: builtin::raft_kv::five,
    }
}

fn abd() -> Abd {
    Service {
        name: "abd",
        about: "atomic registers over any majority, without a leader",
        usage: "get KEY\nput KEY VALUE",
        config: abd::Config {
            writers: abd::Writers::Many,
            write_back: true,
            retransmit_after: Duration::millis(100),
        },
        parse: |words, _| match words {
            ["get", key] => Ok(abd::Request::Read { key: (*key).into() }),
            ["put", key, value] => {
                Ok(abd::Request::Write { key: (*key).into(), value: (*value).into() })
            }
            _ => Err(format!("`{}` is not `get KEY` or `put KEY VALUE`", words.join(" "))),
        },
        tell: |response| match response {
            abd::Response::Value(value) => Told::Done(shown(value.as_ref())),
            abd::Response::Written => Told::Done("done".to_owned()),
            abd::Response::NotProxy { proxy } => Told::Elsewhere(Some(proxy)),
        },
        scenario: builtin::abd::many,
    }
}

fn two_phase_commit() -> TwoPhaseCommit {
    Service {
        name: "2pc",
        about: "transactions over a key-value store whose keys are spread over the nodes",
        usage: "any number of these, which take effect together or not at all:\nget KEY\n\
                put KEY VALUE\nappend KEY VALUE\ncas KEY EXPECTED VALUE (else nothing happens; \
                EXPECTED `-`: no value)\ndelete KEY",
        config: two_phase_commit::Config {
            presumption: two_phase_commit::Presumption::Abort,
            retry_interval: Duration::millis(100),
            attempts: 4,
            idle_timeout: Duration::millis(1_000),
            flush_interval: Duration::millis(100),
        },
        parse: |words, sequence| {
            Ok(two_phase_commit::Request { sequence, commands: commands(words)? })
        },
        tell: |response| match response {
            two_phase_commit::Response::Committed(answers) => {
                let told = answers.iter().map(kv_words);
                Told::Done(format!("committed: {}", told.collect::<Vec<_>>().join(", ")))
            }
            two_phase_commit::Response::Aborted => {
                Told::Refused("aborted: nothing of it happened".to_owned())
            }
            two_phase_commit::Response::Elsewhere { coordinator } => {
                Told::Elsewhere(Some(coordinator))
            }
        },
        scenario: builtin::bank::presumed_abort,
    }
}

fn saga() -> Saga {
    Service {
        name: "saga",
        about: "payments in steps that are compensated if a later one is refused; n1 orchestrates",
        usage: "pay FROM TO AMOUNT (a full or an empty account refuses)\nread ACCOUNT",
        config: saga::Config {
            isolation: saga::Isolation::SemanticLock,
            opening: OPENING,
            ceiling: 160,
            backoff_min: Duration::millis(50),
            backoff_max: Duration::millis(1_000),
            attempts: 4,
            flush_interval: Duration::millis(100),
        },
        parse: |words, sequence| match words {
            ["read", account] => Ok(saga::orchestrated::Request::Read((*account).into())),
            ["pay", from, to, amount] => {
                let amount = amount.parse().ok().filter(|amount: &i64| *amount > 0);
                let amount = amount.ok_or_else(|| "AMOUNT is a number above 0".to_owned())?;
                let step = |kind, account: &str, amount| {
                    vec![saga::Step { kind, account: account.into(), amount }]
                };
                let debit = step(saga::Kind::Compensatable, from, -amount);
                let credit = step(saga::Kind::Pivot, to, amount);
                let plan = saga::Plan { stages: vec![debit, credit] };
                Ok(saga::orchestrated::Request::Run { sequence, plan })
            }
            _ => {
                Err(format!("`{}` is not `pay FROM TO AMOUNT` or `read ACCOUNT`", words.join(" ")))
            }
        },
        tell: |response| match response {
            saga::orchestrated::Response::Ended(saga::Outcome::Completed) => {
                Told::Done("paid".to_owned())
            }
            saga::orchestrated::Response::Ended(saga::Outcome::Compensated) => {
                Told::Refused("a step was refused, and those before it are compensated".to_owned())
            }
            saga::orchestrated::Response::Standing(effects) => {
                let balance = effects.iter().fold(OPENING, |balance, (_, amount)| balance + amount);
                Told::Done(format!("{balance} after {} postings", effects.len()))
            }
            saga::orchestrated::Response::Elsewhere(node) => Told::Elsewhere(Some(node)),
        },
        // It judges a history: what is compensated, nobody has read.
        scenario: builtin::saga::semantic_lock,
    }
}

/// Commands of the key-value store, one after the other.
fn commands(words: &[&str]) -> Result<Vec<Command>, String> {
    let (mut commands, mut rest) = (Vec::new(), words);
    while !rest.is_empty() {
        let (command, after) = match rest {
            ["get", key, after @ ..] => (Command::Get { key: (*key).into() }, after),
            ["delete", key, after @ ..] => (Command::Delete { key: (*key).into() }, after),
            ["put", key, value, after @ ..] => {
                (Command::Put { key: (*key).into(), value: (*value).into() }, after)
            }
            ["append", key, value, after @ ..] => {
                (Command::Append { key: (*key).into(), value: (*value).into() }, after)
            }
            ["cas", key, expected, value, after @ ..] => {
                let expected = (*expected != "-").then(|| Text::from(*expected));
                (Command::Cas { key: (*key).into(), expected, value: (*value).into() }, after)
            }
            _ => return Err(format!("`{}` is not a command of the store", rest.join(" "))),
        };
        commands.push(command);
        rest = after;
    }
    if commands.is_empty() { Err("there is no command".to_owned()) } else { Ok(commands) }
}

fn shown(value: Option<&Text>) -> String {
    value.map_or_else(|| "(no value)".to_owned(), ToString::to_string)
}

fn kv_words(answer: &Answer) -> String {
    match answer {
        Answer::Value(value) => shown(value.as_ref()),
        Answer::Done | Answer::Cas { swapped: true, .. } => "done".to_owned(),
        Answer::Cas { swapped: false, seen } => format!("not set: it is {}", shown(seen.as_ref())),
    }
}

fn kv_told(answer: &Answer) -> Told {
    match answer {
        Answer::Cas { swapped: false, .. } => Told::Refused(kv_words(answer)),
        _ => Told::Done(kv_words(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_one_after_the_other() {
        let three = commands(&["get", "x", "cas", "y", "-", "1", "put", "z", "get"]);
        let put = Command::Put { key: "z".into(), value: "get".into() };
        let cas = Command::Cas { key: "y".into(), expected: None, value: "1".into() };
        assert_eq!(three, Ok(vec![Command::Get { key: "x".into() }, cas, put]));
        assert!(commands(&["put", "x"]).is_err());
        assert!(commands(&[]).is_err());
    }
}
