//! What permits each class of faults, in words.

use crate::classes::Class;
use seedfall_sim::{Links, Nodes, SystemModel, Timing};

impl Class {
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
