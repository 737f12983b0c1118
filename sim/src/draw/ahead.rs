//! Draws that are asked for by address, and stand side by side: those of one operation of a client,
//! those of a fault plan. They are made ready together, as those of a link are.

use super::{BATCH, Draws, Site};

/// Where draws of a site were asked for last.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    site: Site,
    /// The index of the first draw of `batch`.
    first: u64,
    batch: [[u32; 4]; BATCH],
}

impl Draws {
    /// The words of a draw whose neighbours are likely to be asked for next.
    pub(super) fn ahead(&mut self, site: Site, index: u64) -> [u32; 4] {
        let nth = index % BATCH as u64;
        let first = index - nth;
        let known = self.ahead.iter().position(|ahead| ahead.site == site);
        let place = known.unwrap_or(self.ahead.len());
        if self.ahead.get(place).is_none_or(|ahead| ahead.first != first) {
            let ahead = Ahead { site, first, batch: self.batch(site, first) };
            match known {
                Some(place) => self.ahead[place] = ahead,
                None => self.ahead.push(ahead),
            }
        }
        self.ahead[place].batch[nth as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{Draws, Site};
    use crate::draw::{Seed, words};
    use crate::id::ClientId;

    #[test]
    fn what_is_made_ready_is_what_is_drawn_alone() {
        let mut draws = Draws::new(Seed(7), 2, 2);
        let client = |index| Site::Client(ClientId::new(index));
        for index in [0, 1, 65, 2, 1 << 38, 3, 16, 15] {
            for site in [client(0), Site::Plan, client(1)] {
                let alone = words(&mut draws.source(site, index));
                assert_eq!(draws.at(site, index).words, alone, "{site:?} {index}");
            }
        }
        draws.reseed(Seed(8));
        let alone = words(&mut draws.source(Site::Plan, 15));
        assert_eq!(draws.at(Site::Plan, 15).words, alone, "of the new seed");
    }
}
