//! W5: the same Raft on every engine. Here is what the engines share: the parameters and the load.

use crate::driver::Packet;
use seedfall_protocols::kv::{Command, Text};
use seedfall_protocols::raft::{Config, Request, Response};
use seedfall_sim::{ClientId, Duration, NodeId, RequestId};

/// Nodes of the cluster.
pub const NODES: usize = 5;
/// Sessions of the load, each with one operation under way at most.
pub const SESSIONS: usize = 10;
/// How often a session asks: together 100 operations a second.
pub const SESSION_PERIOD: Duration = Duration::millis(100);
/// How long one cluster lives. Longer ones would measure how a restart replays an ever longer
/// journal.
pub const LIFE: Duration = Duration::secs(30);
/// Every so often one node crashes, in turn ...
pub const CRASH_PERIOD: Duration = Duration::secs(5);
/// ... and comes back after this long.
pub const DOWN: Duration = Duration::secs(1);

/// The timeouts of the paper's section 9.3.
pub const CONFIG: Config = Config::PAPER;

/// What is written under.
const KEYS: [&str; 8] = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"];

/// What a session is doing.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    sequence: u64,
    asked: u32,
    is_waiting: bool,
    /// The last request was answered, if only by "not me".
    is_answered: bool,
}

/// A hundred writes a second to whom the last answer named as the leader.
#[derive(Clone, Debug)]
pub struct Load {
    target: NodeId,
    sessions: [Session; SESSIONS],
}

impl Default for Load {
    fn default() -> Self {
        Self { target: NodeId::new(0), sessions: [Session::default(); SESSIONS] }
    }
}

impl Load {
    /// What a session asks when its timer rings: the next operation, or the last one again if it
    /// was not answered.
    pub fn ask(&mut self, client: ClientId) -> (NodeId, RequestId, Request) {
        let session = &mut self.sessions[client.index()];
        let silence = session.is_waiting && !session.is_answered;
        if silence {
            self.target = NodeId::new((self.target.index() as u16 + 1) % NODES as u16);
        }
        if !session.is_waiting {
            session.sequence += 1;
            session.is_waiting = true;
        }
        session.is_answered = false;
        session.asked += 1;
        let key = Text::new_static(KEYS[session.sequence as usize % KEYS.len()]);
        let command = Command::Put { key, value: Text::new_static("a value of twenty bytes") };
        let request = RequestId { client, number: session.asked };
        (self.target, request, Request::Command { sequence: session.sequence, command })
    }

    /// As [`Load::ask`], as a packet for a peer's network.
    pub fn ask_packet(&mut self, client: ClientId) -> (NodeId, Packet) {
        let (to, RequestId { client, number }, request) = self.ask(client);
        (to, Packet::Request(client.index() as u16, number, request))
    }

    /// An answer came. True if it completes an operation.
    pub fn on_response(&mut self, request: RequestId, response: &Response) -> bool {
        let session = &mut self.sessions[request.client.index()];
        if request.number != session.asked || session.is_answered {
            return false;
        }
        session.is_answered = true;
        match response {
            Response::Done(_) => session.is_waiting = false,
            Response::NotLeader { leader: Some(leader) } => self.target = *leader,
            Response::NotLeader { leader: None } => {}
            other => unreachable!("nobody asks for what {other:?} answers"),
        }
        !session.is_waiting
    }

    /// As [`Load::on_response`], with a packet from a peer's network.
    pub fn on_packet(&mut self, packet: Packet) -> bool {
        let Packet::Response(client, number, response) = packet else {
            unreachable!("nodes send clients nothing else");
        };
        let request = RequestId { client: ClientId::new(client), number };
        self.on_response(request, &response)
    }
}
