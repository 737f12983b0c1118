//! What a nemesis can do to nodes and clocks. (To the wire: [`World::network_mut`].)

use super::World;
use super::due::Due;
use crate::byzantine::{Liar, Lies};
use crate::client::Clients;
use crate::clock::{Clock, ClockFault, Clocks};
use crate::draw::Site;
use crate::id::{Address, NodeId};
use crate::journal::CrashImage;
use crate::network::{Network, Released};
use crate::node::{CrashPoint, Gate};
use crate::protocol::Protocol;
use crate::time::Duration;
use crate::timers::Pending;
use crate::trace::Kind;

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// Crashes a node, now. False if it is down already.
    pub fn crash(&mut self, node: NodeId) -> bool {
        let at = node.index();
        if self.nodes[at].state.take().is_none() {
            return false;
        }
        let draw = self.draws.draw(Site::Disk(node));
        let image = self.nodes[at].journal.crash(draw);
        for pending in self.nodes[at].timers.drain() {
            if let Pending::Queued(handle) = pending {
                self.queue.cancel(handle);
            }
        }
        let slot = &mut self.nodes[at];
        if let Some(wake) = slot.wake.take() {
            self.queue.cancel(wake);
        }
        slot.backlog.clear();
        slot.held.clear();
        slot.forget_twin(&mut self.queue);
        slot.gate = Gate::Open;
        slot.armed = None;
        slot.refresh();
        let CrashImage { kept, lost, torn } = image;
        self.counters.crashes += 1;
        self.counters.records_kept += u64::from(kept);
        self.counters.records_lost += u64::from(lost);
        self.counters.records_torn += u64::from(torn);
        self.note(Kind::Crash, node.into(), &image, &|| match (kept, lost) {
            (0, 0) => "nothing un-synced".to_owned(),
            _ => format!(
                "un-synced records: {kept} kept, {lost} lost{}",
                if torn { ", torn" } else { "" }
            ),
        });
        true
    }

    /// Makes a node crash inside its next handler that comes to this point. False if it is down.
    pub fn arm_crash(&mut self, node: NodeId, point: CrashPoint) -> bool {
        let slot = &mut self.nodes[node.index()];
        slot.armed = slot.state.is_some().then_some(point);
        slot.refresh();
        slot.armed.is_some()
    }

    /// Takes back [`World::arm_crash`]. False if the node was not armed: the crash happened, or
    /// never was planned.
    pub fn disarm_crash(&mut self, node: NodeId) -> bool {
        let slot = &mut self.nodes[node.index()];
        let was_armed = slot.armed.take().is_some();
        slot.refresh();
        was_armed
    }

    /// Starts a node that is down, from its journal. False if it is up already, or if its disk is
    /// damaged, and it refuses.
    pub fn restart(&mut self, node: NodeId) -> bool {
        if self.nodes[node.index()].state.is_some() || !self.read_back(node) {
            return false;
        }
        self.counters.restarts += 1;
        self.boot(node);
        true
    }

    /// Stops a node without a crash: what reaches it waits. What it is busy with goes on by itself,
    /// and it sees the end of it once it is resumed. False if it is down or paused.
    pub fn pause(&mut self, node: NodeId) -> bool {
        let slot = &mut self.nodes[node.index()];
        if slot.state.is_none() || slot.gate == Gate::Paused {
            return false;
        }
        slot.gate = Gate::Paused;
        self.note(Kind::Pause, node.into(), &(), &String::new);
        true
    }

    /// Lets a paused node go on: it handles what waited now, a nanosecond apart, in the order of
    /// its arrival and before whatever comes meanwhile.
    pub fn resume(&mut self, node: NodeId) -> bool {
        let slot = &mut self.nodes[node.index()];
        if slot.gate != Gate::Paused {
            return false;
        }
        let waits = !slot.held.is_empty() || !slot.backlog.is_empty();
        let is_busy = slot.wake.is_some();
        slot.gate = if is_busy { Gate::Busy } else { slot.at_rest() };
        self.note(Kind::Resume, node.into(), &(), &String::new);
        if waits && !is_busy {
            self.be_busy(node, Duration::ZERO);
        }
        true
    }

    /// Takes away everything that a node ever wrote, and crashes it: its disk is lost, its identity
    /// kept. False if nothing was written.
    pub fn wipe(&mut self, node: NodeId) -> bool {
        let wrote = !self.nodes[node.index()].journal.records().is_empty();
        self.crash(node);
        self.nodes[node.index()].journal.wipe();
        self.note(Kind::Fault, node.into(), &"wiped", &|| "its disk is lost".to_owned());
        wrote
    }

    /// Makes every event that a node handles keep it busy for `each`; zero: it is as quick as ever.
    /// What comes meanwhile waits its turn: a gray failure.
    pub fn slow_down(&mut self, node: NodeId, each: Duration) {
        let slot = &mut self.nodes[node.index()];
        slot.slow = each;
        slot.refresh();
        self.note(Kind::Fault, node.into(), &each, &|| format!("each event takes {each}"));
    }

    /// Makes every sync of a node take `each`, in which nothing else happens there; zero: none
    /// takes time.
    pub fn stall_disk(&mut self, node: NodeId, each: Duration) {
        let slot = &mut self.nodes[node.index()];
        slot.stall = each;
        slot.refresh();
        self.note(Kind::Fault, node.into(), &each, &|| format!("each sync takes {each}"));
    }

    /// Makes a node lie; `None`: from here on it is correct.
    pub fn set_lies(&mut self, node: NodeId, lies: Option<Lies>) {
        let slot = &mut self.nodes[node.index()];
        slot.liar = lies.map(|lies| Box::new(Liar::new(lies)));
        slot.refresh();
        self.note(Kind::Fault, node.into(), &lies, &|| match lies {
            Some(_) => "becomes Byzantine".to_owned(),
            None => "is correct again".to_owned(),
        });
    }

    /// Makes a node follow one of the malicious strategies of its protocol, by number, counted
    /// round and round; `None`: from here on it is correct. False if the protocol has none.
    pub fn set_strategy(&mut self, node: NodeId, which: Option<u32>) -> bool {
        let strategies = P::strategies();
        if strategies.is_empty() {
            return false;
        }
        let chosen = which.map(|which| strategies[which as usize % strategies.len()]);
        let slot = &mut self.nodes[node.index()];
        slot.strategy = chosen;
        slot.refresh();
        let name = chosen.map(|strategy| strategy.name);
        self.note(Kind::Fault, node.into(), &("strategy", name), &|| match name {
            Some(name) => format!("becomes Byzantine: {name}"),
            None => "is correct again".to_owned(),
        });
        true
    }

    /// Sets a node's clock as of the beginning of the run. Timers that are pending keep the moment
    /// that the old clock gave them.
    pub fn set_clock(&mut self, node: NodeId, clock: Clock) {
        self.nodes[node.index()].clocks = Clocks::new(clock);
        self.note(Kind::Fault, node.into(), &clock, &|| format!("clock of {node}: {clock}"));
    }

    /// Makes something go wrong with a node's clocks. Timers that are pending stay as they are.
    pub fn begin_clock_fault(&mut self, node: NodeId, fault: ClockFault) {
        self.nodes[node.index()].clocks.begin(self.now, fault);
        self.note(Kind::Fault, node.into(), &fault, &|| format!("begins: {fault:?}"));
    }

    /// Takes back [`World::begin_clock_fault`]. False if it was not in force.
    pub fn end_clock_fault(&mut self, node: NodeId, fault: ClockFault) -> bool {
        let ended = self.nodes[node.index()].clocks.end(self.now, fault);
        self.note(Kind::Fault, node.into(), &(fault, ended), &|| format!("ends: {fault:?}"));
        ended
    }

    /// Lets messages that are under way arrive earlier, as what held them up has ended: what the
    /// network says of it once that was taken back.
    pub fn release(&mut self, messages: &[Released]) {
        for Released { from, to, index, was, arrives } in messages {
            let is_it = |due: &Due<P, C::Timer>| match due {
                Due::Arrival(packet) => {
                    let name = (packet.from, packet.to, u64::from(packet.index));
                    name == (*from, *to, *index)
                }
                _ => false,
            };
            if let Some(handle) = self.queue.find(*was, is_it) {
                self.queue.reschedule(handle, *arrives);
            }
        }
    }

    /// Notes in the trace that something was done to the world from outside.
    pub fn note_fault(&mut self, actor: Address, what: &str) {
        self.note(Kind::Fault, actor, &what, &|| what.to_owned());
    }
}
