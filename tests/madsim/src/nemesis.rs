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
//! the points of crashes and aims at leaders, and [`Nemesis`] refuses them.

use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use seedfall::net::{Disturbance, Partition};
use seedfall::sim::{Address, Duration};
use seedfall::{Aim, Entry, Fault, FaultPlan};
use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

/// The latency of a link that nothing disturbs: 1 to 10 ms, as elsewhere.
const LATENCY: (StdDuration, StdDuration) =
    (StdDuration::from_millis(1), StdDuration::from_millis(10));

/// What of a plan madsim can do.
pub fn within_reach(plan: FaultPlan) -> FaultPlan {
    let plain = |entry: Entry| {
        let fault = match entry.fault {
            Fault::Crash { node, .. } => Fault::Crash { node, point: None, down: Duration::ZERO },
            fault @ (Fault::Pause { .. }
            | Fault::Stop { .. }
            | Fault::PowerLoss { .. }
            | Fault::Storm { .. }
            | Fault::Wire(
                Disturbance::Loss { .. }
                | Disturbance::Latency { .. }
                | Disturbance::Clog { .. }
                | Disturbance::Partition(_)
                | Disturbance::Flap { .. },
            )) => fault,
            _ => return None,
        };
        Some(Entry { fault, aim: Aim::Named, retargets: false, ..entry })
    };
    FaultPlan { entries: plan.entries.into_iter().filter_map(plain).collect() }
}

/// One thing to be done at one time.
#[derive(Clone, Copy, Debug)]
struct Act {
    at: Duration,
    entry: usize,
    begins: bool,
}

/// Applies a plan.
pub struct Nemesis {
    plan: FaultPlan,
    acts: Vec<Act>,
    /// The nodes of the cluster, then those of the clients.
    machines: Vec<NodeId>,
    nodes: usize,
    /// For each node, how many entries hold it down, and how many frozen.
    down: Vec<u32>,
    frozen: Vec<u32>,
    cut: BTreeMap<(usize, usize), u32>,
    loss: u32,
    latency: Duration,
    /// Crashes of a node that was up.
    pub crashes: u64,
}

impl Nemesis {
    /// A nemesis over so many nodes; `machines` has those of the clients behind them.
    pub fn new(plan: FaultPlan, nodes: usize, machines: Vec<NodeId>) -> Self {
        let mut acts = Vec::new();
        for (entry, fault) in plan.entries.iter().enumerate() {
            let (mut at, end, mut begins) = (fault.at, fault.at + fault.lasts, true);
            let half = match &fault.fault {
                Fault::Storm { half, .. } | Fault::Wire(Disturbance::Flap { half, .. }) => *half,
                _ => fault.lasts,
            };
            while at < end {
                acts.push(Act { at, entry, begins });
                begins = !begins;
                at = at + half.max(Duration::millis(1));
            }
            if !begins {
                acts.push(Act { at: end, entry, begins });
            }
        }
        acts.sort_by_key(|act| (act.at, act.entry));
        acts.reverse();
        let (down, frozen) = (vec![0; nodes], vec![0; nodes]);
        let cut = BTreeMap::new();
        let (loss, latency) = (0, Duration::ZERO);
        Self { plan, acts, machines, nodes, down, frozen, cut, loss, latency, crashes: 0 }
    }

    /// When the next thing is to be done, since the start of the run; `None`: the plan is over.
    pub fn next(&self) -> Option<Duration> {
        self.acts.last().map(|act| act.at)
    }

    /// Does it.
    pub fn act(&mut self) {
        let Some(Act { entry, begins, .. }) = self.acts.pop() else { return };
        let fault = self.plan.entries[entry].fault.clone();
        match fault {
            Fault::Crash { node, .. } | Fault::Storm { node, .. } => {
                self.hold_down(node.index(), begins);
            }
            Fault::Stop { node } if begins => self.hold_down(node.index(), true),
            Fault::Stop { .. } => {}
            Fault::PowerLoss { nodes } => {
                nodes.iter().for_each(|node| self.hold_down(node.index(), begins));
            }
            Fault::Pause { node } => self.freeze(node.index(), begins),
            Fault::Wire(Disturbance::Loss { ppm }) => {
                self.loss = if begins { self.loss + ppm } else { self.loss - ppm };
                self.configure();
            }
            Fault::Wire(Disturbance::Latency { most, .. }) => {
                self.latency = if begins { self.latency + most } else { self.latency - most };
                self.configure();
            }
            Fault::Wire(Disturbance::Clog { from, to }) => {
                let (from, to) = (self.place(from), self.place(to));
                self.cut(from, to, begins);
            }
            Fault::Wire(
                Disturbance::Partition(partition) | Disturbance::Flap { partition, .. },
            ) => self.partition(&partition, begins),
            other => panic!("madsim cannot do this: {other}"),
        }
    }

    fn hold_down(&mut self, node: usize, begins: bool) {
        let handle = Handle::current();
        if begins {
            if self.down[node] == 0 {
                handle.kill(self.machines[node]);
                self.crashes += 1;
            }
            self.down[node] += 1;
        } else {
            self.down[node] -= 1;
            if self.down[node] == 0 {
                handle.restart(self.machines[node]);
                if self.frozen[node] > 0 {
                    handle.pause(self.machines[node]);
                }
            }
        }
    }

    fn freeze(&mut self, node: usize, begins: bool) {
        let handle = Handle::current();
        self.frozen[node] = if begins { self.frozen[node] + 1 } else { self.frozen[node] - 1 };
        if self.frozen[node] > 0 {
            handle.pause(self.machines[node]);
        } else {
            handle.resume(self.machines[node]);
        }
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

    fn place(&self, address: Address) -> usize {
        address.index(self.nodes)
    }

    fn address(&self, place: usize) -> Address {
        let number = |place: usize| u16::try_from(place).expect("few machines");
        match place.checked_sub(self.nodes) {
            None => seedfall::sim::NodeId::new(number(place)).into(),
            Some(client) => seedfall::sim::ClientId::new(number(client)).into(),
        }
    }
}

/// The settings of a network that nothing disturbs.
pub fn undisturbed() -> madsim::Config {
    let mut config = madsim::Config::default();
    config.net.send_latency = LATENCY.0..LATENCY.1;
    config
}
