//! What is claimed of each rule.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::kv::Text;
use seedfall_protocols::multi_primary::{
    self, Agreement, Config, Invariants, Message, Replica, Request, Response, Rule,
};
use seedfall_protocols::quorum_kv::{VersionVector, Versions};
use seedfall_sim::{Duration, Monitor, NodeId, RequestId, Violation};

const ALL: [NodeId; 3] = [N1, N2, N3];

/// W1 to W3; of W1 and W2 only where they are claimed.
struct Watch(Option<Invariants>, Agreement);

impl Monitor<Replica> for Watch {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        self.1.observe(node, state)?;
        self.0.as_mut().map_or(Ok(()), |watcher| watcher.observe(node, state))
    }
}

type Watched = Bench<Replica, Watch>;

fn three(rule: Rule) -> Watched {
    let config = Config { rule, interval: Duration::millis(50) };
    let invariants = (rule == Rule::Siblings).then(multi_primary::invariants);
    Bench::watched(3, config, Watch(invariants, multi_primary::agreement()))
}

/// A client writes at a replica over what it was shown.
fn put(bench: &mut Watched, at: NodeId, id: RequestId, value: &str, shown: &VersionVector) {
    let (key, value, shown) = ("x".into(), value.into(), shown.clone());
    bench.ask(at, id, Request::Put { key, value, shown });
}

/// What the last answer to a request shows: the context, and the values.
fn shown(bench: &Watched, id: RequestId) -> (VersionVector, Vec<Text>) {
    let Response(versions) = bench.answer(id).expect("it is answered");
    (versions.context(), versions.iter().filter_map(|version| version.value.clone()).collect())
}

fn values(bench: &Watched, at: NodeId) -> Vec<Text> {
    let versions = bench.at(at).store().get("x");
    versions.into_iter().flat_map(Versions::iter).filter_map(|one| one.value.clone()).collect()
}

/// Two clients that were shown nothing write at two replicas, the second one later.
fn two_writes(rule: Rule) -> Watched {
    let mut bench = three(rule);
    let nothing = VersionVector::default();
    put(&mut bench, N1, request(1, 0), "a", &nothing);
    bench.wait(Duration::millis(1));
    put(&mut bench, N2, request(2, 0), "b", &nothing);
    bench
}

/// DDIA, "Multi-Leader Replication": a write is answered by the replica alone.
#[test]
fn a_write_is_answered_before_any_other_replica_hears_of_it() {
    let bench = two_writes(Rule::Siblings);
    assert_eq!(shown(&bench, request(1, 0)).1, ["a"]);
    assert_eq!(shown(&bench, request(2, 0)).1, ["b"]);
    assert!(values(&bench, N3).is_empty());
}

/// "Merging concurrently written values": both stay, until one who was shown both writes.
#[test]
fn siblings_stay_until_a_client_that_was_shown_them_writes() {
    let mut bench = two_writes(Rule::Siblings);
    bench.settle(&ALL);
    assert!(ALL.into_iter().all(|id| values(&bench, id) == ["a", "b"]));
    bench.ask(N3, request(3, 0), Request::Get { key: "x".into() });
    let (both, _) = shown(&bench, request(3, 0));
    put(&mut bench, N3, request(3, 1), "ab", &both);
    bench.settle(&ALL);
    assert!(ALL.into_iter().all(|id| values(&bench, id) == ["ab"]));
}

/// A client that was shown one of two writes replaces that one.
#[test]
fn a_write_replaces_what_its_client_was_shown_and_nothing_else() {
    let mut bench = two_writes(Rule::Siblings);
    bench.settle(&ALL);
    let (own, _) = shown(&bench, request(1, 0));
    put(&mut bench, N1, request(1, 1), "a2", &own);
    assert_eq!(values(&bench, N1), ["a2", "b"]);
}

/// "Last write wins": an acknowledged write is gone, and its client does not know.
#[test]
fn the_last_writer_wins_and_the_other_write_is_lost() {
    let mut bench = two_writes(Rule::LastWriterWins);
    bench.settle(&ALL);
    assert!(ALL.into_iter().all(|id| values(&bench, id) == ["b"]));
}

/// Bayou, the prefix property: who has the `n`-th write of a replica has all before it; what is
/// missing is sent.
#[test]
fn a_write_waits_for_those_before_it() {
    let mut bench = three(Rule::Siblings);
    put(&mut bench, N1, request(1, 0), "a", &VersionVector::default());
    bench.lose_all();
    put(&mut bench, N1, request(1, 1), "b", &VersionVector::default());
    bench.settle(&ALL);
    assert!(bench.at(N2).has() == [0, 0, 0]);
    bench.wait(Duration::millis(50));
    bench.settle(&ALL);
    assert!(ALL.into_iter().all(|id| bench.at(id).has() == [2, 0, 0]));
    let doubled = Message::Writes(Vec::new());
    bench.deliver(N1, N2, doubled);
    assert_eq!(values(&bench, N2), ["a", "b"]);
}

/// What a client was told survives whatever the crash keeps.
#[test]
fn an_acknowledged_write_survives_a_crash() {
    let mut bench = three(Rule::Siblings);
    put(&mut bench, N1, request(1, 0), "a", &VersionVector::default());
    bench.lose_all();
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    bench.wait(Duration::millis(50));
    bench.settle(&ALL);
    assert!(ALL.into_iter().all(|id| values(&bench, id) == ["a"]));
}

/// Where a write is known, the same one again has no effect.
#[test]
fn a_retry_has_no_second_effect_where_the_write_is_known() {
    let mut bench = three(Rule::Siblings);
    let nothing = VersionVector::default();
    put(&mut bench, N1, request(1, 0), "a", &nothing);
    bench.settle(&ALL);
    put(&mut bench, N2, request(1, 0), "a", &nothing);
    bench.settle(&ALL);
    assert_eq!(bench.at(N1).has(), [1, 0, 0]);
}
