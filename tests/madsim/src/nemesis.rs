//! A fault plan as madsim's actions.
//!
//! | fault | in madsim |
//! |---|---|
//! | crash, power loss, storm | `kill` and `restart`, between two polls |
//! | stop | `kill` |
//! | pause | `pause` and `resume` |
//! | clog, partition, flap | `clog_link` for each directed link that is cut |
//! | loss | `packet_loss_rate`, for the whole network |
//! | latency | `send_latency`, for the whole network: up to so much longer |
//!
//! A TCP connection over a cut link stalls and goes on later, as after losses; a new one is
//! refused. The other classes have no counterpart: [`within_reach`] leaves them out of a plan, with
//! the points of crashes and aims at leaders.

use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use seedfall::faults::classes;
use seedfall::faults::target::{Done, Target, Unsupported};
use seedfall::net::{Disturbance, Partition};
use seedfall::sim::{Address, Duration, NodeId as Node, Time};
use seedfall::{Aim, Entry, Fault, FaultPlan, Swarm};
use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

/// The latency of a link that nothing disturbs: 1 to 10 ms, as elsewhere.
const LATENCY: (StdDuration, StdDuration) =
    (StdDuration::from_millis(1), StdDuration::from_millis(10));

/// The nine classes of faults that madsim can do to a network and its machines, as much of each as
/// elsewhere: what a [`Subject`](crate::subject::Subject) draws from.
pub const FAULTS: Swarm = Swarm {
    loss: Swarm::ALL.loss,
    latency: Swarm::ALL.latency,
    clogs: Swarm::ALL.clogs,
    partitions: Swarm::ALL.partitions,
    flaps: Swarm::ALL.flaps,
    crashes: Swarm::ALL.crashes,
    power_losses: Swarm::ALL.power_losses,
    storms: Swarm::ALL.storms,
    pauses: Swarm::ALL.pauses,
    ..Swarm::NONE
};

/// What of a plan madsim can do.
pub fn within_reach(plan: FaultPlan) -> FaultPlan {
    let plain = |entry: Entry| {
        let fault = match entry.fault {
            Fault::Crash(crash) => classes::Crash::of(crash.node).into(),
            fault @ (Fault::Pause(_)
            | Fault::Stop(_)
            | Fault::PowerLoss(_)
            | Fault::Storm(_)
            | Fault::Loss(_)
            | Fault::Latency(_)
            | Fault::Clog(_)
            | Fault::Partition(_)
            | Fault::Flap(_)) => fault,
            _ => return None,
        };
        Some(Entry { fault, aim: Aim::Named, retargets: false, ..entry })
    };
    FaultPlan { entries: plan.entries.into_iter().filter_map(plain).collect() }
}

/// The machines of a run, as faults act on them.
pub struct Machines {
    /// What time it is in the run.
    pub now: Time,
    /// The nodes of the cluster, then those of the clients.
    machines: Vec<NodeId>,
    nodes: usize,
    /// For each node, how many faults hold it down, and how many frozen.
    down: Vec<u32>,
    frozen: Vec<u32>,
    cut: BTreeMap<(usize, usize), u32>,
    loss: u32,
    latency: Duration,
    /// Crashes of a node that was up.
    pub crashes: u64,
}

impl Target for Machines {
    fn now(&self) -> Time {
        self.now
    }

    fn node_count(&self) -> usize {
        self.nodes
    }

    fn is_up(&self, node: Node) -> bool {
        self.down[node.index()] == 0
    }

    fn crash(&mut self, node: Node) -> Done {
        let node = node.index();
        self.down[node] += 1;
        let was_up = self.down[node] == 1;
        if was_up {
            Handle::current().kill(self.machines[node]);
            self.crashes += 1;
        }
        Ok(was_up)
    }

    fn restart(&mut self, node: Node) -> Done {
        let (node, handle) = (node.index(), Handle::current());
        self.down[node] -= 1;
        let is_up = self.down[node] == 0;
        if is_up {
            handle.restart(self.machines[node]);
            if self.frozen[node] > 0 {
                handle.pause(self.machines[node]);
            }
        }
        Ok(is_up)
    }

    fn pause(&mut self, node: Node) -> Done {
        self.frozen[node.index()] = 1;
        Handle::current().pause(self.machines[node.index()]);
        Ok(true)
    }

    fn resume(&mut self, node: Node) -> Done {
        self.frozen[node.index()] = 0;
        Handle::current().resume(self.machines[node.index()]);
        Ok(true)
    }

    fn disturb(&mut self, disturbance: &Disturbance, _: Time) -> Done {
        self.wire(disturbance, true)
    }

    fn end_disturbance(&mut self, disturbance: &Disturbance, _: Time) -> Done {
        self.wire(disturbance, false)
    }
}

impl Machines {
    /// The machines of a cluster of so many nodes; `machines` has those of the clients behind them.
    pub fn new(nodes: usize, machines: Vec<NodeId>) -> Self {
        let (down, frozen) = (vec![0; nodes], vec![0; nodes]);
        let (cut, loss, latency) = (BTreeMap::new(), 0, Duration::ZERO);
        Self { now: Time::ZERO, machines, nodes, down, frozen, cut, loss, latency, crashes: 0 }
    }

    fn wire(&mut self, disturbance: &Disturbance, begins: bool) -> Done {
        match disturbance {
            Disturbance::Loss { ppm } => {
                self.loss = if begins { self.loss + ppm } else { self.loss - ppm };
                self.configure();
            }
            Disturbance::Latency { most, .. } => {
                self.latency = if begins { self.latency + *most } else { self.latency - *most };
                self.configure();
            }
            Disturbance::Clog { from, to } => {
                self.cut(from.index(self.nodes), to.index(self.nodes), begins);
            }
            Disturbance::Partition(partition) | Disturbance::Flap { partition, .. } => {
                self.partition(partition, begins);
            }
            _ => return Err(Unsupported),
        }
        Ok(true)
    }

    fn configure(&self) {
        let loss = f64::from(self.loss.min(1_000_000)) / 1e6;
        let more = StdDuration::from_nanos(self.latency.as_nanos());
        NetSim::current().update_config(|config| {
            config.packet_loss_rate = loss;
            config.send_latency = LATENCY.0..LATENCY.1 + more;
        });
    }

    fn partition(&mut self, partition: &Partition, begins: bool) {
        let addresses: Vec<Address> =
            (0..self.machines.len()).map(|place| self.address(place)).collect();
        for (from, sender) in addresses.iter().enumerate() {
            for (to, receiver) in addresses.iter().enumerate() {
                if from != to && partition.cuts(*sender, *receiver, self.nodes) {
                    self.cut(from, to, begins);
                }
            }
        }
    }

    fn cut(&mut self, from: usize, to: usize, begins: bool) {
        let (net, (src, dst)) = (NetSim::current(), (self.machines[from], self.machines[to]));
        let count = self.cut.entry((from, to)).or_default();
        if begins {
            *count += 1;
            net.clog_link(src, dst);
        } else {
            *count -= 1;
            if *count == 0 {
                net.unclog_link(src, dst);
            }
        }
    }

    fn address(&self, place: usize) -> Address {
        Address::at_index(place, self.nodes)
    }
}

/// The settings of a network that nothing disturbs.
pub fn undisturbed() -> madsim::Config {
    let mut config = madsim::Config::default();
    config.net.send_latency = LATENCY.0..LATENCY.1;
    config
}
