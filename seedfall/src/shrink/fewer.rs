//! A run with fewer nodes: some leave, and those that stay take new names.
//!
//! Nodes are numbered, and a smaller cluster has the first numbers. So that any node can leave, and
//! not the last alone, those that stay are renamed wherever the trial names them. A draw that stays
//! random is another one under another name, and so is what is nominal for a node.

use crate::fault::Fault;
use crate::plan::{Entry, FaultPlan};
use crate::run::Trial;
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{Address, DrawAddress, NodeId, Site};

/// So many ways of renaming are tried, at most.
const MOST: usize = 240;

/// For each node its new name, or `None` if it leaves.
pub(super) struct Names(Vec<Option<NodeId>>);

impl Names {
    /// The ways in which `stay` of `nodes` nodes can stay, each under a name of its own.
    pub(super) fn all(nodes: usize, stay: usize) -> Vec<Self> {
        let mut all: Vec<Vec<usize>> = vec![Vec::new()];
        for _ in 0..stay {
            let longer = all.iter().flat_map(|chosen| {
                let free = (0..nodes).filter(|node| !chosen.contains(node));
                free.map(|node| [chosen.as_slice(), &[node]].concat())
            });
            all = longer.take(MOST).collect();
        }
        let names = |chosen: Vec<usize>| {
            let name = |node| chosen.iter().position(|one| *one == node);
            Self((0..nodes).map(|node| name(node).map(|name| NodeId::new(name as u16))).collect())
        };
        all.into_iter().map(names).collect()
    }

    /// The trial with `nodes` nodes, under these names.
    pub(super) fn trial(&self, trial: &Trial, nodes: usize) -> Trial {
        let mut trial = Trial { nodes: Some(nodes), ..trial.clone() };
        let entries = trial.plan.iter().flat_map(|plan| &plan.entries);
        let renamed = entries
            .filter_map(|entry| Some(Entry { fault: self.fault(&entry.fault)?, ..entry.clone() }));
        trial.plan = Some(FaultPlan { entries: renamed.collect() });
        for call in trial.calls.values_mut() {
            // Whoever asked a node that left asks the first one.
            call.asks = self.node(call.asks).unwrap_or(NodeId::new(0));
        }
        let draws = trial.overrides.iter();
        let draws = draws.filter_map(|(draw, value)| Some((self.draw(draw)?, *value)));
        trial.overrides = draws.collect();
        let random = trial.random.as_ref().map(|random| random.iter());
        trial.random = random.map(|random| random.filter_map(|draw| self.draw(draw)).collect());
        trial
    }

    fn node(&self, node: NodeId) -> Option<NodeId> {
        self.0.get(node.index()).copied().flatten()
    }

    /// Clients keep their names.
    fn address(&self, address: Address) -> Option<Address> {
        match address.node() {
            Some(node) => self.node(node).map(Address::from),
            None => Some(address),
        }
    }

    fn draw(&self, draw: &DrawAddress) -> Option<DrawAddress> {
        let site = match draw.site {
            Site::Link(from, to) => Site::Link(self.address(from)?, self.address(to)?),
            Site::Node(node) => Site::Node(self.node(node)?),
            Site::Disk(node) => Site::Disk(self.node(node)?),
            Site::Lie(node) => Site::Lie(self.node(node)?),
            Site::Thread(node) => Site::Thread(self.node(node)?),
            Site::Entropy(node) => Site::Entropy(self.node(node)?),
            // Its indices name senders.
            Site::Twin(_) => return None,
            site @ (Site::Tie | Site::Client(_) | Site::Plan) => site,
        };
        Some(DrawAddress { site, ..*draw })
    }

    /// The fault under these names; `None`: there is nobody left whom it strikes.
    fn fault(&self, fault: &Fault) -> Option<Fault> {
        let mut fault = fault.clone();
        match &mut fault {
            Fault::Wire(disturbance) => self.disturbance(disturbance)?,
            Fault::PowerLoss { nodes } => *nodes = self.nodes(nodes)?,
            other => {
                if let Some(node) = other.node_mut() {
                    *node = self.node(*node)?;
                }
            }
        }
        Some(fault)
    }

    fn disturbance(&self, disturbance: &mut Disturbance) -> Option<()> {
        match disturbance {
            Disturbance::Clog { from, to } => {
                (*from, *to) = (self.address(*from)?, self.address(*to)?);
            }
            Disturbance::Swizzle { node } => *node = self.node(*node)?,
            Disturbance::Partition(partition) | Disturbance::Flap { partition, .. } => {
                match partition {
                    Partition::TwoWay { side } | Partition::OneWay { from: side } => {
                        *side = side.iter().filter_map(|one| self.address(*one)).collect();
                        (!side.is_empty()).then_some(())?;
                    }
                    Partition::Partial { a, b } => (*a, *b) = (self.node(*a)?, self.node(*b)?),
                    Partition::Bridge { bridge, side } => {
                        (*bridge, *side) = (self.node(*bridge)?, self.nodes(side)?);
                    }
                    Partition::Ring => {}
                }
            }
            Disturbance::Loss { .. }
            | Disturbance::Duplicate { .. }
            | Disturbance::Reorder { .. }
            | Disturbance::Burst { .. }
            | Disturbance::Latency { .. }
            | Disturbance::Throttle { .. }
            | Disturbance::Corrupt { .. } => {}
        }
        Some(())
    }

    /// Those of the nodes that stay; `None`: none does.
    fn nodes(&self, nodes: &[NodeId]) -> Option<Vec<NodeId>> {
        let stay: Vec<NodeId> = nodes.iter().filter_map(|node| self.node(*node)).collect();
        (!stay.is_empty()).then_some(stay)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::fault::Fault;
    use crate::plan::{Aim, Entry, FaultPlan};
    use crate::run::Trial;
    use seedfall_net::{Disturbance, Partition};
    use seedfall_sim::{Duration, NodeId, Seed};

    fn plan(faults: Vec<Fault>) -> FaultPlan {
        let at = Duration::ZERO;
        let entry = |fault| Entry { at, lasts: at, fault, aim: Aim::Named, retargets: false };
        FaultPlan { entries: faults.into_iter().map(entry).collect() }
    }

    #[test]
    fn any_node_can_leave_and_what_strikes_it_alone_goes_with_it() {
        assert_eq!(Names::all(5, 3).len(), 60, "of five the first, of four the second, of three");
        assert_eq!(Names::all(3, 3).len(), 6);
        let node = NodeId::new;
        let side = |nodes: &[u16]| nodes.iter().map(|one| node(*one).into()).collect();
        let cut = |nodes: &[u16]| {
            Fault::Wire(Disturbance::Partition(Partition::TwoWay { side: side(nodes) }))
        };
        let crash = |one| Fault::Crash { node: node(one), point: None, down: Duration::ZERO };
        let before = plan(vec![crash(1), crash(4), cut(&[1, 4]), cut(&[1])]);
        let trial = Trial { plan: Some(before), ..Trial::of(Seed(1)) };
        // n5 becomes n1, n1 becomes n2, n3 stays; n2 and n4 leave.
        let named = [Some(node(1)), None, Some(node(2)), None, Some(node(0))];
        let after = Names(named.to_vec()).trial(&trial, 3);
        assert_eq!(after.plan, Some(plan(vec![crash(0), cut(&[0])])));
        assert_eq!(after.nodes, Some(3));
    }
}
