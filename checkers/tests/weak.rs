//! Small random histories of registers, judged twice: by each model's checker and by its
//! definition, with every order tried.

#![cfg(feature = "transactions")]

use std::collections::BTreeSet;

use seedfall_checkers::transactions::generate::Random;
use seedfall_checkers::weak::{
    Access, Causal, Guarantee, RegisterHistory, Report, Status, causal, k_atomic, real_time,
    regular, safe, sequential, session_guarantees, staleness_time,
};
use seedfall_checkers::{Budget, History, Operation, Outcome};

const BUDGET: Budget = Budget::configurations(1_000_000);

/// Enough rounds for a debug build in seconds; a release build does 25 times as many.
fn rounds(count: u32) -> u32 {
    if cfg!(debug_assertions) { count } else { 25 * count }
}

fn random_history(random: &mut Random) -> RegisterHistory {
    let count = 2 + random.below(5);
    let keys = 1 + random.below(2);
    let mut history = History::new();
    let mut free_at = [0u64; 3];
    let mut written: Vec<Vec<u64>> = vec![Vec::new(); keys as usize];
    for value in 0..count {
        let client = random.below(3) as u32;
        let call = free_at[client as usize].max(value * 2 + random.below(3));
        let returned = call + random.below(6);
        free_at[client as usize] = returned + 1;
        let key = random.below(keys);
        let (input, output) = if random.percent(50) {
            written[key as usize].push(value);
            (Access::Write { key, value }, None)
        } else {
            let seen = &written[key as usize];
            let back = random.below(3).min(random.below(3)) as usize;
            let value = seen.len().checked_sub(1 + back).map(|at| seen[at]);
            (Access::Read { key }, if random.percent(3) { Some(random.below(6)) } else { value })
        };
        let outcome = match random.below(12) {
            0 => Outcome::Failed { returned },
            1 | 2 => {
                free_at[client as usize] = call + 1;
                Outcome::Indeterminate
            }
            _ => Outcome::Ok { returned, output },
        };
        history.operations.push(Operation { client, call, input, outcome });
    }
    history.sort_by_call();
    history
}

/// A history with what each read read from, for the definitions.
struct Facts {
    n: usize,
    key: Vec<u64>,
    is_write: Vec<bool>,
    source: Vec<Option<usize>>,
    call: Vec<u64>,
    end: Vec<u64>,
    /// Session order.
    session: Vec<Vec<bool>>,
    /// Session order and reads-from, closed.
    causes: Vec<Vec<bool>>,
    /// Whether some read saw a value that nobody wrote.
    strange: BTreeSet<usize>,
}

impl Facts {
    /// Only operations that count: confirmed ones, and writes that somebody read.
    fn new(history: &RegisterHistory) -> Self {
        let all = &history.operations;
        let seen = |key: u64, value: u64| {
            all.iter().any(|op| {
                op.input == Access::Read { key } && op.outcome.output() == Some(&Some(value))
            })
        };
        let counts = |op: &&Operation<Access, Option<u64>>| match (op.input, &op.outcome) {
            (_, Outcome::Ok { .. }) => true,
            (Access::Write { key, value }, Outcome::Indeterminate) => seen(key, value),
            _ => false,
        };
        let rows: Vec<_> = all.iter().filter(counts).collect();
        let n = rows.len();
        let mut strange = BTreeSet::new();
        let source = rows.iter().enumerate().map(|(at, op)| {
            let (Access::Read { key }, Some(Some(value))) = (op.input, op.outcome.output()) else {
                return None;
            };
            let wrote = Access::Write { key, value: *value };
            let source = rows.iter().position(|other| other.input == wrote);
            if source.is_none() {
                strange.insert(at);
            }
            source
        });
        let source: Vec<Option<usize>> = source.collect();
        let end = |at: usize| rows[at].outcome.returned().unwrap_or(u64::MAX);
        let session: Vec<Vec<bool>> = (0..n)
            .map(|a| {
                let later = |b: usize| rows[a].client == rows[b].client && a < b;
                (0..n).map(|b| later(b) && end(a) != u64::MAX).collect()
            })
            .collect();
        let mut causes = session.clone();
        for (read, source) in source.iter().enumerate() {
            if let Some(source) = source {
                causes[*source][read] = true;
            }
        }
        close(&mut causes);
        Self {
            n,
            key: rows.iter().map(|op| op.input.key()).collect(),
            is_write: rows.iter().map(|op| matches!(op.input, Access::Write { .. })).collect(),
            call: rows.iter().map(|op| op.call).collect(),
            end: (0..n).map(end).collect(),
            source,
            session,
            causes,
            strange,
        }
    }

    fn reads(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.n).filter(|at| !self.is_write[*at])
    }

    fn writes_of(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        (0..self.n).filter(move |at| self.is_write[*at] && self.key[*at] == key)
    }

    fn precedes(&self, a: usize, b: usize) -> bool {
        self.end[a] < self.call[b]
    }

    /// Whether some order of `members` respects `before` and satisfies `accept`.
    fn order_exists(
        &self,
        members: &[usize],
        before: &dyn Fn(usize, usize) -> bool,
        accept: &dyn Fn(&[usize]) -> bool,
    ) -> bool {
        fn extend(
            members: &[usize],
            order: &mut Vec<usize>,
            before: &dyn Fn(usize, usize) -> bool,
            accept: &dyn Fn(&[usize]) -> bool,
        ) -> bool {
            if order.len() == members.len() {
                return accept(order);
            }
            members.iter().any(|&next| {
                let ready = !order.contains(&next)
                    && members.iter().all(|&m| order.contains(&m) || !before(m, next));
                if !ready {
                    return false;
                }
                order.push(next);
                let found = extend(members, order, before, accept);
                order.pop();
                found
            })
        }
        extend(members, &mut Vec::new(), before, accept)
    }

    /// Whether `read` returns one of the last `k` values before it in the order.
    fn returns_recent(&self, order: &[usize], read: usize, k: usize) -> bool {
        let place = order.iter().position(|at| *at == read).expect("it is in");
        let mut recent: Vec<Option<usize>> = order[..place]
            .iter()
            .rev()
            .filter(|at| self.is_write[**at] && self.key[**at] == self.key[read])
            .map(|at| Some(*at))
            .collect();
        recent.push(None);
        recent.iter().take(k).any(|value| *value == self.source[read])
    }

    fn all(&self) -> Vec<usize> {
        (0..self.n).collect()
    }
}

fn close(relation: &mut [Vec<bool>]) {
    for via in 0..relation.len() {
        for a in 0..relation.len() {
            for b in 0..relation.len() {
                relation[a][b] |= relation[a][via] && relation[via][b];
            }
        }
    }
}

/// Compares a checker with a definition over many histories; both answers must be frequent.
fn compare(
    seed: u64,
    count: u32,
    judge: impl Fn(&RegisterHistory) -> Report,
    define: impl Fn(&RegisterHistory, &Facts) -> bool,
) {
    let mut random = Random::new(seed);
    let (mut holds, mut violated) = (0, 0);
    for _ in 0..rounds(count) {
        let history = random_history(&mut random);
        let facts = Facts::new(&history);
        let expected = define(&history, &facts);
        let report = judge(&history);
        let shown = || format!("{history:#?}\n{report}");
        assert_ne!(report.status(), Status::Unknown, "{}", shown());
        assert_eq!(report.holds(), expected, "{}", shown());
        *(if expected { &mut holds } else { &mut violated }) += 1;
    }
    let least = count / 20;
    assert!(least < holds && least < violated, "{holds} hold, {violated} are violated");
}

#[test]
fn sequential_consistency_is_what_lamport_says() {
    compare(
        41,
        4_000,
        |history| sequential(history, BUDGET).unwrap(),
        |_, facts| {
            facts.strange.is_empty()
                && facts.order_exists(&facts.all(), &|a, b| facts.session[a][b], &|order| {
                    facts.reads().all(|read| facts.returns_recent(order, read, 1))
                })
        },
    );
}

/// The past of an operation, itself included.
fn past(facts: &Facts, of: usize) -> Vec<usize> {
    (0..facts.n).filter(|at| *at == of || facts.causes[*at][of]).collect()
}

fn is_acyclic(facts: &Facts) -> bool {
    facts.strange.is_empty() && (0..facts.n).all(|at| !facts.causes[at][at])
}

#[test]
fn weak_causal_consistency_is_what_its_axiom_says() {
    compare(
        42,
        4_000,
        |history| causal(history, Causal::Weak, BUDGET).unwrap(),
        |_, facts| {
            is_acyclic(facts)
                && facts.reads().all(|read| {
                    facts.order_exists(&past(facts, read), &|a, b| facts.causes[a][b], &|order| {
                        facts.returns_recent(order, read, 1)
                    })
                })
        },
    );
}

#[test]
fn causal_memory_is_what_its_axiom_says() {
    compare(
        43,
        4_000,
        |history| causal(history, Causal::Memory, BUDGET).unwrap(),
        |_, facts| {
            is_acyclic(facts)
                && (0..facts.n).all(|of| {
                    let own: Vec<usize> = facts
                        .reads()
                        .filter(|read| *read == of || facts.session[*read][of])
                        .collect();
                    facts.order_exists(&past(facts, of), &|a, b| facts.causes[a][b], &|order| {
                        own.iter().all(|read| facts.returns_recent(order, *read, 1))
                    })
                })
        },
    );
}

/// Whether each read returns the latest write of its past in one order of everything.
fn converges(facts: &Facts, order: &[usize]) -> bool {
    facts.reads().all(|read| {
        let visible: Vec<usize> =
            order.iter().copied().filter(|at| *at == read || facts.causes[*at][read]).collect();
        facts.returns_recent(&visible, read, 1)
    })
}

#[test]
fn causal_convergence_is_what_its_axiom_says() {
    compare(
        44,
        4_000,
        |history| causal(history, Causal::Convergent, BUDGET).unwrap(),
        |_, facts| {
            is_acyclic(facts)
                && facts.order_exists(&facts.all(), &|a, b| facts.causes[a][b], &|order| {
                    converges(facts, order)
                })
        },
    );
}

#[test]
fn real_time_order_is_causal_convergence_by_the_clock() {
    compare(
        45,
        4_000,
        |history| real_time(history).unwrap(),
        |_, facts| {
            let writes = |a: usize, b: usize| facts.is_write[a] && facts.is_write[b];
            is_acyclic(facts)
                && facts.reads().all(|read| {
                    facts.source[read].is_none_or(|source| !facts.precedes(read, source))
                })
                && facts.order_exists(
                    &facts.all(),
                    &|a, b| facts.causes[a][b] || writes(a, b) && facts.precedes(a, b),
                    &|order| converges(facts, order),
                )
        },
    );
}

/// For one read: some order of the writes of its key and of it returns its value.
fn is_regular(facts: &Facts, read: usize) -> bool {
    let mut members: Vec<usize> = facts.writes_of(facts.key[read]).collect();
    members.push(read);
    !facts.strange.contains(&read)
        && facts.order_exists(&members, &|a, b| facts.precedes(a, b), &|order| {
            facts.returns_recent(order, read, 1)
        })
}

#[test]
fn regular_registers_are_what_each_read_alone_allows() {
    compare(
        46,
        6_000,
        |history| regular(history).unwrap(),
        |_, facts| facts.reads().all(|read| is_regular(facts, read)),
    );
}

#[test]
fn safe_registers_are_regular_where_nothing_overlaps() {
    compare(
        47,
        6_000,
        |history| safe(history).unwrap(),
        |history, facts| {
            facts.reads().all(|read| {
                let beside = history.operations.iter().any(|op| {
                    let end = op.outcome.returned().unwrap_or(u64::MAX);
                    matches!(op.input, Access::Write { key, .. } if key == facts.key[read])
                        && !matches!(op.outcome, Outcome::Failed { .. })
                        && op.call <= facts.end[read]
                        && facts.call[read] <= end
                });
                beside || is_regular(facts, read)
            })
        },
    );
}

/// Whether every key is `k`-atomic if reads begin `shift` earlier.
fn is_atomic(facts: &Facts, k: usize, shift: u64) -> bool {
    let call = |at: usize| match facts.is_write[at] {
        true => i128::from(facts.call[at]),
        false => i128::from(facts.call[at]) - i128::from(shift),
    };
    facts.strange.is_empty()
        && (0..2).all(|key| {
            let members: Vec<usize> = (0..facts.n).filter(|at| facts.key[*at] == key).collect();
            facts.order_exists(&members, &|a, b| i128::from(facts.end[a]) < call(b), &|order| {
                let mut reads = order.iter().filter(|at| !facts.is_write[**at]);
                reads.all(|read| facts.returns_recent(order, *read, k))
            })
        })
}

#[test]
fn k_atomicity_is_what_its_definition_says() {
    for k in 1..=3 {
        compare(
            48 + u64::from(k),
            2_000,
            |history| k_atomic(history, k, BUDGET).unwrap(),
            |_, facts| is_atomic(facts, k as usize, 0),
        );
    }
}

#[test]
fn staleness_time_is_the_smallest_shift_that_helps() {
    let mut random = Random::new(52);
    let mut seen = [0; 3];
    for _ in 0..rounds(3_000) {
        let history = random_history(&mut random);
        let facts = Facts::new(&history);
        let found = staleness_time(&history).unwrap();
        let smallest = (0..60).find(|shift| is_atomic(&facts, 1, *shift));
        assert_eq!(found, smallest, "{history:#?}");
        seen[match found {
            None => 0,
            Some(0) => 1,
            Some(_) => 2,
        }] += 1;
    }
    assert!(seen.iter().all(|seen| 100 < *seen), "{seen:?}");
}

/// Session guarantees by their definition: sets of shown writes, and one order of all writes.
fn guarantees_hold(facts: &Facts, guarantees: &[Guarantee]) -> bool {
    let has = |guarantee| guarantees.contains(&guarantee);
    let (own, grows) = (has(Guarantee::ReadYourWrites), has(Guarantee::MonotonicReads));
    let (writes, follows) = (has(Guarantee::MonotonicWrites), has(Guarantee::WritesFollowReads));
    // What must come with a write, before it.
    let brings = |write: usize| -> Vec<usize> {
        (0..facts.n)
            .filter(|at| facts.session[*at][write])
            .filter_map(|at| match facts.is_write[at] {
                true => writes.then_some(at),
                false => facts.source[at].filter(|_| follows),
            })
            .collect()
    };
    let shows = |read: usize| -> Vec<usize> {
        let mut shown: Vec<usize> = facts.source[read].into_iter().collect();
        for at in (0..facts.n).filter(|at| facts.session[*at][read]) {
            match facts.is_write[at] {
                true if own => shown.push(at),
                false if grows => shown.extend(facts.source[at]),
                _ => {}
            }
        }
        let mut next = 0;
        while next < shown.len() {
            for more in brings(shown[next]) {
                if !shown.contains(&more) {
                    shown.push(more);
                }
            }
            next += 1;
        }
        shown
    };
    let all: Vec<usize> = (0..facts.n).filter(|at| facts.is_write[*at]).collect();
    facts.strange.is_empty()
        && facts.order_exists(&all, &|_, _| false, &|order| {
            let place = |write: usize| order.iter().position(|at| *at == write).expect("all are");
            let latest = |read: usize| {
                let shown = shows(read);
                let mut same = shown.iter().filter(|at| facts.key[**at] == facts.key[read]);
                match facts.source[read] {
                    None => same.next().is_none(),
                    Some(source) => same.all(|write| place(*write) <= place(source)),
                }
            };
            all.iter().all(|write| brings(*write).iter().all(|b| place(*b) < place(*write)))
                && facts.reads().all(latest)
        })
}

#[test]
fn session_guarantees_are_what_terry_says_alone_and_together() {
    let mut random = Random::new(53);
    let (mut holds, mut violated) = ([0; 16], [0; 16]);
    for _ in 0..rounds(1_500) {
        let history = random_history(&mut random);
        let facts = Facts::new(&history);
        for set in 1..16usize {
            let guarantees: Vec<Guarantee> =
                (0..4).filter(|bit| set >> bit & 1 == 1).map(|bit| Guarantee::ALL[bit]).collect();
            let expected = guarantees_hold(&facts, &guarantees);
            let report = session_guarantees(&history, &guarantees, BUDGET).unwrap();
            assert_eq!(report.holds(), expected, "{guarantees:?} {history:#?}\n{report}");
            *(if expected { &mut holds[set] } else { &mut violated[set] }) += 1;
        }
    }
    assert!(holds[1..].iter().all(|count| 100 < *count), "{holds:?}");
    assert!(violated[1..].iter().all(|count| 20 < *count), "{violated:?}");
}

#[test]
fn the_models_imply_one_another() {
    let mut random = Random::new(54);
    for _ in 0..rounds(3_000) {
        let history = random_history(&mut random);
        let facts = Facts::new(&history);
        let sequential = sequential(&history, BUDGET).unwrap().holds();
        let kind = |kind| causal(&history, kind, BUDGET).unwrap().holds();
        let (weak, memory, convergent) =
            (kind(Causal::Weak), kind(Causal::Memory), kind(Causal::Convergent));
        assert!(!sequential || memory && convergent, "{history:#?}");
        assert!(!memory && !convergent || weak, "{history:#?}");
        let atomic = is_atomic(&facts, 1, 0);
        assert!(!atomic || regular(&history).unwrap().holds());
        assert!(!regular(&history).unwrap().holds() || safe(&history).unwrap().holds());
        for k in 1..3 {
            let holds = |k| k_atomic(&history, k, BUDGET).unwrap().holds();
            assert!(!holds(k) || holds(k + 1));
        }
    }
}

#[test]
fn a_small_budget_never_turns_an_answer_round() {
    let mut random = Random::new(55);
    let mut unknown = 0;
    for _ in 0..rounds(1_000) {
        let history = random_history(&mut random);
        let judge = |budget: Budget| {
            let mut reports = vec![
                sequential(&history, budget).unwrap(),
                causal(&history, Causal::Memory, budget).unwrap(),
                k_atomic(&history, 2, budget).unwrap(),
                session_guarantees(&history, &Guarantee::ALL, budget).unwrap(),
            ];
            for guarantee in Guarantee::ALL {
                reports.push(session_guarantees(&history, &[guarantee], budget).unwrap());
            }
            reports.iter().map(Report::status).collect::<Vec<Status>>()
        };
        let truth = judge(BUDGET);
        for budget in 0..6 {
            let short = Budget::configurations(budget);
            for (short, truth) in judge(short).into_iter().zip(&truth) {
                assert!(short == Status::Unknown || short == *truth, "{budget} {history:#?}");
                unknown += u32::from(short == Status::Unknown);
            }
        }
    }
    assert!(1_000 < unknown);
}
