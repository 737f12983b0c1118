//! 03: a property and a model of one's own.
//!
//! You learn: a sequential [`Model`] for an object that no library knows, three kinds of property
//! beside it, and scenarios made in a loop.
//!
//! A node hands out tickets, 1, 2, 3 and so on; each is given to one client. If it does not wait
//! until what it wrote down is durable, a crash makes it hand out the same ones again.
//!
//! `cargo run -p seedfall --example 03_own_model` shows the failure.

#![allow(clippy::print_stdout, reason = "an example prints")]

use seedfall::prelude::*;

/// What one correct dispenser would answer: the next ticket.
struct Dispenser;

impl Model for Dispenser {
    type Input = ();
    type Output = u64;
    /// The last ticket that it gave.
    type State = u64;
    type Key = ();

    fn initial(&self) -> u64 {
        0
    }

    /// The state after an operation; `None`: it cannot have answered so. Who heard no answer may
    /// have been given a ticket or not.
    fn step(&self, last: &u64, (): &(), ticket: Option<&u64>) -> Option<u64> {
        let next = last + 1;
        ticket.is_none_or(|ticket| *ticket == next).then_some(next)
    }
}

/// The node that hands out tickets.
struct Node {
    is_durable: bool,
    /// To whom each ticket was given, the first at 0. A client that hears nothing asks again.
    given: Vec<RequestId>,
}

impl Protocol for Node {
    /// Whether it syncs before it answers.
    type Config = bool;
    type Message = ();
    type Timer = ();
    type Record = RequestId;
    type Request = ();
    type Response = u64;

    fn start(_: NodeId, is_durable: &bool, journal: &[RequestId], _: &mut Context<Self>) -> Self {
        Self { is_durable: *is_durable, given: journal.to_vec() }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        let place = self.given.iter().position(|given| *given == request);
        let place = place.unwrap_or_else(|| {
            self.given.push(request);
            ctx.append(request);
            self.given.len() - 1
        });
        if self.is_durable {
            ctx.sync();
        }
        ctx.respond(request, place as u64 + 1);
    }
}

fn scenario(is_durable: bool, clients: usize) -> Scenario<Node, (), u64> {
    let most = clients as u64 * 11; // Ten operations of each client, and a final one.
    let scenario = Scenario {
        name: "tickets",
        story: "A node hands out tickets.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, clients),
        config: is_durable,
        workload: Workload::short(|_, _| (), |_, ()| (), Reply::Done),
        // At most so many, or so likely in a million; each seed draws some of them, or none.
        faults: Swarm { crashes: 4, pauses: 2, loss: 100_000, duplicate: 50_000, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties: vec![
            // The model: the search finds an order in which one dispenser answers like this.
            linearizable(Dispenser),
            // A check of the history; it captures what it needs. Answers: true or false.
            always("no ticket is beyond the last", move |history: &History<(), u64>| {
                let tickets = history.operations.iter().filter_map(|one| one.outcome.output());
                tickets.max().is_none_or(|greatest| *greatest <= most)
            }),
            // A condition on a node, looked at whenever it may have changed. The error says why.
            invariant("who asks twice is given one ticket", |node, state: &Node| {
                let twice = |place: &usize| state.given[..*place].contains(&state.given[*place]);
                match (0..state.given.len()).find(twice) {
                    Some(place) => Err(format!("{node} gave {} two tickets", state.given[place])),
                    None => Ok(()),
                }
            }),
            // After the faults have stopped, all nodes are up, sooner or later.
            eventually("the dispenser is up", |nodes: &[Option<&Node>]| nodes[0].is_some()),
        ],
        expect: Expect::Holds,
    };
    // A name may be made up as the test runs.
    scenario.named(format!("tickets-for-{clients}"))
}

#[test]
fn a_ticket_that_is_not_durable_is_given_twice() {
    let why = seedfall::testing::check_seeds(&scenario(false, 3), 0..500);
    assert!(why.expect_err("it fails").starts_with("tickets-for-3: a property is violated"));
}

#[test]
fn durable_tickets_are_given_once() {
    for clients in 1..4 {
        check(scenario(true, clients));
    }
}

fn main() {
    for is_durable in [false, true] {
        match seedfall::testing::check_seeds(&scenario(is_durable, 3), 0..500) {
            Ok(()) => println!("durable: {is_durable}: 500 seeds, every property holds"),
            Err(failure) => println!("durable: {is_durable}:\n{failure}\n"),
        }
    }
}
