//! The stories of `tests/scripts/*.txt`: each line is a command, and the indented lines below it
//! are what came of it. `UPDATE_SCRIPTS=1 cargo test -p seedfall-protocols scripts` writes the
//! indented lines anew.
//!
//! | command | what it does |
//! |---|---|
//! | `cluster 5 [voters=3] [snapshot-after=4] [batch=1] [pre-vote] [sticky]` | n1 to n5 begin |
//! | `log n1 term=3: 1 1 2` | n1 begins again in term 3, with a log of these terms |
//! | `timeout n1`, `heartbeat leader`, `restart n2` | what happens to one server |
//! | `put leader k v`, `get leader k` | client c1 asks it |
//! | `change leader add n4` (`remove`, `learner`, `replace n1 n2 n3`), `transfer leader n2` | so |
//! | `deliver n1 n2 n3`, `deliver all` | what travels among these arrives; the rest is lost |
//! | `deliver 3 n1 n2` | the first three of them arrive; the rest is lost |
//! | `lose` | all that travels is lost |
//! | `pass 150` | so many milliseconds pass on every clock |
//! | `show` | every server, with the terms of its log, and its voters if they are not all |
//!
//! A server is named `n1`, or `leader` (of the highest term), or `follower(2)`: the second of the
//! others.

use crate::support::*;
use seedfall_protocols::kv::Answer;
use seedfall_protocols::raft::membership::{Change, NodeSet};
use seedfall_protocols::raft::{Config, Message, Outcome, Request, Response};
use seedfall_sim::{Duration, NodeId};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

struct Story {
    bench: Bench,
    config: Config,
    /// How many requests were made, and how many responses were shown.
    asked: u64,
    told: usize,
}

fn name(node: NodeId) -> String {
    format!("n{}", node.index() + 1)
}

impl Story {
    fn new() -> Self {
        Self { bench: Bench::new(1), config: config(), asked: 0, told: 0 }
    }

    /// Every node, in the order of their names.
    fn all(&self) -> Vec<NodeId> {
        NodeId::all(self.bench.servers.len()).collect()
    }

    fn node(&self, selector: &str) -> NodeId {
        let leads = |node: &NodeId| self.bench.servers[node.index()].raft.is_leader();
        let term = |node: &NodeId| self.bench.servers[node.index()].raft.term();
        let leader = self.all().into_iter().filter(leads).max_by_key(term);
        if selector == "leader" {
            return leader.expect("there is a leader");
        }
        if let Some(place) = selector.strip_prefix("follower(") {
            let place: usize = place.trim_end_matches(')').parse().expect("a number");
            let mut others = self.all().into_iter().filter(|node| Some(*node) != leader);
            return others.nth(place - 1).expect("so many followers");
        }
        let number = selector.strip_prefix('n').expect("`n1`, `leader` or `follower(1)`");
        NodeId::new(number.parse::<u16>().expect("a number") - 1)
    }

    fn cluster(&mut self, words: &[&str]) {
        self.config = config();
        for word in &words[1..] {
            let (key, value) = word.split_once('=').unwrap_or((word, "0"));
            let value: u16 = value.parse().expect("a number");
            match key {
                "voters" => self.config.initial_voters = Some(value),
                "snapshot-after" => self.config.snapshot_after = Some(value.into()),
                "batch" => self.config.max_entries_per_append = value.into(),
                "pre-vote" => self.config.pre_vote = true,
                "sticky" => self.config.leader_stickiness = true,
                other => panic!("no setting {other}"),
            }
        }
        self.bench = Bench::configured(words[0].parse().expect("a number"), &self.config);
        self.told = 0;
    }

    /// `n1 term=3: 1 1 2`.
    fn log(&mut self, rest: &str) {
        let (head, terms) = rest.split_once(':').expect("a colon before the terms");
        let (node, term) = head.split_once(" term=").expect("`n1 term=3`");
        let (node, nodes) = (self.node(node), self.bench.servers.len());
        let terms: Vec<u64> =
            terms.split_whitespace().map(|term| term.parse().expect("a term")).collect();
        let journal = Server::with_log(node, nodes, term.parse().expect("a term"), &terms).journal;
        *self.bench.at(node) = Server::configured(node, nodes, journal, self.config.clone(), 1);
    }

    fn ask(&mut self, node: NodeId, body: Request) {
        self.asked += 1;
        let number = self.asked;
        self.bench.act(node, |server| server.ask(number, body));
    }

    fn change(&self, words: &[&str]) -> Request {
        let node = self.node(words[1]);
        Request::Reconfigure(match words[0] {
            "add" => Change::Add(node),
            "remove" => Change::Remove(node),
            "learner" => Change::AddLearner(node),
            "replace" => Change::Replace(words[1..].iter().map(|word| self.node(word)).collect()),
            other => panic!("no change {other}"),
        })
    }

    /// Delivers what travels among these nodes, until nothing does, or so many have arrived.
    fn deliver(&mut self, most: usize, among: &[NodeId], out: &mut String) {
        for _ in 0..most {
            let reachable = |(from, to, _): &(NodeId, NodeId, Message)| {
                among.contains(from) && among.contains(to)
            };
            let Some(place) = self.bench.wire.iter().position(reachable) else { break };
            let (from, to, message) = self.bench.wire.remove(place);
            say(out, &format!("{} -> {}: {}", name(from), name(to), brief(&message)));
            self.bench.act(to, |server| server.deliver(from, message));
            self.tell(out);
        }
        let lost = self.bench.wire.len();
        if lost > 0 {
            say(out, &format!("{lost} lost"));
        }
        self.bench.wire.clear();
    }

    /// What clients were told since the last look.
    fn tell(&mut self, out: &mut String) {
        for (request, response) in &self.bench.responses[self.told..] {
            let text = match response {
                Response::Done(Answer::Value(value)) => {
                    format!("value {}", value.as_deref().unwrap_or("(none)"))
                }
                Response::NotLeader { leader } => {
                    format!("not the leader; {}", leader.map_or("nobody known".into(), name))
                }
                other => format!("{other:?}").to_lowercase(),
            };
            say(out, &format!("request {} answered: {text}", request.number));
        }
        self.told = self.bench.responses.len();
    }

    fn show(&mut self, out: &mut String) {
        for node in self.all() {
            let server = self.bench.at(node);
            let log = server.raft.log().to_string();
            let configuration = server.raft.configuration();
            let members = |set: NodeSet| set.iter().map(name).collect::<Vec<_>>().join(" ");
            let voters = match configuration.outgoing {
                Some(old) => format!("; {} with {}", members(old), members(configuration.voters)),
                None if configuration.voters == NodeSet::first(server.nodes) => String::new(),
                None => format!("; {}", members(configuration.voters)),
            };
            say(out, &format!("{}: {}; {log}{voters}", name(node), server.raft.status()));
        }
    }

    /// Does what a line says; what came of it.
    fn obey(&mut self, line: &str) -> String {
        let mut out = String::new();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match verb {
            "cluster" => self.cluster(&words),
            "log" => self.log(rest),
            "show" => self.show(&mut out),
            "lose" => self.bench.wire.clear(),
            "pass" => self.bench.pass(Duration::millis(rest.parse().expect("milliseconds"))),
            "deliver" => {
                let (most, names) = match words[0].parse() {
                    Ok(most) => (most, &words[1..]),
                    Err(_) => (10_000, &words[..]),
                };
                let among = match names {
                    ["all"] => self.all(),
                    names => names.iter().map(|name| self.node(name)).collect(),
                };
                self.deliver(most, &among, &mut out);
            }
            _ => self.obey_at(verb, self.node(words[0]), &words[1..], &mut out),
        }
        self.tell(&mut out);
        out
    }

    /// A verb whose first word is a server.
    fn obey_at(&mut self, verb: &str, node: NodeId, words: &[&str], out: &mut String) {
        match verb {
            "timeout" => self.bench.act(node, Server::election_timeout),
            "heartbeat" => self.bench.act(node, Server::heartbeat),
            "restart" => self.bench.at(node).restart(),
            "put" | "get" => {
                let sequence = self.asked + 1;
                let command = if verb == "put" { put(words[0], words[1]) } else { get(words[0]) };
                self.ask(node, Request::Command { sequence, command });
            }
            "change" => {
                let change = self.change(words);
                self.ask(node, change);
            }
            "transfer" => {
                let to = self.node(words[0]);
                self.ask(node, Request::Transfer { to });
            }
            other => panic!("no command {other}"),
        }
        say(out, &format!("{}: {}", name(node), self.bench.at(node).raft.status()));
    }
}

fn say(out: &mut String, line: &str) {
    writeln!(out, "  {line}").expect("a string takes all");
}

/// A message in a few words.
fn brief(message: &Message) -> String {
    let term = message.term();
    let text = match message {
        Message::RequestVote { last_log_index, last_log_term, transfer, .. } => {
            let asked = if *transfer { ", asked to by the leader" } else { "" };
            format!("RequestVote, log to {last_log_index} of {last_log_term}{asked}")
        }
        Message::VoteReply { granted, .. } => format!("VoteReply {granted}"),
        Message::PreVote { last_log_index, last_log_term, .. } => {
            format!("PreVote, log to {last_log_index} of {last_log_term}")
        }
        Message::PreVoteReply { granted, .. } => format!("PreVoteReply {granted}"),
        Message::TimeoutNow { .. } => "TimeoutNow".to_owned(),
        Message::InstallSnapshot { chunk, .. } => {
            format!("InstallSnapshot up to {}, items from {}", chunk.head.last_index, chunk.offset)
        }
        Message::AppendEntries {
            prev_log_index, prev_log_term, entries, leader_commit, ..
        } => {
            let terms: Vec<_> = entries.iter().map(|entry| entry.term.0).collect();
            let after = format!("{prev_log_index} of {prev_log_term}");
            format!("AppendEntries {terms:?} after {after}, commit {leader_commit}")
        }
        Message::AppendReply { outcome, .. } => match outcome {
            Outcome::Matched(index) => format!("AppendReply matched {index}"),
            Outcome::Conflict { term, first } => {
                let term = term.map_or("nothing there".to_owned(), |term| term.to_string());
                format!("AppendReply conflict: {term}, from {first}")
            }
            Outcome::Deposed => "AppendReply deposed".to_owned(),
            Outcome::Chunk { items, .. } => format!("AppendReply holds {items} items"),
        },
    };
    format!("{term}: {text}")
}

/// Plays a story; its text with what came of each line.
fn play(text: &str) -> String {
    let (mut story, mut out) = (Story::new(), String::new());
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(out, "{line}").expect("a string takes all");
        if !line.is_empty() && !line.starts_with('#') {
            out += &story.obey(line);
        }
    }
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts")
}

#[test]
fn every_script_tells_the_story_that_it_always_told() {
    let mut played = 0;
    let mut files: Vec<_> =
        fs::read_dir(folder()).expect("scripts").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "txt")) {
        let told = fs::read_to_string(path).expect("a script");
        let now = play(&told);
        played += 1;
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            fs::write(path, &now).expect("the script can be written");
        } else {
            for (number, (now, told)) in now.lines().zip(told.lines()).enumerate() {
                assert_eq!(now, told, "{}, line {}", path.display(), number + 1);
            }
            assert_eq!(now, told, "{}", path.display());
        }
    }
    assert!(played >= 6, "the scripts are there: {played}");
}
