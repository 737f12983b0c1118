//! At most one holder at any time: what leases promise.

use super::{Property, invariants, lasting};
use seedfall_sim::{Monitor, NodeId, Protocol, Time, Violation};
use std::borrow::Cow;
use std::sync::Arc;

/// Always: of a lease there is one holder at a time. `until` says until when a node believes that
/// it holds the lease, on its own monotonic clock (`Context::now`), if it does; from then on it
/// believes so no more, without an event that says so. What all believe is compared at instants of
/// virtual time, whatever their clocks show. A node that is down counts as if it were paused: no
/// other can know that it is not.
///
/// ```
/// # use seedfall::property::{Property, one_holder};
/// # use seedfall::sim::{Protocol, Time};
/// struct Node {
///     lease: Option<Time>,
/// }
/// # fn a<P: Protocol + 'static>(lease: fn(&P) -> Option<Time>) -> Property<P, (), ()> {
/// one_holder("one holds the lease", lease)
/// # }
/// ```
pub fn one_holder<P: Protocol + 'static, I, O>(
    name: impl Into<Cow<'static, str>>,
    until: impl Fn(&P) -> Option<Time> + Send + Sync + 'static,
) -> Property<P, I, O> {
    let (name, until) = (lasting(name), Arc::new(until));
    invariants(name, move || OneHolder { name, until: Arc::clone(&until), leases: Vec::new() })
}

struct OneHolder<F> {
    name: &'static str,
    until: Arc<F>,
    /// Until when each node was seen to believe that it holds, on its own clock.
    leases: Vec<Option<Time>>,
}

impl<P, F: Fn(&P) -> Option<Time>> Monitor<P> for OneHolder<F> {
    fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation> {
        // Where there is no time, a lease lasts until it is given up.
        self.observe_at(node, state, &|_| Time::ZERO)
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &P,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let until = (self.until)(state);
        if self.leases.len() <= node.index() {
            self.leases.resize(node.index() + 1, None);
        }
        // Whoever holds what it held was compared when it, or the other, began to.
        if std::mem::replace(&mut self.leases[node.index()], until) == until {
            return Ok(());
        }
        let lasts = |of: NodeId, until: Option<Time>| until.filter(|until| clocks(of) < *until);
        let Some(own) = lasts(node, until) else { return Ok(()) };
        for (other, until) in self.leases.iter().enumerate() {
            let other = NodeId::new(other as u16);
            if other != node
                && let Some(until) = lasts(other, *until)
            {
                let explanation = format!(
                    "{node} holds until its clock shows {own}, and {other} until its own, which \
                     shows {}, shows {until}",
                    clocks(other)
                );
                return Err(Violation { property: self.name, explanation });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::Duration;

    fn at(millis: u64) -> Option<Time> {
        Some(Time::ZERO + Duration::millis(millis))
    }

    /// By the times of their own clocks the second holder begins long before the first one's end,
    /// and by virtual time after it, or not.
    #[test]
    fn leases_are_compared_at_one_instant() {
        let (one, two) = (NodeId::new(0), NodeId::new(1));
        let clocks =
            |fast: u64| move |node: NodeId| Time::ZERO + Duration::millis([fast, 10][node.index()]);
        let judge = |fast| {
            let until = Arc::new(|until: &Option<Time>| *until);
            let mut watched = OneHolder { name: "one", until, leases: Vec::new() };
            watched.observe_at(one, &at(100), &clocks(50)).expect("it is alone");
            watched.observe_at(two, &at(20), &clocks(fast))
        };
        assert_eq!(judge(100), Ok(()));
        let broken = judge(99).expect_err("two hold");
        assert!(broken.explanation.contains("n2 holds until its clock shows"), "{broken}");
    }

    #[test]
    fn a_lease_that_is_given_up_is_over() {
        let (one, two) = (NodeId::new(0), NodeId::new(1));
        let until = Arc::new(|until: &Option<Time>| *until);
        let mut watched = OneHolder { name: "one", until, leases: Vec::new() };
        watched.observe(one, &at(100)).expect("it is alone");
        watched.observe(one, &None).expect("it gives up");
        watched.observe(two, &at(50)).expect("it is alone");
        watched.observe(one, &at(200)).expect_err("two hold");
    }
}
