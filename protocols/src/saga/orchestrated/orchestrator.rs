//! The orchestrator: begin, go forward, turn back, end, tell; and where it was after a crash.

use super::super::{Config, Isolation, Kind, Outcome, Plan, SagaId, Step, StepIndex};
use super::{Message, Node, Record, Response, Timer, service_of};
use seedfall_sim::{Context, NodeId, RequestId, SortedMap, SortedSet};

/// The node that keeps the plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Orchestrator {
    nodes: usize,
    config: Config,
    /// Durable, but for what it knows of steps.
    running: SortedMap<SagaId, Running>,
    /// Durable: the sagas that have ended, and how.
    ended: SortedMap<SagaId, (Plan, Outcome)>,
}

/// A saga that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running {
    plan: Plan,
    phase: Phase,
    /// Who waits for its end, if anybody asked in this life.
    request: Option<RequestId>,
    /// The steps that are known to have taken place.
    done: SortedSet<StepIndex>,
    /// The steps of which nothing stands nor ever will.
    undone: SortedSet<StepIndex>,
    /// The services that know of the end.
    settled: SortedSet<NodeId>,
    /// How often it asked since something changed.
    asked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// The steps of this stage are under way.
    Forward(usize),
    /// The compensations of this stage are under way.
    Backward(usize),
    /// It is completed, and the client was told; the services are.
    Settling,
}

/// The orchestrator: begin, go forward.
impl Orchestrator {
    /// The request names the saga: asked for twice, it runs once.
    pub(super) fn on_run(
        &mut self,
        request: RequestId,
        saga: SagaId,
        plan: Plan,
        ctx: &mut Context<'_, Node>,
    ) {
        if let Some((_, outcome)) = self.ended.get(&saga) {
            ctx.reach("run: a retry was answered without a second run");
            return ctx.respond(request, Response::Ended(*outcome));
        }
        if let Some(running) = self.running.get_mut(&saga) {
            running.request = Some(request);
            return ctx.ignore("run: under way");
        }
        let later = |known: &SagaId| known.client == saga.client && saga.sequence < known.sequence;
        if self.ended.keys().chain(self.running.keys()).any(later) {
            return ctx.ignore("run: its client has gone on");
        }
        if let Err(error) = plan.check() {
            panic!("the saga cannot be carried out: {error}");
        }
        ctx.append(Record::Began { saga, plan: plan.clone() });
        ctx.sync();
        self.running.insert(saga, Running { request: Some(request), ..Running::new(plan) });
        self.ask(saga, ctx);
    }

    pub(super) fn on_done(&mut self, saga: SagaId, index: StepIndex, ctx: &mut Context<'_, Node>) {
        let Some(running) = self.running.get_mut(&saga) else {
            return ctx.ignore("done: the saga has ended");
        };
        if !matches!(running.phase, Phase::Forward(_)) {
            return ctx.ignore("done: the saga does not go forward any more");
        }
        if running.done.insert(index) {
            ctx.append(Record::Done { saga, index });
            self.advance(saga, ctx);
        }
    }

    /// Goes on to the next stage once all steps of this one have taken place. That is forced before
    /// anything of the next is asked for: a restart that thought itself in an earlier stage would
    /// turn back from there, past steps that stand, or past the pivot.
    fn advance(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        while self.running[&saga].missing().is_empty() {
            let running = self.running_mut(saga);
            let Phase::Forward(stage) = running.phase else {
                unreachable!("{:?} is not forward", running.phase);
            };
            if stage + 1 == running.plan.stages.len() {
                return self.end(saga, Outcome::Completed, ctx);
            }
            running.phase = Phase::Forward(stage + 1);
            running.asked = 0;
            ctx.sync();
            self.ask(saga, ctx);
        }
    }

    /// A step that may be refused is: the saga turns back.
    pub(super) fn on_refused(
        &mut self,
        saga: SagaId,
        index: StepIndex,
        ctx: &mut Context<'_, Node>,
    ) {
        let Some(running) = self.running.get_mut(&saga) else {
            return ctx.ignore("refused: the saga has ended");
        };
        if !matches!(running.phase, Phase::Forward(_)) {
            return ctx.ignore("refused: the saga does not go forward any more");
        }
        running.undone.insert(index);
        self.turn_back(saga, ctx);
    }

    /// Backward recovery (section 3): from the stage that is under way to the first.
    fn turn_back(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        let running = self.running_mut(saga);
        let Phase::Forward(stage) = running.phase else {
            unreachable!("a saga turns back once");
        };
        assert_ne!(running.plan.kind(stage), Kind::Retriable, "it has passed its pivot");
        running.phase = Phase::Backward(stage);
        running.asked = 0;
        ctx.append(Record::TurnedBack { saga });
        ctx.sync();
        self.ask(saga, ctx);
        self.retreat(saga, ctx);
    }
}

/// The orchestrator: go back, end, tell.
impl Orchestrator {
    pub(super) fn on_undone(
        &mut self,
        saga: SagaId,
        index: StepIndex,
        ctx: &mut Context<'_, Node>,
    ) {
        let running = self.running.get_mut(&saga);
        let Some(running) = running.filter(|one| matches!(one.phase, Phase::Backward(_))) else {
            return ctx.ignore("undone: the saga has ended");
        };
        running.undone.insert(index);
        self.retreat(saga, ctx);
    }

    /// Goes back, stage by stage, as far as nothing stands.
    fn retreat(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        while self.running[&saga].missing().is_empty() {
            let running = self.running_mut(saga);
            running.phase = match running.phase {
                Phase::Backward(0) => return self.end(saga, Outcome::Compensated, ctx),
                Phase::Backward(stage) => Phase::Backward(stage - 1),
                phase => unreachable!("{phase:?} is not backward"),
            };
            running.asked = 0;
            self.ask(saga, ctx);
        }
    }

    fn end(&mut self, saga: SagaId, outcome: Outcome, ctx: &mut Context<'_, Node>) {
        ctx.append(Record::Ended { saga, outcome });
        ctx.sync();
        let running = self.running_mut(saga);
        running.phase = Phase::Settling;
        running.asked = 0;
        let (request, plan) = (running.request.take(), running.plan.clone());
        self.ended.insert(saga, (plan, outcome));
        if let Some(request) = request {
            ctx.respond(request, Response::Ended(outcome));
        }
        if outcome == Outcome::Completed && self.config.isolation == Isolation::SemanticLock {
            self.ask(saga, ctx);
            self.forget_if_settled(saga, ctx);
        } else {
            self.forget(saga, ctx);
        }
    }

    pub(super) fn on_settled(&mut self, from: NodeId, saga: SagaId, ctx: &mut Context<'_, Node>) {
        let Some(running) = self.running.get_mut(&saga) else {
            return ctx.ignore("settled: all know");
        };
        assert_eq!(running.phase, Phase::Settling, "only what has ended is settled");
        running.settled.insert(from);
        self.forget_if_settled(saga, ctx);
    }

    fn forget_if_settled(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        if self.running[&saga].unsettled(self.nodes).is_empty() {
            ctx.append(Record::Forgotten { saga });
            self.forget(saga, ctx);
        }
    }

    fn forget(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        self.running.remove(&saga);
        ctx.cancel_timer(Timer::Retry(saga));
    }
}

/// The orchestrator: ask, ask again, come back.
impl Orchestrator {
    /// Asks for everything that is missing in this phase, for the first time or again.
    fn ask(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        let (nodes, config) = (self.nodes, self.config.clone());
        let running = self.running_mut(saga);
        running.asked += 1;
        for index in running.missing() {
            let step = running.plan.step(index).clone();
            let service = service_of(&step.account, nodes);
            ctx.send(
                service,
                match running.phase {
                    Phase::Forward(_) => Message::Do { saga, index, step },
                    Phase::Backward(_) => Message::Undo { saga, index, step },
                    Phase::Settling => unreachable!("no step of it is missing"),
                },
            );
        }
        for service in running.unsettled(nodes) {
            ctx.send(service, Message::Settle { saga });
        }
        ctx.set_timer(Timer::Retry(saga), config.backoff(running.asked));
    }

    pub(super) fn on_retry(&mut self, saga: SagaId, ctx: &mut Context<'_, Node>) {
        let attempts = self.config.attempts;
        let running = self.running_mut(saga);
        if let Phase::Forward(stage) = running.phase
            && running.plan.kind(stage) == Kind::Compensatable
            && attempts <= running.asked
        {
            ctx.reach("timeout: a step whose fate is unknown is compensated");
            return self.turn_back(saga, ctx);
        }
        if let Phase::Backward(_) = running.phase {
            ctx.reach("backward: a compensation is asked for again");
        }
        self.ask(saga, ctx);
    }

    /// Takes up every saga that has not ended, where the journal leaves it.
    pub(super) fn resume(&mut self, ctx: &mut Context<'_, Node>) {
        ctx.set_timer(Timer::Flush, self.config.flush_interval);
        for saga in Vec::from_iter(self.running.keys().copied()) {
            match self.running[&saga].phase {
                Phase::Forward(_) => {
                    ctx.reach("recovery: a saga goes on forward");
                    self.ask(saga, ctx);
                    self.advance(saga, ctx);
                }
                Phase::Backward(_) => {
                    ctx.reach("recovery: a saga goes on backward");
                    self.ask(saga, ctx);
                    self.retreat(saga, ctx);
                }
                Phase::Settling => self.ask(saga, ctx),
            }
        }
    }

    /// What the journal says. That a step of the stage under way is done may be missing: it will be
    /// asked for again.
    pub(super) fn recover(journal: &[Record], nodes: usize, config: &Config) -> Self {
        let (mut running, mut ended) = (SortedMap::<SagaId, Running>::new(), SortedMap::new());
        let known = "a saga begins before anything happens to it";
        for record in journal {
            match record {
                Record::Began { saga, plan } => {
                    running.insert(*saga, Running::new(plan.clone()));
                }
                Record::Done { saga, index } => {
                    let one = running.get_mut(saga).expect(known);
                    one.done.insert(*index);
                    while let Phase::Forward(stage) = one.phase
                        && one.missing().is_empty()
                        && stage + 1 < one.plan.stages.len()
                    {
                        one.phase = Phase::Forward(stage + 1);
                    }
                }
                Record::TurnedBack { saga } => {
                    let one = running.get_mut(saga).expect(known);
                    let Phase::Forward(stage) = one.phase else {
                        unreachable!("a saga turns back once");
                    };
                    one.phase = Phase::Backward(stage);
                }
                Record::Ended { saga, outcome } => {
                    let mut one = running.remove(saga).expect(known);
                    ended.insert(*saga, (one.plan.clone(), *outcome));
                    let locks = config.isolation == Isolation::SemanticLock;
                    if locks && *outcome == Outcome::Completed {
                        one.phase = Phase::Settling;
                        running.insert(*saga, one);
                    }
                }
                Record::Forgotten { saga } => drop(running.remove(saga)),
                Record::Entered(_) => unreachable!("the orchestrator keeps no accounts"),
            }
        }
        Self { nodes, config: config.clone(), running, ended }
    }

    pub(super) fn on_flush(&mut self, ctx: &mut Context<'_, Node>) {
        ctx.sync();
        ctx.set_timer(Timer::Flush, self.config.flush_interval);
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn directions(&self) -> impl Iterator<Item = (SagaId, bool)> {
        let turns_back = |one: &Running| matches!(one.phase, Phase::Backward(_));
        self.running.iter().map(move |(saga, one)| (*saga, turns_back(one)))
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = (SagaId, &Plan, Outcome)> {
        self.ended.iter().map(|(saga, (plan, outcome))| (*saga, plan, *outcome))
    }

    pub(super) fn unfinished(&self) -> Option<String> {
        let (saga, running) = self.running.first_key_value()?;
        Some(format!("saga {saga} is at {:?}", running.phase))
    }

    /// For whom each saga that is not over waits, for people.
    pub(super) fn waits(&self) -> String {
        let one = |(saga, running): (&SagaId, &Running)| {
            let step = |index| {
                let service = service_of(&running.plan.step(index).account, self.nodes);
                format!("step {index} of {service}")
            };
            let steps = running.missing().into_iter().map(step);
            let services = running.unsettled(self.nodes).into_iter();
            let lacks: Vec<String> = steps.chain(services.map(|one| one.to_string())).collect();
            let does = match running.phase {
                Phase::Forward(_) => "goes forward: for",
                Phase::Backward(_) => "turns back: for the compensation of",
                Phase::Settling => "has ended: for its settling at",
            };
            format!("saga {saga} {does} {}", lacks.join(", "))
        };
        self.running.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    fn running_mut(&mut self, saga: SagaId) -> &mut Running {
        self.running.get_mut(&saga).expect("the saga is not over")
    }
}

impl Running {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            phase: Phase::Forward(0),
            request: None,
            done: SortedSet::new(),
            undone: SortedSet::new(),
            settled: SortedSet::new(),
            asked: 0,
        }
    }

    /// The steps of the stage under way that are not known to be done, or undone.
    fn missing(&self) -> Vec<StepIndex> {
        let (stage, known) = match self.phase {
            Phase::Forward(stage) => (stage, &self.done),
            Phase::Backward(stage) => (stage, &self.undone),
            Phase::Settling => return Vec::new(),
        };
        // A pivot is not compensated: it was refused, or not asked for.
        let backward = matches!(self.phase, Phase::Backward(_));
        let counts = |step: &Step| !backward || step.kind == Kind::Compensatable;
        let steps =
            self.plan.stage(stage).filter(|(index, step)| counts(step) && !known.contains(index));
        steps.map(|(index, _)| index).collect()
    }

    /// The services that do not know that the saga is completed, if it is.
    fn unsettled(&self, nodes: usize) -> SortedSet<NodeId> {
        if self.phase != Phase::Settling {
            return SortedSet::new();
        }
        let steps = self.plan.steps().filter(|(_, _, step)| step.kind == Kind::Compensatable);
        let services: SortedSet<_> =
            steps.map(|(_, _, step)| service_of(&step.account, nodes)).collect();
        &services - &self.settled
    }
}
