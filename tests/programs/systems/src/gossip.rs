//! chitchat: four nodes that gossip over UDP what each says of itself (scuttlebutt reconciliation),
//! as Quickwit's search nodes do. What a node deletes is forgotten by all after a time of grace.

use crate::common::or_stop;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use chitchat::transport::UdpTransport;
use chitchat::{
    Chitchat, ChitchatConfig, ChitchatId, FailureDetectorConfig, ProtocolVersion, spawn_chitchat,
};
use seedfall::checkers::History;
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::{Expect, Judgement, Property, Swarm, always, every_operation_completes};
use seedfall_real::driver::{Files, Journal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

const NAMES: [&str; 4] = ["chat1", "chat2", "chat3", "chat4"];

/// The key that is never deleted, and those that are, now and then.
const KEPT: &str = "kept";
const DELETED: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The port of the gossip.
const PORT: u16 = 10_000;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a client asks.
#[derive(Clone, Debug)]
pub enum In {
    /// Its own node, to say a number under a key, larger than all before.
    Say(&'static str, u64),
    /// Its own node, to say nothing under a key any more.
    Delete(&'static str),
    /// Some node, what it has heard of another one.
    Hear {
        /// The node that is asked.
        at: usize,
        /// The node of which it is asked.
        of: usize,
    },
    /// All nodes, until all have heard what this client's node says, and nothing else.
    Settle,
}

/// What it hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Out {
    /// It was said, or deleted.
    Said,
    /// What was heard.
    Heard {
        /// Which life of the node that was asked it is.
        life: u64,
        /// The lives of the other one that it knows, and what each says.
        of: BTreeMap<u64, Says>,
    },
    /// All have heard it.
    Settled,
}

/// Numbers under keys.
type Says = BTreeMap<String, u64>;

const LONG: Cluster = Cluster { grace: Duration::from_secs(60), size: 0, counts_lives: true };

/// What a node answers.
#[derive(Debug, Serialize, Deserialize)]
struct Heard {
    life: u64,
    of: BTreeMap<u64, Says>,
}

/// How a cluster is set up.
#[derive(Clone, Copy)]
struct Cluster {
    /// How long a key that was deleted is remembered as such.
    grace: Duration,
    /// How many bytes come with each number.
    size: usize,
    /// Whether a node that is started again says so, by its generation.
    counts_lives: bool,
}

type Shared = State<(u64, usize, Arc<Mutex<Chitchat>>)>;

/// A node's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve(place: usize, cluster: Cluster) -> Result<(), Box<dyn std::error::Error>> {
    let life = life();
    let mine = (NAMES[place], PORT).to_socket_addrs()?.next().ok_or("no address")?;
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new(
            NAMES[place],
            if cluster.counts_lives { life } else { 1 },
            mine,
        ),
        cluster_id: "seedfall".to_owned(),
        gossip_interval: Duration::from_millis(50),
        listen_addr: SocketAddr::new(IpAddr::from([0, 0, 0, 0]), PORT),
        seed_nodes: NAMES.iter().map(|name| format!("{name}:{PORT}")).collect(),
        failure_detector_config: FailureDetectorConfig {
            initial_interval: Duration::from_millis(100),
            dead_node_grace_period: Duration::from_secs(60),
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: cluster.grace,
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: ProtocolVersion::V1,
    };
    let chat = spawn_chitchat(config, Vec::new(), &UdpTransport).await?;
    let app = Router::new()
        .route("/say/{key}/{number}", post(say))
        .route("/delete/{key}", post(delete))
        .route("/hear/{name}", get(hear))
        .with_state((life, cluster.size, chat.chitchat()));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
    Ok(axum::serve(listener, app).await?)
}

/// Which life of the node this is: one more than is in its file.
fn life() -> u64 {
    let (mut journal, opened) = or_stop(Journal::open::<u64>(or_stop(Files::new("lives"))));
    let life = opened.records.last().map_or(1, |last| last + 1);
    or_stop(journal.append(&life));
    or_stop(journal.sync());
    life
}

/// A number that is late, since its client has given up on it and said the next one, is let be.
async fn say(State((_, size, chat)): Shared, Path((key, number)): Path<(String, u64)>) {
    let mut chat = chat.lock().await;
    let said = chat.self_node_state();
    if said.get(&key).is_none_or(|old| number_of(old) < number) {
        said.set(key, format!("{number} {:size$}", ""));
    }
}

async fn delete(State((_, _, chat)): Shared, Path(key): Path<String>) {
    chat.lock().await.self_node_state().delete(&key);
}

async fn hear(State((life, _, chat)): Shared, Path(name): Path<String>) -> Json<Heard> {
    let chat = chat.lock().await;
    let states = chat.node_states().iter().filter(|(id, _)| *id.node_id == *name);
    let said = states.map(|(id, state)| {
        let says = state.key_values().map(|(key, value)| (key.to_owned(), number_of(value)));
        (id.generation_id, says.collect())
    });
    Json(Heard { life, of: said.collect() })
}

fn number_of(value: &str) -> u64 {
    value.split_once(' ').and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

/// A client, whose own node is the one of its number.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>) {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    let own = session.client();
    while let Some(input) = session.next().await {
        let answer = match input {
            In::Say(key, number) => tell(&http, own, &format!("say/{key}/{number}")).await,
            In::Delete(key) => tell(&http, own, &format!("delete/{key}")).await,
            In::Hear { at, of } => {
                let heard = heard(&http, at, of).await;
                heard.map(|heard| Out::Heard { life: heard.life, of: heard.of })
            }
            In::Settle => settle(&http, own).await,
        };
        session.answer(answer.map_or(Answer::Indeterminate, Answer::Ok));
    }
}

async fn tell(http: &reqwest::Client, own: usize, path: &str) -> reqwest::Result<Out> {
    let url = format!("http://{}/{path}", NAMES[own]);
    http.post(url).send().await?.error_for_status().map(|_| Out::Said)
}

async fn heard(http: &reqwest::Client, at: usize, of: usize) -> reqwest::Result<Heard> {
    let url = format!("http://{}/hear/{}", NAMES[at], NAMES[of]);
    http.get(url).send().await?.error_for_status()?.json().await
}

/// Waits until all nodes have heard what the present life of the client's node says, no less and
/// no more.
async fn settle(http: &reqwest::Client, own: usize) -> reqwest::Result<Out> {
    let mut heard_own = heard(http, own, own).await?;
    let says = heard_own.of.remove(&heard_own.life).unwrap_or_default();
    for at in 0..NAMES.len() {
        while heard(http, at, own).await?.of.get(&heard_own.life) != Some(&says) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(Out::Settled)
}

/// What one life of a node has heard of one life of another one, under the key that is never
/// deleted, never goes back.
fn never_goes_back() -> Property<Process, In, Out> {
    always("what was heard never goes back", goes_back)
}

fn goes_back(history: &History<In, Out>) -> Judgement {
    let mut most: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        let (In::Hear { at, of }, Some(Out::Heard { life, of: said })) =
            (&operation.input, operation.outcome.output())
        else {
            continue;
        };
        for (other, says) in said {
            let number = says.get(KEPT).copied().unwrap_or(0);
            let known = most.entry((*at, *life, *of, *other)).or_insert((0, 0));
            // Only what returned before this was called has to be known to it.
            if known.1 < operation.call && number < known.0 {
                let reason =
                    format!("{} knew {} of {}, and then {number}", NAMES[*at], known.0, NAMES[*of]);
                return Judgement::Violated { reason, operation: Some(place), core: vec![] };
            }
            if number > known.0 {
                *known = (number, operation.outcome.returned().unwrap_or(u64::MAX));
            }
        }
    }
    Judgement::Holds
}

fn scenario(name: &'static str, cluster: Cluster) -> Programs<In, Out> {
    let node = |place: usize| {
        let main = move || serve(place, cluster).expect("the node runs until it is stopped");
        Program::new(NAMES[place], main)
    };
    Programs {
        story: "Four nodes of chitchat gossip over UDP what each says of itself.",
        nodes: (0..NAMES.len()).map(node).collect(),
        clients: NAMES.len(),
        // It writes once, as it starts: a disk that stalls later stalls nothing.
        faults: Swarm { stalls: 0, ..Swarm::ALL },
        properties: vec![never_goes_back(), every_operation_completes()],
        ..Programs::new(
            name,
            |op, draw| match draw.below(4) {
                _ if op.is_final() => In::Settle,
                0 => In::Say(KEPT, u64::from(op.number) + 1),
                1 => In::Say(DELETED[draw.below(6) as usize], u64::from(op.number) + 1),
                2 => In::Delete(DELETED[draw.below(6) as usize]),
                _ => In::Hear { at: draw.below(4) as usize, of: draw.below(4) as usize },
            },
            client,
        )
    }
}

/// Four nodes, each with a client that says numbers of it. What was deleted is remembered for
/// longer than faults last.
pub fn right() -> Programs<In, Out> {
    scenario("chitchat", LONG)
}

/// What was deleted is forgotten while nodes may be parted, and not all fits into a datagram.
pub fn forgets_early() -> Programs<In, Out> {
    let cluster = Cluster { grace: Duration::from_millis(100), size: 30_000, ..LONG };
    let because = "a node that was parted from the others deletes a key, and forgets that it did; \
                   one of them goes on showing it (chitchat's issue 110, which is open)";
    Programs {
        operations: 20,
        expect: Expect::Violates { properties: &["every operation completes"], because },
        ..scenario("chitchat-forgets-early", cluster)
    }
}

/// A node that is started again has the generation that it had.
pub fn same_generation() -> Programs<In, Out> {
    let because = "a node that begins anew counts its versions from one, under a generation of \
                   which the others have heard later versions";
    Programs {
        expect: Expect::Violates { properties: &["every operation completes"], because },
        ..scenario("chitchat-same-generation", Cluster { counts_lives: false, ..LONG })
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, History, In, Judgement, KEPT, Out, goes_back};
    use std::collections::BTreeMap;

    fn hear(history: &mut History<In, Out>, call: u64, life: u64, number: u64) {
        let Heard { life, of } =
            Heard { life, of: BTreeMap::from([(1, BTreeMap::from([(KEPT.to_owned(), number)]))]) };
        let operation = history.invoke(0, call, In::Hear { at: 1, of: 2 });
        history.complete(operation, call + 5, Out::Heard { life, of });
    }

    #[test]
    fn a_node_that_knows_less_than_it_did_is_found_unless_it_began_anew() {
        let mut history = History::new();
        hear(&mut history, 0, 1, 3);
        hear(&mut history, 10, 1, 4);
        hear(&mut history, 20, 2, 3);
        assert_eq!(goes_back(&history), Judgement::Holds);
        hear(&mut history, 30, 1, 3);
        assert!(matches!(goes_back(&history), Judgement::Violated { operation: Some(3), .. }));
    }
}
