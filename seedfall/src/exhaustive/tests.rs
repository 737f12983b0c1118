//! What the search meets, and what it breaks.

use super::*;
use crate::property::linearizable;
use crate::{Cluster, Expect, Horizon, Property, Reply, Swarm, Workload};
use seedfall_checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall_sim::{Context, Duration, Renamed, Renaming, SystemModel};

/// A register that one node keeps, and that others ask it for.
#[derive(Clone, Debug, Hash)]
struct Kept {
    value: u64,
    /// Those whose answers are on their way.
    asked: Vec<RequestId>,
}

impl Protocol for Kept {
    type Config = ();
    type Message = (RequestId, In<u64>, Option<Out<u64>>);
    type Timer = ();
    type Record = u64;
    type Request = In<u64>;
    type Response = Out<u64>;

    fn start(_: NodeId, _: &(), journal: &[u64], _: &mut Context<'_, Self>) -> Self {
        Self { value: journal.last().copied().unwrap_or(0), asked: Vec::new() }
    }

    fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<'_, Self>) {
        if ctx.id() == NodeId::new(0) {
            let answer = self.apply(&body, ctx);
            return ctx.respond(id, answer);
        }
        self.asked.push(id);
        ctx.send(NodeId::new(0), (id, body, None));
    }

    fn on_message(
        &mut self,
        from: NodeId,
        (id, body, answer): Self::Message,
        ctx: &mut Context<'_, Self>,
    ) {
        match answer {
            Some(answer) if self.asked.contains(&id) => {
                self.asked.retain(|one| *one != id);
                ctx.respond(id, answer);
            }
            Some(_) => ctx.ignore("answer: nobody waits for it"),
            None => {
                let answer = self.apply(&body, ctx);
                ctx.send(from, (id, body, Some(answer)));
            }
        }
    }
}

impl Kept {
    fn apply(&mut self, body: &In<u64>, ctx: &mut Context<'_, Self>) -> Out<u64> {
        match body {
            In::Write(value) => {
                self.value = *value;
                ctx.append(*value);
                ctx.sync();
                Out::Done
            }
            _ => Out::Value(self.value),
        }
    }
}

/// A small cluster of any protocol of a register.
fn small<P>(nodes: usize, properties: Vec<Property<P, In<u64>, Out<u64>>>) -> Small<P>
where
    P: Protocol<Config = (), Request = In<u64>, Response = Out<u64>>,
{
    Scenario {
        name: "small",
        story: "A register, or something like it.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(nodes, 2),
        config: (),
        workload: Workload::short(|_, _| In::Read, |_, input| input.clone(), Reply::Done),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties,
        expect: Expect::Holds,
    }
}

type Small<P> = Scenario<P, In<u64>, Out<u64>>;

fn kept(nodes: usize) -> Small<Kept> {
    small(nodes, vec![linearizable(Register { initial: 0 })])
}

#[test]
fn every_state_of_a_small_cluster_is_met_once() {
    // One client at n2: not asked; the question is on its way; the answer is; done.
    let found = Exhaustive::of(&kept(2)).call(0, Some(1), In::Write(1)).run();
    assert_eq!((found.extent, found.counterexample), (Extent::Complete, None));
    assert_eq!((found.states, found.steps, found.depth, found.ends), (4, 3, 3, (1, 0)));

    // Two clients, each at a node of its own, with values of their own: the two are four states
    // each, which do not meet but in the register. It is 0, then the first's, then the second's.
    let found = Exhaustive::of(&kept(3))
        .call(0, Some(1), In::Write(1))
        .call(1, Some(2), In::Write(2))
        .run();
    assert_eq!((found.extent, found.counterexample.is_none()), (Extent::Complete, true));
    assert_eq!(found.states, count_by_hand());
}

/// The same cluster, by a search that knows no more than what the protocol says.
fn count_by_hand() -> u32 {
    // Each client: 0 not asked, 1 on its way, 2 applied, 3 over; the register; who was over as the
    // other was called.
    type State = ([u8; 2], u8, [bool; 2]);
    let mut seen: std::collections::BTreeSet<State> = [([0, 0], 0, [false, false])].into();
    let mut todo: Vec<State> = seen.iter().copied().collect();
    while let Some((at, value, after)) = todo.pop() {
        for client in 0..2 {
            if at[client] == 3 {
                continue;
            }
            let (mut at, mut value, mut after) = (at, value, after);
            if at[client] == 0 {
                after[client] = at[1 - client] == 3;
            }
            at[client] += 1;
            if at[client] == 2 {
                value = client as u8 + 1;
            }
            if seen.insert((at, value, after)) {
                todo.push((at, value, after));
            }
        }
    }
    seen.len() as u32
}

#[test]
fn what_is_answered_before_it_is_safe_is_lost_by_the_fewest_steps() {
    /// Answers first, and writes down afterwards.
    #[derive(Clone, Debug, Hash)]
    struct Hasty(u64);
    impl Protocol for Hasty {
        type Config = ();
        type Message = ();
        type Timer = u8;
        type Record = u64;
        type Request = In<u64>;
        type Response = Out<u64>;
        fn start(_: NodeId, _: &(), journal: &[u64], ctx: &mut Context<'_, Self>) -> Self {
            ctx.set_timer(7, Duration::secs(1));
            Self(journal.last().copied().unwrap_or(0))
        }
        fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<'_, Self>) {
            let In::Write(value) = body else { return ctx.respond(id, Out::Value(self.0)) };
            self.0 = value;
            ctx.append(value);
            ctx.respond(id, Out::Done);
            ctx.sync();
        }
        fn on_timer(&mut self, _: u8, ctx: &mut Context<'_, Self>) {
            ctx.set_timer(7, Duration::secs(1));
            ctx.reach("the timer rang");
        }
    }
    let scenario = || small::<Hasty>(1, vec![linearizable(Register { initial: 0 })]);
    let search = |bounds| {
        Exhaustive::of(&scenario())
            .call(0, None, In::Write(1))
            .call(0, None, In::Read)
            .bounds(bounds)
    };
    let crash = Bounds { crashes: 1, timers: Bounds::ANY, ..Bounds::NONE };
    let found = search(crash).run();
    let broken = found.counterexample.expect("the answer is out before the record is safe");
    assert_eq!(broken.property, "linearizable");
    let told: Vec<&str> = broken.steps.iter().map(String::as_str).collect();
    let inside = "c1 asks n1; 2 effects later it crashes, and loses what is not synced";
    assert_eq!(told, [inside, "n1 comes up", "c1 asks n1"], "{broken:?}");
    assert_eq!(broken.effects[2], ["c1#1 asks Read", "answers c1#1 Value(0)"]);

    // The same steps, by their words, break the same.
    assert_eq!(search(crash).replay(&broken.steps).as_ref(), Ok(&broken));
    let cut = search(crash).replay(&broken.steps[..2]);
    assert_eq!(cut, Err(ReplayError::NothingBroken));
    let wrong = search(crash).replay(&["n7 sings"]);
    assert!(matches!(wrong, Err(ReplayError::Impossible { index: 0, .. })), "{wrong:?}");

    // Between two events there is nothing to lose, and no crash is no loss either.
    let outside = search(Bounds { crashes_inside: false, ..crash }).run();
    assert_eq!((outside.extent, outside.counterexample), (Extent::Complete, None));
    assert_eq!(outside.marks, [("the timer rang", outside.marks[0].1)]);
    assert_eq!(search(Bounds::NONE).run().counterexample, None);
    let shallow = search(Bounds { depth: 2, ..crash }).run();
    assert_eq!((shallow.extent, shallow.counterexample), (Extent::Depth(2), None));
    let few = search(Bounds { states: 3, ..crash }).run();
    assert!(matches!(few.extent, Extent::States(_)), "{few:?}");
}

#[test]
fn a_copy_of_a_message_arrives_again_and_a_panic_is_a_broken_property() {
    #[derive(Clone, Debug, Hash)]
    struct Counts(u64);
    impl Protocol for Counts {
        type Config = ();
        type Message = ();
        type Timer = ();
        type Record = ();
        type Request = In<u64>;
        type Response = Out<u64>;
        fn start(_: NodeId, _: &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
            Self(0)
        }
        fn on_request(&mut self, _: RequestId, _: In<u64>, ctx: &mut Context<'_, Self>) {
            ctx.broadcast(());
        }
        fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {
            self.0 += 1;
            assert!(self.0 < 3, "three of one");
        }
    }
    let scenario = small::<Counts>(2, vec![]);
    let with = |duplicates| {
        let bounds = Bounds { duplicates, ..Bounds::NONE };
        Exhaustive::of(&scenario).call(0, Some(0), In::Read).bounds(bounds).run()
    };
    assert_eq!(with(0).counterexample, None);
    assert_eq!((with(0).states, with(1).states), (3, 5));
    let broken = with(2).counterexample.expect("the third panics");
    assert_eq!(broken.property, crate::NEVER_PANICS);
    assert!(broken.explanation.starts_with("three of one ("), "{}", broken.explanation);
    assert_eq!(broken.steps.len(), 4);
    assert_eq!(broken.steps[1], "n2 receives a copy of () from n1");
}

#[test]
fn bounds_that_make_no_sense_are_named() {
    let wrong = Bounds { crashes: 300, ..Bounds::NONE }.validate();
    assert_eq!(wrong, Err("`crashes` is 300; expected up to 254, or no bound".to_owned()));
    assert!(Bounds { timers: Bounds::ANY, ..Bounds::NONE }.validate().is_ok());
    assert!(Bounds { states: Bounds::ANY, ..Bounds::NONE }.validate().is_err());
    let words = Bounds { timers: Bounds::ANY, crashes: 1, duplicates: 2, ..Bounds::NONE };
    assert_eq!(words.to_string(), "any number of timers, 1 crash, 2 copies, any losses");
    let words = Bounds { crashes: 2, crashes_inside: false, ..Bounds::NONE }.to_string();
    assert_eq!(words, "0 timers, 2 crashes between two events, 0 copies, any losses");
}

#[test]
fn nodes_that_are_alike_trade_places() {
    /// Tells everybody what it is asked to write; nobody answers.
    #[derive(Clone, Debug, Hash)]
    struct Told(u64);
    impl Renamed for Told {
        fn renamed(&self, _: &Renaming) -> Self {
            self.clone()
        }
    }
    impl Protocol for Told {
        type Config = ();
        type Message = u64;
        type Timer = ();
        type Record = ();
        type Request = In<u64>;
        type Response = Out<u64>;
        fn start(_: NodeId, _: &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
            Self(0)
        }
        fn on_request(&mut self, _: RequestId, body: In<u64>, ctx: &mut Context<'_, Self>) {
            if let In::Write(value) = body {
                ctx.broadcast(value);
            }
        }
        fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<'_, Self>) {
            self.0 = value;
            assert!(value < 2, "too much");
        }
    }
    let scenario = small::<Told>(4, vec![]);
    let search = |value| Exhaustive::of(&scenario).call(0, Some(0), In::Write(value));
    // Not asked yet, and each set of the three that have heard; or how many have.
    assert_eq!(search(1).run().states, 1 + 8);
    assert_eq!(search(1).alike(&[1, 2, 3]).run().states, 1 + 4);
    assert_eq!(search(1).alike(&[1, 3]).run().states, 1 + 2 * 3);
    // Whom a handler that was cut off has sent to is told by names: such crashes are left out.
    let crash = Bounds { crashes: 1, ..Bounds::NONE };
    assert!(search(1).bounds(crash).run().bounds.crashes_inside);
    assert!(!search(1).bounds(crash).alike(&[1, 2]).run().bounds.crashes_inside);
    // What is broken is told of the nodes that it happens to.
    let broken = search(2).alike(&[1, 2, 3]).run().counterexample.expect("the first panics");
    assert_eq!(broken.steps.len(), 2);
    assert_eq!(search(2).replay(&broken.steps).map(|again| again.steps), Ok(broken.steps));
}
