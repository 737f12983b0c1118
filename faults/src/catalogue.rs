//! The catalogue of faults: what each class is, how much of it the swarm draws, and where that
//! comes from.

use crate::fault::Class;
use seedfall_sim::{Links, Nodes, SystemModel, Timing};

/// What the documentation says of a class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// What happens.
    pub what: &'static str,
    /// The field of [`crate::Swarm`] that bounds it, and what `Swarm::ALL` draws.
    pub knob: &'static str,
    /// Where the idea and the range come from.
    pub source: &'static str,
}

impl Class {
    /// What the documentation says of it.
    #[expect(clippy::too_many_lines, reason = "a table, one row a class")]
    pub const fn about(self) -> About {
        let (what, knob, source) = match self {
            Self::Loss => (
                "each message is lost with a fixed probability",
                "loss: 3 to 30 % of messages, all along",
                "TigerBeetle's simulator",
            ),
            Self::Duplicate => (
                "a message arrives twice, the copy up to a second later: also after a crash",
                "duplicate: 2 to 20 % of messages, all along",
                "TigerBeetle, Jepsen",
            ),
            Self::Reorder => (
                "a message straggles, and later ones overtake it",
                "reorder: 2 to 20 % of messages, by 10 ms to 1 s",
                "TigerBeetle, Maelstrom",
            ),
            Self::Clog => (
                "all links into a node, or out of it, jam and burst later",
                "clogs: up to 4, a tenth to a half of the run each",
                "FoundationDB, Antithesis",
            ),
            Self::Partition => (
                "two-way, one-way, partial, a ring of majorities, clients cut off, leaders",
                "partitions: up to 4, a tenth to a half of the run each",
                "Jepsen; Alquraan et al., OSDI 2018; NEAT",
            ),
            Self::Crash => (
                "a node crashes at once, at a named effect, or with records un-synced",
                "crashes: up to 5",
                "etcd's failpoints, TigerBeetle",
            ),
            Self::Pause => (
                "a node freezes; messages and timers wait",
                "pauses: up to 3, a tenth to a half of the run each",
                "TigerBeetle, Jepsen",
            ),
            Self::Burst => (
                "a loss begins a burst on its link",
                "bursts: 1 to 10 % of messages begin one, 10 ms to 1 s long",
                "Gilbert 1960; Jepsen's correlated loss",
            ),
            Self::Latency => (
                "each directed link has an extra delay of its own, for the whole run",
                "latency: up to 3 to 30 ms",
                "FoundationDB",
            ),
            Self::Throttle => (
                "links carry little, and their queues overflow",
                "throttles: up to 2, 10 to 100 ms a message, 2 to 20 wait",
                "TigerBeetle, Jepsen",
            ),
            Self::Corrupt => (
                "bits flip: a changed message arrives, or a checksum makes it a lost one",
                "corrupt: 1 to 10 % of messages, all along",
                "moonpool, Vortex",
            ),
            Self::Flap => {
                ("a partition comes and goes", "flaps: one, every 10 to 800 ms", "Jepsen")
            }
            Self::Stop => (
                "a node stops for good",
                "stops: up to 2, at most as many as the cluster can spare",
                "the crash-stop model; etcd's member replacement",
            ),
            Self::PowerLoss => (
                "some nodes, or all, crash at one instant and restart together",
                "power_losses: one",
                "FoundationDB",
            ),
            Self::Storm => (
                "a node crashes and restarts again and again",
                "storms: one, every 10 to 400 ms",
                "FoundationDB",
            ),
            Self::Slow => (
                "a node is slow: each event keeps it busy, and the rest waits (gray failure)",
                "slows: up to 2, 5 to 50 ms an event",
                "Antithesis, Huang et al., HotOS 2017",
            ),
            Self::Stall => (
                "a disk is slow: each sync takes time, in which the node does nothing else",
                "stalls: up to 2, 2 to 200 ms a sync",
                "FoundationDB, TigerBeetle",
            ),
            Self::Wipe => (
                "a node loses its disk and comes back under its old identity (amnesia)",
                "wipes: one, at most as many as the cluster can spare",
                "TigerBeetle, FoundationDB",
            ),
            Self::Clock => (
                "a wall clock steps forward or back, strobes, or stands still",
                "clocks: up to 2, by 4 ms to 15 minutes",
                "Jepsen's clock nemesis",
            ),
            Self::Drift => (
                "both clocks of a node run fast or slow",
                "drifts: up to 2, by 200 ppm to 5 %",
                "moonpool; 5 % is what a hostile machine reaches",
            ),
            Self::Timers => (
                "timers ring early, late, or many at once",
                "timers: up to 2, by 1 to 100 ms",
                "timer coalescing of operating systems",
            ),
            Self::Lie => (
                "it withholds, changes, replays, delays, forges messages, for each receiver apart",
                "liars: up to 2, at most as many as the cluster can spare; 2 to 20 % of each lie",
                "ByzzFuzz (OOPSLA 2023), Twins",
            ),
            Self::DiskError => (
                "a sync fails once and pages count as clean; no space; a write fails",
                "disk_errors: up to 2",
                "fsyncgate (Rebello et al., ATC 2020); FoundationDB",
            ),
            Self::DiskDamage => (
                "bit rot, a phantom or misdirected write, a misdirected read, a cut or old file",
                "disk_damages: one, at most as many as the cluster can spare",
                "Bairavasundaram et al., FAST 2008; TigerBeetle; Jepsen's file nemesis",
            ),
            Self::DiskLie => (
                "syncs that lie; the whole disk as it was before",
                "disk_lies: one, at most as many as the cluster can spare",
                "lazyfs; Jepsen's file nemesis",
            ),
            Self::Swizzle => (
                "nodes are clogged one after another, and unclogged in another order",
                "swizzles: up to 2 of half of all nodes, a tenth to a half of the run each",
                "FoundationDB's swizzle-clogging",
            ),
            Self::Twins => (
                "a node runs twice under one identity; the second does not hear everything",
                "twins: one, at most as many as the cluster can spare; rounds of 20 to 500 ms",
                "Twins (Bano et al., OPODIS 2021)",
            ),
        };
        About { what, knob, source }
    }

    /// The weakest assumption that permits it, in the words of the model.
    pub fn needs(self) -> String {
        let weakest = SystemModel {
            links: Links::Arbitrary,
            nodes: Nodes::Byzantine,
            timing: Timing::Asynchronous,
        };
        let links = [(Links::Reliable, "any links"), (Links::FairLoss, "fair-loss links")];
        let links = links
            .into_iter()
            .find(|(links, _)| self.permitted_by(SystemModel { links: *links, ..weakest }));
        let nodes =
            [(Nodes::CrashStop, "any nodes"), (Nodes::CrashRecovery, "crash-recovery nodes")];
        let nodes = nodes
            .into_iter()
            .find(|(nodes, _)| self.permitted_by(SystemModel { nodes: *nodes, ..weakest }));
        let synchronous = SystemModel { timing: Timing::Synchronous, ..weakest };
        let parts = [
            links.map_or("arbitrary links", |(_, word)| word),
            nodes.map_or("byzantine nodes", |(_, word)| word),
            if self.permitted_by(synchronous) { "any timing" } else { "no bound on time" },
        ];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.starts_with("any ")).collect();
        if parts.is_empty() { "any model".to_owned() } else { parts.join(", ") }
    }
}
