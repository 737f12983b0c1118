//! Seeded loads of any size: clients that take turns on a correct object.

use seedfall_checkers::models::{
    Kv, KvInput, KvOutput, PriorityQueueInput, PriorityQueueOutput, QueueInput, QueueOutput,
    RegisterInput, RegisterOutput, SetInput, StackInput, StackOutput,
};
use seedfall_checkers::{History, Outcome};

pub type Registers = History<RegisterInput<Option<u32>>, RegisterOutput<Option<u32>>>;

/// `SplitMix64`.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

/// Runs `n` operations by `clients` on a correct object; each takes effect at a random moment of
/// its interval. `apply` changes the object and answers.
pub fn run<I: Clone, O>(
    seed: u64,
    n: usize,
    clients: usize,
    unknown: u64,
    mut ask: impl FnMut(&mut Random) -> I,
    mut apply: impl FnMut(&I) -> O,
) -> History<I, O> {
    let mut random = Random(seed);
    let mut history = History::new();
    let mut open: Vec<Option<(usize, Option<O>)>> = (0..clients).map(|_| None).collect();
    let mut time = 0;
    while history.len() < n || open.iter().any(Option::is_some) {
        time += 1 + random.below(20);
        let client = random.below(clients as u64) as usize;
        match open[client].take() {
            None if history.len() < n => {
                let input = ask(&mut random);
                open[client] = Some((history.invoke(client as u32, time, input), None));
            }
            None => {}
            Some((index, None)) => {
                let lost = random.percent(unknown);
                if lost && random.percent(50) {
                    continue;
                }
                let output = apply(&history.operations[index].input.clone());
                if !lost {
                    open[client] = Some((index, Some(output)));
                }
            }
            Some((index, Some(output))) => history.complete(index, time, output),
        }
    }
    history
}

/// A register; `swaps` per cent of the operations are compare-and-set that tell what they saw.
/// Without `values`, every written value is new.
pub fn register(
    (seed, n, clients, unknown): (u64, usize, usize, u64),
    swaps: u64,
    values: Option<u64>,
    tells: bool,
) -> Registers {
    let current = std::cell::Cell::new(None);
    let mut next = 0;
    run(
        seed,
        n,
        clients,
        unknown,
        |random| {
            let new = Some(match values {
                Some(values) => random.below(values) as u32,
                None => {
                    next += 1;
                    next
                }
            });
            let kind = random.below(100);
            if kind < swaps {
                let guess = values.map(|values| random.below(values) as u32);
                let expected = if values.is_some() { guess } else { current.get() };
                RegisterInput::Cas { expected, new }
            } else if kind < swaps + (100 - swaps) / 2 {
                RegisterInput::Read
            } else {
                RegisterInput::Write(new)
            }
        },
        |input| match input {
            RegisterInput::Read => RegisterOutput::Value(current.get()),
            RegisterInput::Write(value) => {
                current.set(*value);
                RegisterOutput::Done
            }
            RegisterInput::Cas { expected, new } if *expected == current.get() => {
                current.set(*new);
                RegisterOutput::Done
            }
            RegisterInput::Cas { .. } if tells => RegisterOutput::MismatchSaw(current.get()),
            RegisterInput::Cas { .. } => RegisterOutput::Mismatch,
        },
    )
}

/// Makes one read in the last tenth tell what the register held long before.
pub fn plant_stale_read(history: &mut Registers) {
    let n = history.len();
    let old = history.operations[n / 4..]
        .iter()
        .find_map(|op| match (&op.input, &op.outcome) {
            (RegisterInput::Write(value), Outcome::Ok { .. }) => Some(*value),
            _ => None,
        })
        .expect("a write");
    for op in &mut history.operations[n / 10 * 9..] {
        if let Outcome::Ok { output: RegisterOutput::Value(seen), .. } = &mut op.outcome {
            *seen = old;
            return;
        }
    }
}

pub type Store = History<KvInput<u32, u32>, KvOutput<u32>>;

/// A thousand keys.
pub fn keys((seed, n, clients, unknown): (u64, usize, usize, u64), keys: u64) -> Store {
    let mut next = 0;
    let mut store = vec![None; keys as usize];
    run(
        seed,
        n,
        clients,
        unknown,
        |random| {
            let key = random.below(keys) as u32;
            if random.percent(50) {
                return KvInput::Get { key };
            }
            next += 1;
            KvInput::Put { key, value: next }
        },
        |input| match input {
            KvInput::Put { key, value } => {
                store[*key as usize] = Some(*value);
                KvOutput::Done
            }
            other => KvOutput::Value(store[*other.key() as usize]),
        },
    )
}

pub fn store() -> Kv<u32, u32> {
    Kv::new()
}

pub fn queue(n: usize, clients: usize) -> History<QueueInput<u32>, QueueOutput<u32>> {
    let mut next = 0;
    let mut inside = std::collections::VecDeque::new();
    run(
        1,
        n,
        clients,
        0,
        |random| {
            if random.percent(50) {
                return QueueInput::Dequeue;
            }
            next += 1;
            QueueInput::Enqueue(next)
        },
        |input| match input {
            QueueInput::Enqueue(value) => {
                inside.push_back(*value);
                QueueOutput::Done
            }
            QueueInput::Dequeue => QueueOutput::Removed(inside.pop_front()),
        },
    )
}

pub fn stack(n: usize, clients: usize) -> History<StackInput<u32>, StackOutput<u32>> {
    let mut next = 0;
    let mut inside = Vec::new();
    run(
        1,
        n,
        clients,
        0,
        |random| {
            if random.percent(50) {
                return StackInput::Pop;
            }
            next += 1;
            StackInput::Push(next)
        },
        |input| match input {
            StackInput::Push(value) => {
                inside.push(*value);
                StackOutput::Done
            }
            StackInput::Pop => StackOutput::Removed(inside.pop()),
        },
    )
}

pub fn priority_queue(
    n: usize,
    clients: usize,
) -> History<PriorityQueueInput<u32>, PriorityQueueOutput<u32>> {
    let mut next = 0_u32;
    let mut inside = std::collections::BinaryHeap::new();
    run(
        1,
        n,
        clients,
        0,
        |random| {
            if random.percent(50) {
                return PriorityQueueInput::Poll;
            }
            next += 1;
            // An odd factor permutes the numbers: distinct, in no order.
            PriorityQueueInput::Insert(next.wrapping_mul(2_654_435_761))
        },
        |input| match input {
            PriorityQueueInput::Insert(value) => {
                inside.push(*value);
                PriorityQueueOutput::Done
            }
            PriorityQueueInput::Poll => PriorityQueueOutput::Removed(inside.pop()),
        },
    )
}

pub fn set(n: usize, clients: usize) -> History<SetInput<u32>, bool> {
    let elements = (n / 20) as u64;
    let mut inside = vec![false; elements as usize];
    run(
        1,
        n,
        clients,
        0,
        |random| {
            let element = random.below(elements) as u32;
            match random.below(3) {
                0 => SetInput::Insert(element),
                1 => SetInput::Remove(element),
                _ => SetInput::Contains(element),
            }
        },
        |input| {
            let slot = &mut inside[*input.element() as usize];
            match input {
                SetInput::Insert(_) => !std::mem::replace(slot, true),
                SetInput::Remove(_) => std::mem::replace(slot, false),
                SetInput::Contains(_) => *slot,
            }
        },
    )
}
