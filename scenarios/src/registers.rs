//! What the scenarios of registers share: their histories, as the weaker checkers want them.

use seedfall::property::Judgement;
use seedfall_checkers::models::{KvInput, KvOutput};
use seedfall_checkers::weak::{self, Access, RegisterHistory};
use seedfall_checkers::{History, Operation, Outcome};
use seedfall_sim::SortedMap;

/// What a client asks: a get or a put, whose value no other put has.
pub(super) type Input = KvInput<&'static str, String>;
/// What it is told.
pub(super) type Output = KvOutput<String>;

/// Whether every register is regular (Lamport 1986; with many writers: MWR-Weak, Shao et al. 2011).
pub(super) fn regular(history: &History<Input, Output>) -> Judgement {
    let report = weak::regular(&accesses(history));
    report.expect("no value is written twice, by the workload").into()
}

/// The history with its keys and values as numbers. An operation keeps its index.
pub(super) fn accesses(history: &History<Input, Output>) -> RegisterHistory {
    fn number<T: Ord + Clone>(numbers: &mut SortedMap<T, u64>, of: &T) -> u64 {
        let next = numbers.len() as u64;
        *numbers.entry(of.clone()).or_insert(next)
    }
    let (mut keys, mut values) = (SortedMap::new(), SortedMap::new());
    let operations = history.operations.iter().map(|operation| {
        let key = number(&mut keys, operation.input.key());
        let input = match &operation.input {
            KvInput::Put { value, .. } => Access::Write { key, value: number(&mut values, value) },
            _ => Access::Read { key },
        };
        let outcome = match &operation.outcome {
            Outcome::Ok { returned, output: KvOutput::Value(Some(value)) } => {
                Outcome::Ok { returned: *returned, output: Some(number(&mut values, value)) }
            }
            Outcome::Ok { returned, .. } => Outcome::Ok { returned: *returned, output: None },
            Outcome::Failed { returned } => Outcome::Failed { returned: *returned },
            Outcome::Indeterminate => Outcome::Indeterminate,
        };
        Operation { client: operation.client, call: operation.call, input, outcome }
    });
    History { operations: operations.collect() }
}
