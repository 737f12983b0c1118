//! What a history of the quorum store must keep, from the answers of its clients alone.
//!
//! An answer *covers* a version if it shows it, or one that says to replace it. A version that a
//! deletion replaced need not be covered any more: tombstones are forgotten. A deletion without an
//! answer, or one that was asked for twice, may have replaced anything, so it excuses everything
//! after its call. (Without deletions nothing is excused.)

use super::{Input, Output, PATIENCE};
use seedfall::property::Judgement;
use seedfall_checkers::{History, Operation, Outcome};
use seedfall_protocols::quorum_kv::{Dot, VersionVector, Versions};
use seedfall_sim::{SortedMap, SortedSet};

type Op = Operation<Input, Output>;

/// A put or deletion that was acknowledged.
struct Write<'h> {
    index: usize,
    returned: u64,
    dot: Dot,
    past: &'h VersionVector,
}

/// A get that was answered.
struct Get<'h> {
    index: usize,
    call: u64,
    returned: u64,
    siblings: &'h Versions,
}

/// The operations on one key.
#[derive(Default)]
struct Key<'h> {
    writes: Vec<Write<'h>>,
    gets: Vec<Get<'h>>,
    /// What deletions that somebody was told of have replaced.
    deleted: VersionVector,
    /// These deletions. No vector: it would mean all that their coordinators wrote before as well.
    tombstones: SortedSet<Dot>,
    /// When the first deletion was called that may have replaced more than its client was told.
    unknown_deletion: Option<u64>,
    values: Vec<&'h str>,
}

/// S3: a get covers every put and deletion that was acknowledged before it was called, and shows
/// nothing that one of them replaced, and nothing that nobody put.
pub(super) fn gets_cover_acknowledged_puts(history: &History<Input, Output>) -> Judgement {
    for key in by_key(history).values() {
        for get in &key.gets {
            let strange = |value: &str| !key.values.contains(&value);
            let shown = get.siblings.iter().filter_map(|version| version.value.as_deref());
            if shown.into_iter().any(strange) {
                return violated("a get shows a value that nobody put", get.index, &[]);
            }
            for write in key.writes.iter().filter(|write| write.returned < get.call) {
                if !get.siblings.covers(write.dot) && !key.excuses(write.dot, get) {
                    let why = "a get misses what was acknowledged before it was called";
                    return violated(why, get.index, &[write.index]);
                }
                if get.siblings.iter().any(|version| write.past.contains(version.dot)) {
                    let why = "a get shows what was replaced before it was called";
                    return violated(why, get.index, &[write.index]);
                }
            }
        }
    }
    Judgement::Holds
}

/// Not guaranteed: a get covers what every earlier get has shown.
pub(super) fn gets_never_go_back(history: &History<Input, Output>) -> Judgement {
    for key in by_key(history).values() {
        for later in &key.gets {
            for earlier in key.gets.iter().filter(|earlier| earlier.returned < later.call) {
                let gone = |dot| !later.siblings.covers(dot) && !key.excuses(dot, later);
                if earlier.siblings.iter().any(|version| gone(version.dot)) {
                    let why = "a get misses what an earlier get has shown";
                    return violated(why, later.index, &[earlier.index]);
                }
            }
        }
    }
    Judgement::Holds
}

/// A put replaces nothing but what its client was shown before. (A client whose earlier operation
/// on the key had no answer, or was asked for twice, may count as having been shown more. So may
/// one whose request was doubled and arrived again after a crash: not to be asked for where
/// messages are doubled.)
pub(super) fn puts_replace_what_was_shown(history: &History<Input, Output>) -> Judgement {
    // What each client was shown of each key; `None`: not known.
    let mut shown = SortedMap::<(u32, &str), Option<VersionVector>>::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let (Input::Get { key } | Input::Put { key, .. } | Input::Delete { key }) = operation.input;
        let known =
            shown.entry((operation.client, key)).or_insert_with(|| Some(Default::default()));
        let (Some(context), Some(output)) = (known.as_mut(), operation.outcome.output()) else {
            *known = None;
            continue;
        };
        if was_asked_twice(operation) {
            *known = None;
            continue;
        }
        let (Output::Siblings(siblings) | Output::Stored { siblings, .. }) = output;
        if let Output::Stored { past, .. } = output
            && past.dots().any(|dot| !context.contains(dot))
        {
            return violated("a put replaces what its client was not shown", index, &[]);
        }
        context.join(&siblings.context());
    }
    Judgement::Holds
}

impl Key<'_> {
    /// Whether a get need not cover a version, as it may have been deleted and forgotten.
    fn excuses(&self, dot: Dot, get: &Get<'_>) -> bool {
        self.deleted.contains(dot)
            || self.tombstones.contains(&dot)
            || self.unknown_deletion.is_some_and(|call| call <= get.returned)
    }
}

/// Whether the operation may have been carried out by two coordinators, or never have come to an
/// end.
fn was_asked_twice(operation: &Op) -> bool {
    let asked_again = PATIENCE.as_nanos() + operation.call;
    operation.outcome.returned().is_none_or(|end| asked_again <= end)
}

fn violated(reason: &str, operation: usize, others: &[usize]) -> Judgement {
    let core = others.iter().copied().chain([operation]).collect();
    Judgement::Violated { reason: reason.to_owned(), operation: Some(operation), core }
}

fn by_key(history: &History<Input, Output>) -> SortedMap<&'static str, Key<'_>> {
    let mut keys = SortedMap::<&'static str, Key<'_>>::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let (Input::Get { key } | Input::Put { key, .. } | Input::Delete { key }) = operation.input;
        keys.entry(key).or_default().add(index, operation);
    }
    keys
}

impl<'h> Key<'h> {
    fn add(&mut self, index: usize, operation: &'h Op) {
        if let Input::Put { value, .. } = &operation.input {
            self.values.push(value);
        }
        let is_deletion = matches!(operation.input, Input::Delete { .. });
        if is_deletion && was_asked_twice(operation) {
            self.unknown_deletion.get_or_insert(operation.call);
        }
        let Outcome::Ok { returned, output } = &operation.outcome else { return };
        let (Output::Siblings(siblings) | Output::Stored { siblings, .. }) = output;
        for tombstone in siblings.iter().filter(|version| version.value.is_none()) {
            self.delete(&tombstone.past, tombstone.dot);
        }
        let (call, returned) = (operation.call, *returned);
        match output {
            Output::Siblings(siblings) => self.gets.push(Get { index, call, returned, siblings }),
            Output::Stored { dot, past, .. } => {
                if is_deletion {
                    self.delete(past, *dot);
                }
                self.writes.push(Write { index, returned, dot: *dot, past });
            }
        }
    }

    fn delete(&mut self, past: &VersionVector, dot: Dot) {
        self.deleted.join(past);
        self.tombstones.insert(dot);
    }
}
