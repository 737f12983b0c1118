//! Clients by hand: told what happens, asked what they want done.

use super::*;
use crate::workload::forgetful;
use seedfall_sim::Seed;

const POLICY: ClientPolicy = ClientPolicy {
    operations: Some(2),
    final_operations: 2,
    final_at: Time::from_nanos(1_000_000_000),
    think: Delay::Fixed(Duration::millis(10)),
    patience: Duration::millis(100),
    retry_after: Duration::millis(5),
    attempts: 3,
    at_most_once: false,
    must_complete: true,
};

const NODES: usize = 3;

/// One client of three nodes, its timers, and what it asks for by way of input: its phase.
struct ByHand {
    clients: Clients<Phase, ()>,
    draws: Draws,
    timers: Timers,
    now: Time,
}

const ME: ClientId = ClientId::new(0);

impl ByHand {
    fn new(policy: ClientPolicy) -> Self {
        let generate: Generate<Phase, ()> = forgetful(|invocation, _| invocation.phase);
        let mut one = Self {
            clients: Clients::new(policy, generate, (NODES, 1)),
            draws: Draws::new(Seed(1), NODES, 1),
            timers: Timers::new(),
            now: Time::ZERO,
        };
        assert_eq!(one.tell(Event::Started), None, "it thinks first");
        one
    }

    /// Whom it asks then.
    fn tell(&mut self, event: Event<()>) -> Option<NodeId> {
        let mut actions = Vec::new();
        self.clients.handle(ME, self.now, event, &mut self.draws, &mut actions);
        self.timers.take(self.now, &actions).map(|(node, _)| node)
    }

    /// Waits for the next timer; says which, and whom the client asks then.
    fn wait(&mut self) -> (Waiting, Option<NodeId>) {
        let (at, waiting) = self.timers.next().expect("it is not done");
        self.now = self.now.max(at);
        self.timers.fired(waiting);
        (waiting, self.tell(Event::Fired(waiting)))
    }

    fn answer(&mut self, from: NodeId, reply: Reply<()>) -> Option<NodeId> {
        let number = self.clients.clients[0].number;
        self.tell(Event::Answered { from, number, reply })
    }

    /// Calls the next operation, and has it done at once.
    fn operate(&mut self) -> Phase {
        let (waiting, node) = self.wait();
        assert_eq!(waiting, Waiting::Think);
        self.answer(node.expect("it asks"), Reply::Done(()));
        self.clients.history().operations.last().expect("it was called").input
    }

    fn outcomes(&self) -> Vec<&'static str> {
        let outcome = |one: &Operation<Phase, ()>| match one.outcome {
            seedfall_checkers::Outcome::Ok { .. } => "done",
            seedfall_checkers::Outcome::Failed { .. } => "failed",
            seedfall_checkers::Outcome::Indeterminate => "unknown",
        };
        self.clients.history().operations.iter().map(outcome).collect()
    }
}

#[test]
fn a_client_without_draws_asks_every_node_in_turn() {
    let last = DRAWS as u32 - 2;
    let asked = |attempt| whom(3, attempt, 5).index();
    assert_eq!([1, 2, last - 1, last].map(asked), [3; 4], "as drawn");
    let asked: Vec<usize> = (last + 1..last + 6).map(asked).collect();
    assert_eq!(asked, [4, 0, 1, 2, 3]);
}

#[test]
fn final_operations_wait_for_the_faults_to_stop_and_know_that_they_are_final() {
    let mut one = ByHand::new(POLICY);
    assert_eq!([one.operate(), one.operate()], [Phase::Faults; 2]);
    assert!(one.now < POLICY.final_at);
    let [third, fourth] = [one.operate(), one.operate()];
    assert_eq!(third, Phase::Final { nth: 0, of: 2 });
    assert_eq!(fourth, Phase::Final { nth: 1, of: 2 });
    assert!(POLICY.final_at < one.now);
    assert!(one.clients.is_done() && one.timers.next().is_none());
    assert_eq!(one.clients.completed(), 4);
}

#[test]
fn where_nobody_knows_when_faults_stop_operations_go_on_until_they_do() {
    let mut one = ByHand::new(ClientPolicy { operations: None, ..POLICY });
    for _ in 0..500 {
        assert_eq!(one.operate(), Phase::Faults);
    }
    // One is open: it is called while faults last, whenever it ends.
    let (_, node) = one.wait();
    one.clients.end_faults(one.now);
    one.answer(node.expect("it asks"), Reply::Done(()));
    assert_eq!(one.clients.history().operations[500].input, Phase::Faults);
    assert_eq!(one.operate(), Phase::Final { nth: 0, of: 2 });
    assert_eq!(one.operate(), Phase::Final { nth: 1, of: 2 });
    assert!(one.clients.is_done());
    // And without final ones it ends while it thinks.
    let policy = ClientPolicy { operations: None, final_operations: 0, ..POLICY };
    let mut one = ByHand::new(policy);
    one.operate();
    one.clients.end_faults(one.now);
    assert_eq!(one.wait(), (Waiting::Think, None));
    assert!(one.clients.is_done());
}

#[test]
fn it_asks_again_and_gives_up_unless_the_operation_is_final_and_must_complete() {
    let silence = |policy: ClientPolicy| {
        let mut one = ByHand::new(policy);
        let mut asked = 0;
        while one.timers.next().is_some() && asked < 1_000 {
            asked += usize::from(one.wait().1.is_some());
        }
        (asked, one.outcomes(), one.clients.is_done())
    };
    let (asked, outcomes, is_done) = silence(POLICY);
    assert_eq!((asked, is_done), (1_000, false), "it does not give up");
    assert_eq!(outcomes, ["unknown"; 3], "two given up, the first final one open");
    let (asked, outcomes, is_done) = silence(ClientPolicy { must_complete: false, ..POLICY });
    assert_eq!((asked, is_done), (12, true), "four operations, three attempts each");
    assert_eq!(outcomes, ["unknown"; 4]);
}

#[test]
fn it_goes_where_it_is_sent_but_not_at_once() {
    let mut one = ByHand::new(POLICY);
    let (_, asked) = one.wait();
    let asked = asked.expect("it asks");
    let other = NodeId::new((asked.index() as u16 + 1) % NODES as u16);
    assert_eq!(one.answer(asked, Reply::Elsewhere(Some(other))), None);
    assert_eq!(one.wait(), (Waiting::Retry, Some(other)));
    one.answer(other, Reply::Done(()));
    // It stays with who answered.
    assert_eq!(one.wait(), (Waiting::Think, Some(other)));
    // What is late is not for this operation.
    let late = Event::Answered { from: other, number: 0, reply: Reply::Done(()) };
    assert_eq!(one.tell(late), None);
    assert_eq!(one.outcomes(), ["done", "unknown"]);
}

#[test]
fn what_certainly_did_not_arrive_did_not_happen() {
    let lost = |may_have_arrived, policy: ClientPolicy| {
        let mut one = ByHand::new(policy);
        let mut asked = 1;
        one.wait();
        while one.clients.clients[0].number == 0 {
            assert_eq!(one.tell(Event::Lost { may_have_arrived }), None);
            let (waiting, node) = one.wait();
            assert_eq!(waiting, Waiting::Retry);
            asked += usize::from(node.is_some());
        }
        (asked, one.outcomes()[0])
    };
    assert_eq!(lost(false, POLICY), (3, "failed"));
    assert_eq!(lost(true, POLICY), (3, "unknown"));
    // What may have been carried out is not said again to whom would carry it out twice.
    let once = ClientPolicy { at_most_once: true, ..POLICY };
    assert_eq!(lost(false, once), (3, "failed"));
    assert_eq!(lost(true, once), (1, "unknown"));
}

#[test]
fn at_most_once_a_node_that_cannot_help_has_done_nothing() {
    let once = ClientPolicy { at_most_once: true, attempts: 2, ..POLICY };
    let mut one = ByHand::new(once);
    let (_, asked) = one.wait();
    one.answer(asked.expect("it asks"), Reply::Elsewhere(None));
    let (_, asked) = one.wait();
    one.answer(asked.expect("it asks again"), Reply::Elsewhere(None));
    assert_eq!(one.wait(), (Waiting::Retry, None));
    assert_eq!(one.outcomes(), ["failed"]);
    // Silence is another matter: not even a final operation is asked for again.
    let mut one = ByHand::new(ClientPolicy { operations: Some(0), ..once });
    one.wait();
    assert_eq!(one.wait(), (Waiting::Answer, None));
    assert_eq!(one.outcomes(), ["unknown"]);
}

/// Every address that an operation can use, and those next to them: each names its own decision.
#[test]
fn no_two_decisions_share_an_address() {
    let mut subjects = BTreeSet::new();
    let mut count = 0;
    for number in [0, 1, 2, 1_000, u32::MAX - 1, u32::MAX] {
        for k in 0..DRAWS {
            subjects.insert(subject(ME, address(number, k)));
            count += 1;
        }
    }
    let mut draws = Draws::new(Seed(1), NODES, 1);
    draws.keep_log();
    for number in [0, 1, 2, 1_000, u32::MAX - 1, u32::MAX] {
        let mut choices = Choices::new(&mut draws, Site::Client(ME), address(number, 1));
        for _ in 0..1_000 {
            choices.word();
        }
    }
    for (address, _) in draws.log() {
        count += usize::from(subjects.insert(subject(ME, address.index)));
    }
    assert_eq!((subjects.len(), count), (6 * (64 + 249), 6 * (64 + 249)));
}
