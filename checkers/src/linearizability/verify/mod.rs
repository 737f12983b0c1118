//! A second opinion: checks what a verdict brings along, without the code that made it.
//!
//! An order is replayed through the model. A core is checked against the definition of its reason,
//! by the stamps and values of its few operations; where the reason is that no order was found, and
//! the partition is small, by trying them all, naively. What is too large for that rests on the
//! search alone, and is told as such.

mod container;
mod exhaustive;

use super::claimed::{self, Deviation};
use crate::history::History;
use crate::models::Model;
use crate::models::abstraction::{Abstraction, ContainerStep, RegisterStep};
use crate::verdict::{Reason, Verdict, Witness};
use container::container_core;

/// What a verdict's evidence was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It proves the verdict.
    Proof,
    /// It is consistent, but that nothing else was possible rests on a search or a monitor.
    Trust,
}

/// Why a verdict's evidence does not show what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// An order does not explain what it contains.
    Order(Deviation),
    /// The core does not contradict itself in the way that its reason says.
    Core(Reason),
    /// The witness names operations that the history does not have.
    Unknown,
}

/// Checks a verdict's evidence against the history: an order in O(n), a core in O(n) for each of
/// its operations; where every order is tried, in at most some thousands of configurations more.
///
/// # Errors
/// What is wrong with it: then the verdict must not be believed.
pub fn verify<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    verdict: &Verdict,
) -> Result<Evidence, Flaw> {
    match verdict {
        Verdict::Unknown(_) => Ok(Evidence::Trust),
        Verdict::Holds(certificate) => {
            let mut placed = vec![false; history.len()];
            for order in &certificate.orders {
                claimed::replay(model, history, order, &mut placed).map_err(Flaw::Order)?;
            }
            match claimed::missing(history, &placed) {
                None => Ok(Evidence::Proof),
                Some(index) => Err(Flaw::Order(Deviation::Missing(index))),
            }
        }
        Verdict::Violated(witness) => verify_core(model, history, witness),
    }
}

/// One operation of the core.
#[derive(Clone, Copy)]
struct Fact<S> {
    step: S,
    call: u64,
    /// End of time if unknown.
    ret: u64,
}

fn verify_core<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    witness: &Witness,
) -> Result<Evidence, Flaw> {
    let known = |index: &u32| (*index as usize) < history.len();
    if !witness.core.iter().all(known) || !known(&witness.operation) {
        return Err(Flaw::Unknown);
    }
    let glance = match witness.reason {
        Reason::NoOrder => None,
        _ => core_holds(model, history, witness),
    };
    match glance.or_else(|| exhaustive::has_no_order(model, history, witness)) {
        None => Ok(Evidence::Trust),
        Some(false) => Err(Flaw::Core(witness.reason)),
        Some(true) => Ok(Evidence::Proof),
    }
}

/// Whether the core contradicts itself; `None` if that is not for a glance to say.
fn core_holds<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    witness: &Witness,
) -> Option<bool> {
    let last = &history.operations[witness.operation as usize];
    let end = last.outcome.returned().unwrap_or(u64::MAX);
    // What was called after the core and its last response can explain nothing.
    let calls = witness.core.iter().map(|index| history.operations[*index as usize].call);
    let latest = calls.fold(end, u64::max);
    let part: Vec<u32> = (0..history.len() as u32)
        .filter(|index| {
            let operation = &history.operations[*index as usize];
            operation.call <= latest
                && model.partition(&operation.input) == model.partition(&last.input)
        })
        .collect();
    let mut seen = part.iter().map(|index| {
        let operation = &history.operations[*index as usize];
        (&operation.input, operation.outcome.output().filter(|_| told(history, witness, *index)))
    });
    let view = model.abstraction(&mut seen)?;
    let core: Vec<usize> =
        (0..part.len()).filter(|at| witness.core.binary_search(&part[*at]).is_ok()).collect();
    let ends = |at: usize| {
        let operation = &history.operations[part[at] as usize];
        let ret = operation.outcome.returned().filter(|_| told(history, witness, part[at]));
        (operation.call, ret.unwrap_or(u64::MAX))
    };
    let facts = |steps: &[ContainerStep]| -> Vec<Fact<ContainerStep>> {
        core.iter()
            .map(|at| Fact { step: steps[*at], call: ends(*at).0, ret: ends(*at).1 })
            .collect()
    };
    match view {
        Abstraction::Register(view) => {
            let fact = |at: usize| Fact { step: view.steps[at], call: ends(at).0, ret: ends(at).1 };
            let core: Vec<_> = core.into_iter().map(fact).collect();
            Some(register_core(&core, &view.steps, witness.reason))
        }
        Abstraction::Queue(steps) => {
            container_core(&facts(&steps), &steps, witness.reason, container::left_in_other_order)
        }
        Abstraction::Stack(steps) => {
            container_core(&facts(&steps), &steps, witness.reason, container::cannot_nest)
        }
        Abstraction::PriorityQueue(steps) => {
            container_core(&facts(&steps), &steps, witness.reason, container::passed_over)
        }
        Abstraction::Membership(_) => None,
    }
}

/// Whether the answer of an operation is among those that the contradiction rests on.
fn told<I, O>(history: &History<I, O>, witness: &Witness, index: u32) -> bool {
    let outcome = &history.operations[index as usize].outcome;
    let came = |ret: &u64| witness.answers_before.is_none_or(|limit| (*ret, index) < limit);
    outcome.returned().filter(came).is_some_and(|_| outcome.output().is_some())
}

fn writes(step: RegisterStep) -> Option<u32> {
    match step {
        RegisterStep::Write(value) => Some(value),
        RegisterStep::Swap(from, to) if from != to => Some(to),
        _ => None,
    }
}

/// The value that is certainly current after a step.
fn current_after(step: RegisterStep) -> Option<u32> {
    match step {
        RegisterStep::Read(value) | RegisterStep::Write(value) | RegisterStep::Swap(_, value) => {
            Some(value)
        }
        _ => None,
    }
}

/// Whether a core of register operations contradicts itself as `reason` says. The values that the
/// argument rests on must be written at most once in the whole part, `all`.
fn register_core(core: &[Fact<RegisterStep>], all: &[RegisterStep], reason: Reason) -> bool {
    let writers = |value: u32| all.iter().filter(|step| writes(**step) == Some(value)).count();
    // Nobody wrote it at all: seeing it is a contradiction all the more.
    let once = |value: u32| writers(value) <= usize::from(value != 0);
    let any = |of: &dyn Fn(&Fact<RegisterStep>, &Fact<RegisterStep>) -> bool| {
        core.iter().any(|one| core.iter().any(|other| of(one, other)))
    };
    match reason {
        Reason::WrongElement => core.iter().any(|fact| fact.step == RegisterStep::Impossible),
        Reason::NeverWritten => core.iter().any(|fact| match fact.step {
            RegisterStep::Read(value) | RegisterStep::Swap(value, _) => {
                value != 0 && writers(value) == 0
            }
            _ => false,
        }),
        Reason::ReadFromFuture => any(&|reader, writer| {
            let uses = match reader.step {
                RegisterStep::Read(value) => Some(value),
                RegisterStep::Swap(from, _) => Some(from),
                _ => None,
            };
            uses.is_some_and(|value| writes(writer.step) == Some(value) && once(value))
                && reader.ret < writer.call
        }),
        Reason::TakenTwice => core.iter().enumerate().any(|(at, one)| {
            let RegisterStep::Swap(from, to) = one.step else { return false };
            core[at + 1..].iter().any(|other| match other.step {
                RegisterStep::Swap(same, value) => {
                    from == same && from != to && value != same && once(from)
                }
                _ => false,
            })
        }),
        Reason::ZonesCross | Reason::ChainBroken => chains_contradict(core, &once),
        _ => false,
    }
}

/// Whether operations on values that swaps of the core glue together must each come before the
/// other.
fn chains_contradict(core: &[Fact<RegisterStep>], once: &dyn Fn(u32) -> bool) -> bool {
    let before = |value: u32| {
        core.iter().find_map(|fact| match fact.step {
            RegisterStep::Swap(from, to) if to == value && from != to => Some(from),
            _ => None,
        })
    };
    // The place of a value on its chain: the value that heads it, and how far from there.
    let place = |value: u32| {
        let (mut head, mut depth) = (value, 0_usize);
        while let Some(from) = before(head).filter(|_| depth <= core.len()) {
            (head, depth) = (from, depth + 1);
        }
        (head, depth)
    };
    let mut facts = Vec::new();
    for fact in core {
        let Some(value) = current_after(fact.step) else { continue };
        if !once(value) {
            return false;
        }
        let (head, depth) = place(value);
        if depth > core.len() {
            return true; // Swaps in a circle that nothing enters.
        }
        facts.push((head, depth, fact));
    }
    let precedes = |one: u32, other: u32| {
        facts.iter().any(|(a, _, first)| {
            *a == one && facts.iter().any(|(b, _, then)| *b == other && first.ret < then.call)
        })
    };
    facts.iter().any(|(a, depth, early)| {
        facts.iter().any(|(b, deeper, late)| {
            let backwards = a == b && depth < deeper && late.ret < early.call;
            // Nothing comes before the initial value, so what precedes it is wrong alone.
            let crossed = a != b && precedes(*a, *b) && (*b == 0 || precedes(*b, *a));
            backwards || crossed
        })
    })
}
