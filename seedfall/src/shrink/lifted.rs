//! Overrides that are lifted: what a search decided otherwise, the seed may decide as well.

use super::can_be_calm;
use super::search::Search;
use crate::run::Trial;
use std::collections::BTreeMap;

impl Search<'_> {
    /// Lifts overrides of draws that are never nominal: ties, and what clients decide. (The others
    /// go as their draws are made nominal.)
    pub(super) fn overrides(&mut self) -> bool {
        let all = self.best().overrides.clone();
        let (calm, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(one, _)| can_be_calm(one));
        let few = |best: &Trial, kept: Vec<_>| {
            let mut overrides = calm.clone();
            overrides.extend(kept);
            Trial { overrides, ..best.clone() }
        };
        self.minimize(rest.into_iter().collect(), few)
    }
}
