//! chitchat, pull request 155: "Fix dead node escaping deletion".
//!
//! Nodes tell each other who there is, by UDP. Who is not heard of is dead, and is forgotten a
//! grace period later; in the first half of it, others are still told of it. Where nodes notice a
//! death at different times, one that has just forgotten is told anew, by one that has not: it
//! takes the dead for a new one, which it tells others of in turn. With three of them or more this
//! goes round for ever. A node that is restarted is one, too: it is another incarnation than
//! before.
//!
//! Model: four nodes, which crash and come back with the same name and a higher generation, as the
//! documentation of `ChitchatId` wants it. Each tells by TCP whom it knows.
//!
//! Property: five grace periods after the last fault, nobody knows an incarnation that is no more.
//! In 0.9.0 somebody does; 0.10.0 remembers whom it forgot, and with which heartbeat.

use crate::expect;
use chitchat::transport::UdpTransport;
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat};
use seedfall::checkers::History;
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Swarm, always};
use serde::{Deserialize, Serialize};
use std::net::ToSocketAddrs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const NAMES: [&str; 4] = ["node1", "node2", "node3", "node4"];
const GOSSIP: u16 = 10_000;
const ASKED: u16 = 80;

/// How often a node gossips.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the dead are kept.
const GRACE: Duration = Duration::from_millis(800);

/// To look, when the dead should be forgotten.
#[derive(Clone, Debug)]
pub struct Look;

/// What a node tells: which incarnation it is, and which it knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    is: String,
    knows: Vec<String>,
}

fn named(id: &ChitchatId) -> String {
    format!("{}/{}", id.node_id, id.generation_id)
}

#[tokio::main(flavor = "current_thread")]
async fn serve(name: &'static str) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
    let own = (name, GOSSIP).to_socket_addrs()?.next().expect("it has an address");
    let id = ChitchatId::new(name.to_owned(), now, own);
    let config = ChitchatConfig {
        chitchat_id: id.clone(),
        cluster_id: "cluster".to_owned(),
        gossip_interval: INTERVAL,
        listen_addr: ([0; 4], GOSSIP).into(),
        seed_nodes: NAMES.iter().map(|name| format!("{name}:{GOSSIP}")).collect(),
        failure_detector_config: FailureDetectorConfig {
            initial_interval: INTERVAL,
            dead_node_grace_period: GRACE,
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: GRACE,
        catchup_callback: None,
        extra_liveness_predicate: None,
    };
    let handle = spawn_chitchat(config, Vec::new(), &UdpTransport).await?;
    let listener = TcpListener::bind(("0.0.0.0", ASKED)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let seen = serde_json::to_string(&seen(&id, &handle).await)?;
        // Whoever asks may be gone.
        let _ = stream.write_all(seen.as_bytes()).await;
    }
}

async fn seen(id: &ChitchatId, handle: &ChitchatHandle) -> Seen {
    let chitchat = handle.chitchat();
    let chitchat = chitchat.lock().await;
    Seen { is: named(id), knows: chitchat.node_states().keys().map(named).collect() }
}

/// A client, which asks all of them.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<Look, Vec<Seen>>) {
    while session.next().await.is_some() {
        sleep(5 * GRACE).await;
        let mut all = Vec::new();
        for name in NAMES {
            if let Ok(Ok(seen)) = timeout(Duration::from_millis(500), ask(name)).await {
                all.push(seen);
            }
        }
        let complete = all.len() == NAMES.len();
        session.answer(if complete { Answer::Ok(all) } else { Answer::Failed });
    }
}

async fn ask(name: &str) -> anyhow::Result<Seen> {
    let mut told = String::new();
    TcpStream::connect((name, ASKED)).await?.read_to_string(&mut told).await?;
    Ok(serde_json::from_str(&told)?)
}

/// The property, by its name.
const FORGOTTEN: &str = "the dead are forgotten";

fn forgotten(history: &History<Look, Vec<Seen>>) -> Result<(), String> {
    for output in history.operations.iter().filter_map(|one| one.outcome.output()) {
        let alive: Vec<&String> = output.iter().map(|seen| &seen.is).collect();
        for Seen { is, knows } in output {
            if let Some(dead) = knows.iter().find(|known| !alive.contains(known)) {
                return Err(format!("{is} knows {dead}, which is no more"));
            }
        }
    }
    Ok(())
}

/// Four nodes that are restarted.
pub fn scenario() -> Programs<Look, Vec<Seen>> {
    let because = "who has forgotten the dead is told of it anew, by who has not yet \
                   (chitchat, pull request 155)";
    let node = |name: &'static str| Program::new(name, move || serve(name).expect("it can serve"));
    Programs {
        story: "Four nodes gossip with chitchat about who there is, and are restarted.",
        nodes: NAMES.into_iter().map(node).collect(),
        clients: 1,
        operations: 0,
        final_operations: 1,
        // A generation is what the wall clock shows; and nothing is kept on disks.
        faults: Swarm { clocks: 0, disk_errors: 0, stalls: 0, ..Swarm::ALL },
        properties: vec![always(FORGOTTEN, forgotten)],
        expect: expect(&[FORGOTTEN], because),
        ..Programs::new("gossip", |_, _| Look, client)
    }
}
