//! What the dull outcome of a draw is, where it is a span.

use super::{Draw, Site};

/// Where in its range a nominal span lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Nominal {
    /// In the middle, everywhere.
    #[default]
    Equal,
    /// What a node draws, past the middle by some sixteenths of the range, as many as its place
    /// among the nodes says; anything else in the middle. Nodes whose time-outs are equal do
    /// everything at once, and may never agree who leads: that is a failure of its own.
    PerNode,
}

impl Nominal {
    /// The words of a nominal draw of a site.
    pub const fn words(self, site: Site) -> [u32; 4] {
        match (self, site) {
            (Self::PerNode, Site::Node(node)) => {
                [Draw::NOMINAL.words[0] + ((node.index() % 8) as u32 * (1 << 28)); 4]
            }
            _ => Draw::NOMINAL.words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Nominal;
    use crate::{Draws, Duration, NodeId, Seed, Site};
    use std::collections::BTreeSet;

    #[test]
    fn nodes_whose_draws_are_nominal_can_have_time_outs_of_their_own() {
        let range = Duration::millis(150)..Duration::millis(300);
        let spans = |nominal| {
            let mut draws = Draws::new(Seed(7), 5, 1);
            draws.set_nominal(nominal);
            draws.nominal_except(BTreeSet::new());
            let sites = NodeId::all(5)
                .map(Site::Node)
                .chain([Site::Link(NodeId::new(0).into(), NodeId::new(1).into())]);
            let mut draw = |site| draws.draw(site);
            sites.map(|site| draw(site).duration(range.clone())).collect::<Vec<_>>()
        };
        let middle = Duration::millis(225);
        assert_eq!(spans(Nominal::Equal), [middle; 6]);
        let [nodes @ .., link] = &spans(Nominal::PerNode)[..] else { panic!("some") };
        assert_eq!(*link, middle);
        let far = |pair: &[Duration]| pair[1] - pair[0] > Duration::millis(9);
        assert!(nodes.windows(2).all(far) && nodes[4] < range.end, "{nodes:?}");
    }
}
