//! Sequential models: what one correct object, asked one thing at a time, would answer.

pub mod abstraction;
pub mod bag;
pub mod counter;
pub mod kv;
pub mod lock;
pub mod log;
pub mod priority_queue;
pub mod queue;
pub mod register;
pub mod set;
pub mod stack;

use std::hash::Hash;

pub use abstraction::Abstraction;
pub use bag::{Bag, BagInput, BagOutput};
pub use counter::{Counter, CounterInput, CounterOutput};
pub use kv::{Kv, KvInput, KvOutput};
pub use lock::{Lock, LockInput, LockOutput};
pub use log::{Log, LogInput, LogOutput};
pub use priority_queue::{PriorityQueue, PriorityQueueInput, PriorityQueueOutput};
pub use queue::{Queue, QueueInput, QueueOutput};
pub use register::{Register, RegisterInput, RegisterOutput};
pub use set::{Set, SetInput};
pub use stack::{Stack, StackInput, StackOutput};

/// A sequential object: the specification that a concurrent history is judged against.
pub trait Model {
    /// What can be asked. Equal inputs mean the same to the object: operations that ask and answer
    /// the same are interchangeable to the searches.
    type Input: Eq + Hash;
    /// What can be answered.
    type Output: Eq + Hash;
    /// Everything that the object remembers (of one partition, see [`Model::partition`]).
    type State: Clone + Eq + Hash;
    /// What splits a history into independent parts; `()` if nothing does.
    type Key: Eq + Hash + ?Sized;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `input` took effect in `state` and answered `output`; `None` if it cannot
    /// have answered that. Without an output the operation is indeterminate and takes effect here
    /// unseen: then `None` means that it can have no effect here.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// The independent part of the object that `input` touches, for all inputs or for none
    /// (P-compositionality, Horn and Kroening 2015). With a key, [`Self::State`] is that of one
    /// part.
    fn partition<'a>(&self, input: &'a Self::Input) -> Option<&'a Self::Key> {
        let _ = input;
        None
    }

    /// Whether the operation changes no state in which it can give that answer. Searches place
    /// such operations as early as they fit; `false` is always safe.
    fn is_pure(&self, input: &Self::Input, output: Option<&Self::Output>) -> bool {
        let _ = (input, output);
        false
    }

    /// Whether two operations commute: in *every* state both orders are possible or neither is, and
    /// both lead to the same state. Symmetric; `false` is always safe. Operations on different keys
    /// of a state are the usual case, or updates that answer nothing and add up.
    ///
    /// Searches leave out the orders in which an operation takes effect early although nothing
    /// before the next response depends on it. A wrong `true` would hide orders, and so call a
    /// correct history wrong: where debug assertions are on, a search tries both orders in the
    /// states that it meets and panics where they differ; [`commute_in`] is that check, for a test
    /// of the model. (Idempotent updates need no declaration: an operation without an answer that
    /// changes nothing where it would take effect is left out there.)
    fn commutes(
        &self,
        one: Seen<'_, Self::Input, Self::Output>,
        other: Seen<'_, Self::Input, Self::Output>,
    ) -> bool {
        let _ = (one, other);
        false
    }

    /// The structure that a part of the history is, if it is one that has an algorithm of its own:
    /// one step for each of `operations`, in their order. `None` is always safe.
    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Self::Input, Self::Output>>,
    ) -> Option<Abstraction<'a>> {
        let _ = operations;
        None
    }
}

/// An input and, if the answer came, the output.
pub type Seen<'a, I, O> = (&'a I, Option<&'a O>);

/// Whether two operations commute in one state: what [`Model::commutes`] claims of all states.
pub fn commute_in<M: Model + ?Sized>(
    model: &M,
    state: &M::State,
    one: Seen<'_, M::Input, M::Output>,
    other: Seen<'_, M::Input, M::Output>,
) -> bool {
    let both = |(first, told): Seen<'_, M::Input, M::Output>,
                (then, answer): Seen<'_, M::Input, M::Output>| {
        let between = model.step(state, first, told)?;
        model.step(&between, then, answer)
    };
    both(one, other) == both(other, one)
}
