//! Mutual exclusion with fencing tokens (Lampson and Redell 1980 for the lock; tokens as in
//! Burrows, *The Chubby lock service*, OSDI 2006, section 2.4, there called sequencers).
//!
//! A lock or lease hands each holder a token, greater than all before it; the resource refuses any
//! token smaller than the greatest it has seen. Then a holder that is paused past its lease does no
//! harm. Rules: *mutual-exclusion* (two clients certainly held it at once), *token-order* (a later
//! grant with no greater token), *stale-token* (the resource accepted a token smaller than one
//! before), *unknown-token* (a token used by somebody it was not given to).

use crate::report::Report;

/// One grant of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Who holds it.
    pub client: u32,
    /// The token that came with it.
    pub token: u64,
    /// When the client asked for it.
    pub asked: u64,
    /// When the client knew that it has it.
    pub granted: u64,
    /// Until when it certainly had it: the call of its release, or the end of its lease. Equal to
    /// `granted` if nothing is certain.
    pub until: u64,
}

/// One use of the resource that the lock protects, in the order in which the resource saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceWrite {
    /// Who used it.
    pub client: u32,
    /// The token presented.
    pub token: u64,
    /// Whether the resource let it through.
    pub is_accepted: bool,
}

/// Judges one lock and its resource, in O(n log n). `is_exclusive`: whether two certain holds at
/// once are a breach; for a lease on drifting clocks they are not, and only the tokens protect.
/// Breaches name holds, or resource writes for *stale-token* and *unknown-token*, by index.
#[must_use]
pub fn fencing(holds: &[Hold], writes: &[ResourceWrite], is_exclusive: bool) -> Report {
    let mut report = Report { examined: (holds.len() + writes.len()) as u64, ..Report::default() };
    let mut by_grant: Vec<u32> = (0..holds.len() as u32).collect();
    by_grant.sort_by_key(|index| (holds[*index as usize].granted, *index));
    if is_exclusive {
        judge_exclusion(holds, &by_grant, &mut report);
    }
    judge_tokens(holds, by_grant, &mut report);
    let mut given: Vec<(u64, u32)> = holds.iter().map(|hold| (hold.token, hold.client)).collect();
    given.sort_unstable();
    let mut greatest: Option<u64> = None;
    for (index, write) in (0u32..).zip(writes) {
        if given.binary_search(&(write.token, write.client)).is_err() {
            report.note("unknown-token", &[index], || {
                format!("client {} used token {}, never given to it", write.client, write.token)
            });
        }
        if !write.is_accepted {
            continue;
        }
        if let Some(greatest) = greatest.filter(|greatest| write.token < *greatest) {
            report.note("stale-token", &[index], || {
                format!("write {index} was accepted with token {} after {greatest}", write.token)
            });
        }
        greatest = greatest.max(Some(write.token));
    }
    report
}

/// Sorted by start, any overlap of certain holds shows between a hold and the longest one before.
fn judge_exclusion(holds: &[Hold], by_grant: &[u32], report: &mut Report) {
    let mut longest: Option<u32> = None;
    for index in by_grant.iter().copied() {
        let hold = &holds[index as usize];
        if let Some(other) = longest
            && hold.granted < holds[other as usize].until
            && hold.granted < hold.until
        {
            let client = holds[other as usize].client;
            report.note("mutual-exclusion", &[other, index], || {
                format!("clients {client} and {} both held it at {}", hold.client, hold.granted)
            });
        }
        if longest.is_none_or(|longest| holds[longest as usize].until < hold.until) {
            longest = Some(index);
        }
    }
}

/// A grant asked for after another was known must carry a greater token.
fn judge_tokens(holds: &[Hold], by_grant: Vec<u32>, report: &mut Report) {
    let mut by_ask = by_grant.clone();
    by_ask.sort_by_key(|index| (holds[*index as usize].asked, *index));
    let mut earlier = by_grant.into_iter().peekable();
    let mut greatest: Option<u32> = None;
    for index in by_ask {
        let hold = &holds[index as usize];
        while let Some(before) = earlier.next_if(|at| holds[*at as usize].granted < hold.asked) {
            let token = |at: u32| holds[at as usize].token;
            if greatest.is_none_or(|greatest| token(greatest) < token(before)) {
                greatest = Some(before);
            }
        }
        if let Some(before) = greatest.filter(|at| hold.token <= holds[*at as usize].token) {
            let token = holds[before as usize].token;
            report.note("token-order", &[before, index], || {
                format!("grant {index} got token {} after grant {before} got {token}", hold.token)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(client: u32, token: u64, granted: u64, until: u64) -> Hold {
        Hold { client, token, asked: granted.saturating_sub(1), granted, until }
    }

    fn write(client: u32, token: u64, is_accepted: bool) -> ResourceWrite {
        ResourceWrite { client, token, is_accepted }
    }

    #[test]
    fn a_fenced_pause_does_no_harm() {
        let holds = [hold(0, 1, 10, 20), hold(1, 2, 22, 30)];
        let writes = [write(0, 1, true), write(1, 2, true), write(0, 1, false)];
        let report = fencing(&holds, &writes, true);
        assert!(report.holds() && report.examined == 5, "{report}");
        // The instant of release and grant may be one.
        assert!(fencing(&[hold(0, 1, 10, 20), hold(1, 2, 20, 30)], &[], true).holds());
    }

    #[test]
    fn each_rule_is_named() {
        let holds = [hold(0, 1, 10, 20), hold(1, 2, 22, 30)];
        let late = [write(1, 2, true), write(0, 1, true)];
        assert!(fencing(&holds, &late, true).breaks("stale-token"));
        assert!(fencing(&holds, &[write(1, 1, true)], true).breaks("unknown-token"));
        let both = [hold(0, 1, 10, 25), hold(1, 2, 22, 30)];
        assert!(fencing(&both, &[], true).breaks("mutual-exclusion"));
        assert!(fencing(&both, &[], false).holds());
        let around = [hold(0, 1, 10, 50), hold(1, 2, 12, 13), hold(2, 3, 40, 60)];
        assert_eq!(fencing(&around, &[], true).breached, 2);
        for token in [1, 2] {
            let turned = [hold(0, 2, 10, 20), hold(1, token, 22, 30)];
            assert!(fencing(&turned, &[], true).breaks("token-order"));
        }
        // Grants asked for at the same time may come in any order.
        let beside = Hold { asked: 5, ..hold(1, 1, 22, 30) };
        assert!(fencing(&[hold(0, 2, 10, 20), beside], &[], true).holds());
    }
}
