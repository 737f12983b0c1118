//! Recordings: what is replayed equals what was recorded, and what was altered is named.

use super::{Cluster, put, raft_ask, raft_config, run};
use seedfall::sim::wal::crc32c;
use seedfall::sim::{ClientId, NodeId};
use seedfall_protocols::raft::Raft;
use seedfall_real::driver::{Client, End, Rerun, rerun, who_recorded};

/// What a leader of three did for two commands.
fn recording() -> String {
    let (send, receive) = std::sync::mpsc::channel();
    run(async move {
        let mut cluster = Cluster::<Raft>::new("raft", raft_config(), 3).await;
        let mut client = Client::new(ClientId::new(0), cluster.peers.clone());
        raft_ask(&mut client, 1, put("1")).await;
        raft_ask(&mut client, 2, put("2")).await;
        let leader = cluster.leader().await;
        cluster.stop().await;
        let text = std::fs::read_to_string(cluster.recording(leader)).expect("a recording");
        send.send((leader, text)).expect("somebody waits");
    });
    let (leader, text): (NodeId, String) = receive.recv().expect("it was sent");
    assert_eq!(who_recorded(&text).expect("a recording"), "raft");
    let done = replayed(&text);
    assert_eq!((done.node, done.difference), (leader, None));
    text
}

fn replayed(text: &str) -> Rerun {
    rerun::<Raft>(text).expect("a whole recording")
}

/// The line with other JSON in it, and the checksum that fits.
fn signed(line: &str, from: &str, to: &str) -> String {
    let (_, json) = line.split_once(' ').expect("a checksum, and the rest");
    let json = json.replacen(from, to, 1);
    format!("{:08x} {json}", crc32c(json.as_bytes()))
}

#[test]
fn what_was_altered_is_named() {
    let text = recording();
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n") + "\n"
    };
    // An effect: the line of effects with an answer to a client in it.
    let at = lines.iter().position(|line| line.contains("\"respond c1#")).expect("it answered");
    let altered = signed(lines[at], "\"respond c1#", "\"respond c2#");
    let difference = replayed(&with(at, &altered)).difference.expect("a difference");
    assert_eq!((difference.life, difference.line), (1, at + 1));
    assert!(difference.expected.contains("respond c2#"), "{difference:?}");
    assert!(difference.got.contains("= respond c1#"), "{difference:?}");
    // The number of draws.
    let altered = signed(lines[at], "\"drawn\":", "\"drawn\":9");
    let difference = replayed(&with(at, &altered)).difference.expect("a difference");
    assert!(difference.expected.starts_with('9'), "{difference:?}");
    // An input: the leader is told another term, and does something else about it.
    let at = lines.iter().position(|line| line.contains("\"AppendReply\":{\"term\":"));
    let at = at.expect("followers answered");
    let altered = signed(lines[at], "\"AppendReply\":{\"term\":", "\"AppendReply\":{\"term\":9");
    let difference = replayed(&with(at, &altered)).difference.expect("a difference");
    assert_eq!(difference.line, at + 2, "the effects of that input");
    // A byte, and its checksum not with it.
    let altered = lines[at].replacen("AppendReply", "AppendReplx", 1);
    let error = rerun::<Raft>(&with(at, &altered)).expect_err("damage").to_string();
    assert!(error.starts_with(&format!("line {}: its checksum does not fit", at + 1)), "{error}");
    // A line that is gone.
    let mut without = lines.clone();
    without.drain(at..at + 2);
    let error = rerun::<Raft>(&without.join("\n")).expect_err("a gap").to_string();
    assert!(error.contains("inputs are missing"), "{error}");
}

#[test]
fn what_is_whole_of_a_recording_is_replayed() {
    let text = recording();
    let whole = replayed(&text);
    assert_eq!(whole.lives[0].end, End::Stopped);
    // Cut at every line of the first ones, and in the middle of some.
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).take(40).collect();
    for (lines, end) in ends.iter().enumerate() {
        let done = replayed(&text[..*end]);
        assert_eq!(done.difference, None);
        let inputs = lines as u64 / 2;
        assert_eq!(done.lives[0].inputs, inputs, "after {} lines", lines + 1);
        let expected = if lines % 2 == 0 { End::Cut } else { End::InHandler { panic: None } };
        assert_eq!(done.lives[0].end, expected);
    }
    let torn = replayed(&text[..ends[20] - 10]);
    assert_eq!(torn.lives[0].end, End::Torn { line: 21 });
    // A second life behind a torn line of the first.
    let both = format!("{}\n{text}", &text[..ends[20] - 10]);
    let both = replayed(&both);
    assert_eq!(both.difference, None);
    assert_eq!((both.lives.len(), &both.lives[1]), (2, &whole.lives[0]));
    assert!(who_recorded("nonsense").is_err());
    assert!(who_recorded("").is_err());
}
