//! What raft-rs does with a question for a read index that the network delivers twice: a stale
//! read, found by reading, and shown here step by step.
//!
//! A leader keeps the reads that wait for a majority in a queue, each under the context that its
//! asker chose, and an acknowledgement of one confirms all that stand before it. That is sound if
//! an acknowledgement answers a heartbeat that was sent after the read came in. A question of a
//! follower that arrives again, after it was answered, joins the queue again under its old context;
//! an acknowledgement that is still on its way from the first time then confirms it, and whatever
//! came in between. (etcd had the same: etcd-io/etcd#20418.)
//!
//! It needs links that double messages, or an asker that asks again under the same context; and a
//! server that forwards reads. So `raft-rs-follower-read` can meet it, and 30,000 seeds did not. If
//! a later raft-rs mends it, the last assertion here says so.

use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType, Snapshot};
use raft::{Config, RawNode, StateRole};
use seedfall_raft_rs::log::{Log, entry_record};

/// A server without clients: what it sends is handed out, what it must store is stored at once.
struct Bare(RawNode<Log>);

impl Bare {
    fn new(id: u64) -> Self {
        let config = Config { id, election_tick: 10, heartbeat_tick: 1, ..Config::default() };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        Self(RawNode::new(&config, Log::recover(3, &[]), &logger).expect("a valid configuration"))
    }

    /// What it sends, and the contexts of the reads that it confirms, with their indices.
    fn react(&mut self) -> (Vec<Message>, Vec<(Vec<u8>, u64)>) {
        let (mut sent, mut confirmed) = (Vec::new(), Vec::new());
        while self.0.has_ready() {
            let mut ready = self.0.ready();
            assert_eq!(ready.snapshot(), &Snapshot::default(), "nobody takes snapshots here");
            sent.extend(ready.take_messages());
            for entry in ready.entries() {
                self.0.mut_store().apply(&entry_record(entry));
            }
            sent.extend(ready.take_persisted_messages());
            let states = ready.take_read_states().into_iter();
            confirmed.extend(states.map(|state| (state.request_ctx, state.index)));
            let mut light = self.0.advance(ready);
            sent.extend(light.take_messages());
            self.0.advance_apply();
        }
        (sent, confirmed)
    }
}

/// Three servers, and the messages between them that are under way.
struct Cluster {
    servers: Vec<Bare>,
    under_way: Vec<Message>,
}

impl Cluster {
    fn new() -> Self {
        Self { servers: (1..=3).map(Bare::new).collect(), under_way: Vec::new() }
    }

    fn server(&mut self, id: u64) -> &mut Bare {
        &mut self.servers[id as usize - 1]
    }

    /// Lets a server do what it has to; says which reads it confirms.
    fn react(&mut self, id: u64) -> Vec<(Vec<u8>, u64)> {
        let (sent, confirmed) = self.server(id).react();
        self.under_way.extend(sent);
        confirmed
    }

    fn deliver(&mut self, message: Message) -> Vec<(Vec<u8>, u64)> {
        let to = message.to;
        // A server may have no use for it.
        let _ = self.server(to).0.step(message);
        self.react(to)
    }

    /// Delivers everything between these servers, and what follows from it.
    fn deliver_among(&mut self, among: &[u64]) -> Vec<(Vec<u8>, u64)> {
        let mut confirmed = Vec::new();
        loop {
            let passes = |one: &Message| among.contains(&one.from) && among.contains(&one.to);
            let Some(place) = self.under_way.iter().position(passes) else { return confirmed };
            let message = self.under_way.remove(place);
            confirmed.extend(self.deliver(message));
        }
    }

    /// Takes the one message of this type from one server to another off the wire.
    fn take(&mut self, kind: MessageType, from: u64, to: u64) -> Message {
        let is = |one: &Message| (one.get_msg_type(), one.from, one.to) == (kind, from, to);
        let place = self.under_way.iter().position(is).expect("it is under way");
        self.under_way.remove(place)
    }
}

#[test]
fn a_question_that_arrives_twice_confirms_reads_that_nobody_confirmed() {
    use MessageType::{MsgHeartbeat, MsgHeartbeatResponse, MsgReadIndex};
    let mut cluster = Cluster::new();
    cluster.server(1).0.campaign().expect("nobody leads");
    cluster.react(1);
    cluster.deliver_among(&[1, 2, 3]);
    assert_eq!(cluster.server(1).0.raft.state, StateRole::Leader);

    // Server 2 asks under the context A; the network doubles the question and keeps the copy.
    cluster.server(2).0.read_index(b"A".to_vec());
    cluster.react(2);
    let question = cluster.take(MsgReadIndex, 2, 1);
    let copy =
        Message::parse_from_bytes(&question.write_to_bytes().expect("valid")).expect("valid");
    cluster.deliver(question);
    // Both others acknowledge; that of 2 is enough, that of 3 stays under way.
    let heartbeat = cluster.take(MsgHeartbeat, 1, 3);
    cluster.deliver(heartbeat);
    let late = cluster.take(MsgHeartbeatResponse, 3, 1);
    let confirmed = cluster.deliver_among(&[1, 2]);
    assert_eq!(confirmed, [(b"A".to_vec(), 1)], "the question is answered");

    // Server 1 is cut off; 2 is elected, and commits a write.
    cluster.server(2).0.campaign().expect("it follows");
    cluster.react(2);
    cluster.deliver_among(&[2, 3]);
    cluster.server(2).0.propose(Vec::new(), b"write".to_vec()).expect("it leads");
    cluster.react(2);
    cluster.deliver_among(&[2, 3]);
    let committed = cluster.server(2).0.raft.raft_log.committed;
    assert_eq!(committed, 3, "two first entries of a term, and the write");

    // After that a client asks server 1, which does not know that it is deposed. Nobody that could
    // tell it is heard: only the copy, and the late acknowledgement.
    cluster.server(1).0.read_index(b"B".to_vec());
    assert_eq!(cluster.react(1), []);
    assert_eq!(cluster.deliver(copy), []);
    let confirmed = cluster.deliver(late);
    assert_eq!(confirmed, [(b"B".to_vec(), 1)], "read B is confirmed without the write at 3");
}
