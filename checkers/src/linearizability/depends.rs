//! What the next response can depend on: a reduction for operations that commute.
//!
//! To explain a response, only operations have to be placed before the one that responds that do
//! not commute with it, or with one of those, and so on: in any order in which others come before
//! it as well, these can be moved behind it, one exchange of neighbours after the other. That
//! leaves every answer as it was, since neighbours that are exchanged commute, and every real-time
//! order, since all of them were called before the response, which is the earliest that is left.
//! (A stubborn set: Valmari, *Stubborn sets for reduced state space generation*, 1991.)

use super::machine::Machine;
use crate::meter::Meter;
use crate::verdict::Limit;

/// Leaves of `list[start..]`, all that can be placed before the response of `first`, what that may
/// depend on, in the same order.
pub(crate) fn depends<M: Machine>(
    machine: &M,
    meter: &mut Meter,
    state: u32,
    first: u32,
    list: &mut Vec<u32>,
    start: usize,
) -> Result<(), Limit> {
    if !list[start..].iter().any(|other| machine.commutes(first, *other)) {
        return Ok(());
    }
    let mut independent = list[start..].to_vec();
    let mut found = vec![first];
    let mut at = 0;
    while at < found.len() && !independent.is_empty() {
        let one = found[at];
        at += 1;
        meter.look(independent.len() / 8)?;
        independent.retain(|other| {
            let commutes = machine.commutes(one, *other);
            if !commutes {
                found.push(*other);
            }
            commutes
        });
    }
    if independent.is_empty() {
        return Ok(());
    }
    if cfg!(debug_assertions) {
        for other in &independent {
            found.iter().for_each(|one| machine.assert_commute(state, *one, *other));
        }
    }
    let mut kept = start;
    for at in start..list.len() {
        if !independent.contains(&list[at]) {
            list[kept] = list[at];
            kept += 1;
        }
    }
    list.truncate(kept);
    Ok(())
}
