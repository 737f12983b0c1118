//! Protocols that need better links than the wire has, on layers that make them so, and without.
//!
//! Story: Bracha's reliable broadcast says everything once, and waits for it. Over links that lose,
//! it waits for ever (`bracha-fair-loss`); on perfect links made of them it holds, traitor and all
//! (`bracha-on-perfect-links`). Over links that flip bits, nodes come to be ready for texts that
//! nobody sent (`bracha-flipped-bits`, on perfect links); with authenticated links below those it
//! holds (`bracha-on-authenticated-links`). Best-effort broadcast delivers in any order
//! (`broadcast-on-links-without-order`), but for links that keep it (`broadcast-on-fifo-links`).
//! Guards: PL1, PL2, FRR and AL3 of the header. Catches: `tests/planted/lay-*`.

use crate::{broadcast, reliable_broadcast};
use seedfall::Swarm;
use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{Cluster, Expect, Scenario, Workload};
use seedfall_protocols::layers::{self, Authenticated, Layer, Order, Perfect, perfect};
use seedfall_protocols::{broadcast as plain, reliable_broadcast as bracha};
use seedfall_sim::{Duration, Links, NodeId, Nodes, SystemModel, Timing};

type OnPerfect = Perfect<bracha::Node>;
type OnAuthenticated = Authenticated<OnPerfect>;
type OnFifo = Perfect<plain::Broadcaster>;

/// Bracha's broadcast with a traitor, on perfect links out of fair-loss ones.
pub fn on_perfect() -> Scenario<OnPerfect, String, u64> {
    let four = reliable_broadcast::four();
    Scenario {
        name: "bracha-on-perfect-links",
        story: "Four nodes broadcast reliably, a traitor among them, over links that lose.",
        model: FAIR_LOSS,
        cluster: four.cluster,
        config: perfect::Config {
            order: Order::Free,
            retransmit_after: RETRANSMIT_AFTER,
            above: four.config,
        },
        workload: bracha_workload(),
        faults: LOSSES,
        horizon: four.horizon,
        properties: vec![
            invariants(BRACHA, || layers::above(bracha::invariants())),
            invariants(LINKS, layers::invariants),
            eventually(TOTALITY, |nodes: &[Option<&OnPerfect>]| {
                reliable_broadcast::all_deliver(&above(&truthful(nodes)))
            }),
            every_operation_completes(),
            sometimes("link: sends again"),
            sometimes("link: handed up already"),
        ],
        expect: Expect::Holds,
    }
}

/// The same without the layer: what is lost is said once, and nobody says it again.
pub fn fair_loss() -> Scenario<bracha::Node, String, u64> {
    Scenario {
        name: "bracha-fair-loss",
        story: "Four nodes broadcast over links that lose, by a protocol that says things once.",
        model: FAIR_LOSS,
        faults: LOSSES,
        properties: vec![
            invariants(BRACHA, bracha::invariants),
            eventually(TOTALITY, reliable_broadcast::all_deliver),
        ],
        expect: Expect::blocks(
            TOTALITY,
            "it has no timer and says everything once: what a link has lost never comes (Bracha \
             1987, section 2: the message system is reliable)",
            |nodes: &[Option<&bracha::Node>]| {
                reliable_broadcast::all_deliver(nodes).err().ok_or_else(|| "all deliver".to_owned())
            },
        ),
        ..reliable_broadcast::four()
    }
}

/// On perfect links made of authenticated ones, out of links that flip bits.
pub fn on_authenticated() -> Scenario<OnAuthenticated, String, u64> {
    let Scenario { cluster, config, horizon, .. } = on_perfect();
    Scenario {
        name: "bracha-on-authenticated-links",
        story: "Four nodes broadcast reliably, a traitor among them, over links that flip bits.",
        model: ARBITRARY,
        cluster,
        config,
        workload: bracha_workload(),
        faults: Swarm { corrupt: Swarm::ALL.corrupt, ..LOSSES },
        horizon,
        properties: vec![
            invariants(BRACHA, || layers::above(layers::above(bracha::invariants()))),
            invariants(LINKS, || layers::above(layers::invariants())),
            eventually(TOTALITY, |nodes: &[Option<&OnAuthenticated>]| {
                reliable_broadcast::all_deliver(&above(&truthful(&above(nodes))))
            }),
            every_operation_completes(),
            sometimes("link: sends again"),
            sometimes("link: the code is of another message"),
        ],
        expect: Expect::Holds,
    }
}

/// A negative control: perfect links are not authentic.
pub fn flipped_bits() -> Scenario<OnPerfect, String, u64> {
    Scenario {
        name: "bracha-flipped-bits",
        story: "Four nodes broadcast over links that flip bits, and believe what arrives.",
        model: ARBITRARY,
        cluster: Cluster { spare: 0, ..on_perfect().cluster },
        faults: Swarm { corrupt: Swarm::ALL.corrupt, ..Swarm::NONE },
        properties: vec![invariants(BRACHA, || layers::above(bracha::invariants()))],
        expect: Expect::Violates {
            properties: &[BRACHA],
            because: "a link that changes what is said makes a traitor of every sender (Cachin, \
                      Guerraoui and Rodrigues 2011, section 2.4.6)",
        },
        ..on_perfect()
    }
}

/// Best-effort broadcast on links that keep the order, which makes it first-in-first-out.
pub fn on_fifo() -> Scenario<OnFifo, String, ()> {
    let best_effort = broadcast::best_effort();
    Scenario {
        name: "broadcast-on-fifo-links",
        story: "Nodes broadcast with best effort, over links that keep the order.",
        model: best_effort.model,
        cluster: Cluster { spare: 0, ..best_effort.cluster },
        config: perfect::Config {
            order: Order::Fifo,
            retransmit_after: RETRANSMIT_AFTER,
            // It need not repeat anything itself.
            above: plain::Config { retransmit_after: Duration::secs(60), ..best_effort.config },
        },
        workload: Workload {
            operations: best_effort.workload.operations,
            final_operations: best_effort.workload.final_operations,
            think: best_effort.workload.think,
            patience: best_effort.workload.patience,
            attempts: best_effort.workload.attempts,
            ..Workload::short(broadcast::generate, broadcast::request, broadcast::reply)
        },
        faults: Swarm { stops: 0, ..best_effort.faults },
        horizon: best_effort.horizon,
        properties: vec![
            invariants(F1, || layers::above(plain::invariants(false, true))),
            invariants(LINKS, layers::invariants),
            eventually(broadcast::AGREEMENT, |nodes: &[Option<&OnFifo>]| {
                broadcast::all_agree(&above(nodes))
            }),
            every_operation_completes(),
            sometimes("link: waits for an earlier message"),
            sometimes("link: handed up already"),
        ],
        expect: Expect::Holds,
    }
}

/// A negative control: links that hand up what comes as it comes.
pub fn without_order() -> Scenario<OnFifo, String, ()> {
    let fifo = on_fifo();
    Scenario {
        name: "broadcast-on-links-without-order",
        story: "Nodes broadcast with best effort, over perfect links, which keep no order.",
        config: perfect::Config { order: Order::Free, ..fifo.config },
        properties: vec![invariants(F1, || layers::above(plain::invariants(false, true)))],
        expect: Expect::Violates {
            properties: &[F1],
            because: "perfect links promise no order (Cachin, Guerraoui and Rodrigues 2011, module \
                      2.3: PL1 to PL3)",
        },
        ..fifo
    }
}

const FAIR_LOSS: SystemModel =
    SystemModel { links: Links::FairLoss, nodes: Nodes::Byzantine, timing: Timing::Asynchronous };

const ARBITRARY: SystemModel = SystemModel { links: Links::Arbitrary, ..FAIR_LOSS };

const RETRANSMIT_AFTER: Duration = Duration::millis(30);

/// What the wire does, and a traitor one lie at a time.
const LOSSES: Swarm = Swarm {
    loss: Swarm::ALL.loss,
    duplicate: Swarm::ALL.duplicate,
    reorder: Swarm::ALL.reorder,
    partitions: Swarm::ALL.partitions,
    liars: 1,
    ..Swarm::NONE
};

const BRACHA: &str = "Ready, Consistency and Integrity";
const TOTALITY: &str = "Totality: what one delivers, all do";
const LINKS: &str = "PL2 and FRR";
const F1: &str = "B2, B3 and F1";

fn bracha_workload<P>() -> Workload<P, String, u64>
where
    P: seedfall_sim::Protocol<Request = bracha::Request, Response = bracha::Response>,
{
    Workload::short(
        reliable_broadcast::generate,
        reliable_broadcast::request,
        reliable_broadcast::reply,
    )
}

fn above<'a, L: Layer>(nodes: &[Option<&'a L>]) -> Vec<Option<&'a L::Above>> {
    nodes.iter().map(|node| node.map(Layer::above)).collect()
}

/// All but a traitor that acknowledged what it was not handed: it is sent that no more, and nothing
/// is promised to it. There is one traitor at most; if several seem to be, links are at fault.
fn truthful<'a>(nodes: &[Option<&'a OnPerfect>]) -> Vec<Option<&'a OnPerfect>> {
    let all = || NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    let deceives = |(id, node): &(NodeId, &OnPerfect)| {
        all().any(|(other, sender)| other != *id && sender.is_deceived_by(*id, node))
    };
    let mut traitors = all().filter(deceives).map(|(id, _)| id.index());
    let mut rest = nodes.to_vec();
    if let (Some(traitor), None) = (traitors.next(), traitors.next()) {
        rest[traitor] = None;
    }
    rest
}
