//! What a crash leaves of the files of a node.

use super::data::{Left, Promises};
use super::{Content, Inode, Tree};
use seedfall_sim::{Draw, Draws, NodeId, Site};

impl Tree {
    /// Whether a crash may take something.
    pub(crate) fn is_unsynced(&self) -> bool {
        let is_unsynced = |inode: &Inode| match &inode.content {
            Content::File(data) => data.is_unsynced(),
            _ => false,
        };
        !self.changes.is_empty() || self.inodes.iter().any(is_unsynced)
    }

    /// The machine crashes for the `crash`-th time: what is not durable is kept, lost or torn by
    /// draws of `node`, or lost if `all`. How much there was of it.
    pub(crate) fn crash(
        &mut self,
        draws: &mut Draws,
        node: NodeId,
        crash: u64,
        all: bool,
    ) -> usize {
        let mut index = crash << 32;
        let mut next = || {
            index += 1;
            draws.at(Site::Disk(node), index)
        };
        let mut calls: Vec<u64> = self.changes.iter().map(|change| change.call).collect();
        calls.dedup();
        let mut lost = calls.len();
        let kept = match calls.len() {
            0 => 0,
            count => {
                let kept = next().below(count as u32 + 1) as usize;
                if all { 0 } else { kept }
            }
        };
        self.take_names_back(calls.get(kept).copied());
        let promises = self.promises;
        for inode in &mut self.inodes {
            let Content::File(data) = &mut inode.content else { continue };
            lost += data.before.len();
            let mut page = None;
            let short = !all && next().chance(500_000);
            let left = |number: usize, sector: usize| {
                let (last, draw) = page.get_or_insert_with(|| (number, next()));
                if *last != number {
                    (*last, *draw) = (number, next());
                }
                if all { Left::Old } else { left(*draw, sector) }
            };
            lost += data.crash(promises, left, || short);
        }
        self.rest();
        self.count_links();
        lost
    }

    /// Everything that is not durable is lost, without a draw.
    pub(super) fn forget(&mut self) {
        self.take_names_back(self.changes.first().map(|change| change.call));
        for inode in &mut self.inodes {
            if let Content::File(data) = &mut inode.content {
                data.crash(Promises::default(), |_, _| Left::Old, || false);
            }
        }
        self.count_links();
    }

    /// Names are what they were before this call.
    fn take_names_back(&mut self, first_lost: Option<u64>) {
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            if first_lost.is_some_and(|first| change.call >= first)
                && let Ok(entries) = self.entries(change.folder)
            {
                match change.before {
                    Some(inode) => drop(entries.insert(change.name, inode)),
                    None => drop(entries.remove(&change.name)),
                }
            }
        }
    }

    /// Counts names anew, after a crash took some back.
    fn count_links(&mut self) {
        let mut links = vec![0; self.inodes.len()];
        for inode in &self.inodes {
            if let Content::Folder(entries) = &inode.content {
                entries.values().for_each(|named| links[*named] += 1);
            }
        }
        for (inode, links) in self.inodes.iter_mut().zip(links) {
            let folder = matches!(inode.content, Content::Folder(_));
            inode.links = links + u32::from(folder);
        }
    }
}

/// What a crash leaves of a sector: of three pages in eight all is old, of three all is new, and
/// each sector of the others is for itself, torn or garbage now and then. A nominal draw leaves
/// what was.
fn left(mut draw: Draw, sector: usize) -> Left {
    if draw.is_nominal() {
        return Left::Old;
    }
    match draw.below(8) {
        0..=2 => Left::Old,
        3..=5 => Left::New,
        _ => {
            let bits = draw.word().rotate_left(4 * (sector as u32 % 8));
            match bits % 8 {
                0..=2 => Left::Old,
                3..=5 => Left::New,
                6 => Left::Torn(1 + (bits >> 8) as usize % 511),
                _ => Left::Garbage((bits >> 16) as u8),
            }
        }
    }
}
