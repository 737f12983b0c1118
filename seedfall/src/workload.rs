//! What the clients of a scenario do.

use seedfall_checkers::{History, Operation};
use seedfall_net::Delay;
use seedfall_sim::{Choices, ClientId, Duration, NodeId, Protocol};
use std::fmt;
use std::sync::Arc;

/// Draws the input of an operation, by as many choices as it needs, and by what its client
/// remembers.
pub type Generate<I, O> =
    Arc<dyn Fn(Invocation, &Past<'_, I, O>, &mut Choices<'_>) -> I + Send + Sync>;

/// Draws inputs as a client does that remembers nothing.
pub fn forgetful<I, O>(
    generate: impl Fn(Invocation, &mut Choices<'_>) -> I + Send + Sync + 'static,
) -> Generate<I, O> {
    Arc::new(move |invocation, _, choices| generate(invocation, choices))
}

/// Puts an input in a protocol's words.
pub type Ask<P, I> =
    Arc<dyn Fn(OperationId, &I) -> <P as Protocol>::Request + Send + Sync + 'static>;

/// Reads a protocol's answer.
pub type Read<P, O> = Arc<dyn Fn(<P as Protocol>::Response) -> Reply<O> + Send + Sync + 'static>;

/// What the clients do: each runs one operation after the other.
///
/// Its functions may capture what they need, such as a share of reads:
///
/// ```
/// use seedfall::prelude::*;
/// use models::{RegisterInput as In, RegisterOutput as Out};
///
/// fn reads<P>(of_a_hundred: u32) -> Workload<P, In<u64>, Out<u64>>
/// where
///     P: Protocol<Request = In<u64>, Response = Out<u64>>,
/// {
///     Workload {
///         operations: 30,
///         ..Workload::short(
///             move |op, draw| match draw.below(100) < of_a_hundred {
///                 true => In::Read,
///                 false => In::Write(op.unique()),
///             },
///             |_, input| input.clone(),
///             Reply::Done,
///         )
///     }
/// }
/// ```
pub struct Workload<P: Protocol, I, O> {
    /// Operations of each client while the faults last.
    pub operations: u32,
    /// Operations of each client after the faults stopped.
    pub final_operations: u32,
    /// How long a client waits between two operations.
    pub think: Delay,
    /// How long it waits for an answer before it asks another node.
    pub patience: Duration,
    /// How often it asks before it gives up, and the outcome stays indeterminate.
    pub attempts: u32,
    /// How many nodes must give a client one and the same answer before it believes it: one, or,
    /// where `f` of them may be Byzantine, `f + 1`. (Nodes that are real are asked one at a time:
    /// their clients believe the first.)
    pub agree: usize,
    /// Draws the input of an operation.
    pub generate: Generate<I, O>,
    /// Puts it in the protocol's words.
    pub request: Ask<P, I>,
    /// Reads the protocol's answer.
    pub reply: Read<P, O>,
}

impl<P: Protocol, I, O> Workload<P, I, O> {
    /// Ten operations of each client and one final one, 10 to 100 ms apart; after 200 ms without
    /// an answer a client asks again, three times in all.
    pub fn short(
        generate: impl Fn(Invocation, &mut Choices<'_>) -> I + Send + Sync + 'static,
        request: impl Fn(OperationId, &I) -> P::Request + Send + Sync + 'static,
        reply: impl Fn(P::Response) -> Reply<O> + Send + Sync + 'static,
    ) -> Self {
        Self {
            operations: 10,
            final_operations: 1,
            think: Delay::Uniform { min: Duration::millis(10), max: Duration::millis(100) },
            patience: Duration::millis(200),
            attempts: 3,
            agree: 1,
            generate: forgetful(generate),
            request: Arc::new(request),
            reply: Arc::new(reply),
        }
    }

    /// The same, by clients that remember what they asked and were told: an operation may depend on
    /// it. So a client gives back the lock that it was granted, or reads what it wrote.
    ///
    /// ```
    /// use seedfall::prelude::*;
    /// use models::{LockInput as In, LockOutput as Out};
    ///
    /// fn turns<P: Protocol<Request = In, Response = Out>>() -> Workload<P, In, Out> {
    ///     Workload::remembering(
    ///         |op, past: &Past<'_, In, Out>, _| {
    ///             let owner = op.client.index() as u32;
    ///             match past.last_answer() {
    ///                 Some((In::Acquire { .. }, Out::Granted { .. })) => In::Release { owner },
    ///                 _ => In::Acquire { owner },
    ///             }
    ///         },
    ///         |_, input| input.clone(),
    ///         Reply::Done,
    ///     )
    /// }
    /// ```
    pub fn remembering<G>(
        generate: G,
        request: impl Fn(OperationId, &I) -> P::Request + Send + Sync + 'static,
        reply: impl Fn(P::Response) -> Reply<O> + Send + Sync + 'static,
    ) -> Self
    where
        G: Fn(Invocation, &Past<'_, I, O>, &mut Choices<'_>) -> I + Send + Sync + 'static,
    {
        let forgets = |_: Invocation, _: &mut Choices<'_>| unreachable!("replaced below");
        Self { generate: Arc::new(generate), ..Self::short(forgets, request, reply) }
    }
}

/// What a client remembers: its own operations so far, and nobody else's.
#[derive(Debug)]
pub struct Past<'a, I, O> {
    operations: &'a [Operation<I, O>],
    client: u32,
}

impl<'a, I, O> Past<'a, I, O> {
    pub(crate) fn of(client: ClientId, history: &'a History<I, O>) -> Self {
        Self { operations: &history.operations, client: client.index() as u32 }
    }

    /// Its operations, in the order in which it called them. Of those without an answer it does not
    /// know what became.
    pub fn operations(&self) -> impl DoubleEndedIterator<Item = &'a Operation<I, O>> {
        let client = self.client;
        self.operations.iter().filter(move |one| one.client == client)
    }

    /// Its last operation; `None`: this is its first.
    pub fn last(&self) -> Option<&'a Operation<I, O>> {
        self.operations().next_back()
    }

    /// What it asked last and was answered; `None`: it was never answered.
    pub fn last_answer(&self) -> Option<(&'a I, &'a O)> {
        self.operations().rev().find_map(|one| Some((&one.input, one.outcome.output()?)))
    }
}

// By hand: a derive would ask for `P: Clone`, and all that is cloned are numbers and pointers.
impl<P: Protocol, I, O> Clone for Workload<P, I, O> {
    fn clone(&self) -> Self {
        Self {
            generate: Arc::clone(&self.generate),
            request: Arc::clone(&self.request),
            reply: Arc::clone(&self.reply),
            ..*self
        }
    }
}

/// The name of an operation of the workload. Its number counts from zero at each client, and does
/// not change when other operations are left out.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct OperationId {
    /// Whose operation.
    pub client: ClientId,
    /// Which of that client's.
    pub number: u32,
}

impl OperationId {
    /// A number that no other operation of the run has, and that is not zero: a value to write.
    pub const fn unique(self) -> u64 {
        ((self.number as u64) << 16) + self.client.index() as u64 + 1
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client, self.number)
    }
}

/// When an operation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// While faults may strike.
    Faults,
    /// After the faults stopped.
    Final {
        /// Which of its client's final operations it is, counted from zero.
        nth: u32,
        /// How many its client has.
        of: u32,
    },
}

/// An operation that is about to be called, and for which an input is to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Invocation {
    /// Whose operation.
    pub client: ClientId,
    /// Which of that client's. How many come before the final ones, only a simulation knows:
    /// [`Invocation::phase`] says whether it is one of those.
    pub number: u32,
    /// When it is called.
    pub phase: Phase,
}

impl Invocation {
    /// Its name.
    pub const fn id(self) -> OperationId {
        OperationId { client: self.client, number: self.number }
    }

    /// As [`OperationId::unique`].
    pub const fn unique(self) -> u64 {
        self.id().unique()
    }

    /// Whether it is called after the faults stopped.
    pub const fn is_final(self) -> bool {
        matches!(self.phase, Phase::Final { .. })
    }

    /// Whether it is the very last operation of its client.
    pub const fn is_last(self) -> bool {
        matches!(self.phase, Phase::Final { nth, of } if nth + 1 == of)
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

/// What an answer of the protocol means to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<O> {
    /// The operation took effect.
    Done(O),
    /// The operation certainly did not happen, and never will.
    Failed,
    /// This node cannot help; perhaps that one can.
    Elsewhere(Option<NodeId>),
}
