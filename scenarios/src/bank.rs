//! A bank on two-phase commit, under everything that its model permits, with either presumption.
//!
//! Story: six accounts lie on three sites. Clients move money between two of them, ask for two
//! balances or for all, and sign a contract that only one of them can sign, together with a
//! transfer. An account is the list of its postings, each named by its operation, so that a reader
//! shows which transfers it saw, and in which order. Messages are lost, doubled and late; sites are
//! cut off, freeze, and crash between any two effects, coordinators most of all while they ask for
//! votes. Then all that stops, and every client asks twice more. Guards: AC1 to AC5 of the book by
//! name, strict serializability, and the sum of the money. Catches: the `tpc` patches of
//! `tests/planted/`.
//!
//! A coordinator that stops for good blocks those in doubt for ever: `bank-blocking` shows it, and
//! its stuck runs say whose loss excuses them.

use seedfall::property::{Judgement, always, eventually, every_operation_completes};
use seedfall::property::{invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::workload::forgetful;
use seedfall::{Property, Swarm};
use seedfall_checkers::transactions::{Level, Micro, TransactionHistory, check};
use seedfall_checkers::workloads::{self, Bank, BankAccess};
use seedfall_checkers::{History, Outcome};
use seedfall_net::Delay;
use seedfall_protocols::kv::{Answer, Command, Text};
use seedfall_protocols::two_phase_commit::{
    self, Config, Decision, Presumption, Request, Response, Site, TransactionId, Vote,
};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel};
use std::collections::BTreeMap;

/// What a client asks of the bank.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Move money.
    Transfer(Transfer),
    /// Move money, if the contract is still with this operation; `None`: with nobody.
    Sign {
        /// Which transfer.
        transfer: Transfer,
        /// Who is expected to have signed last.
        expected: Option<String>,
        /// Who signs now: this operation.
        by: String,
    },
    /// Read accounts, in this order.
    Read(Vec<u32>),
    /// Move money, and read the payer's account before and after it is debited.
    Statement(Transfer),
}

/// Money on its way from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transfer {
    /// Its name in the postings.
    pub id: u64,
    /// Who pays.
    pub from: u32,
    /// Who is paid.
    pub to: u32,
    /// How much.
    pub amount: i64,
}

/// What was read: for each account, its postings as (transfer, amount), oldest first.
pub type Output = Vec<(u32, Vec<(u64, i64)>)>;

/// What a search tells apart of a site: what it is in doubt about, and whom it has still to tell.
fn told_apart(site: &Site) -> (usize, usize, bool) {
    (site.in_doubt().count().min(3), site.notices().count().min(3), site.is_settled())
}

/// Presumed abort: commits are acknowledged, and nothing noted means aborted.
pub fn presumed_abort() -> Scenario<Site, Input, Output> {
    let mut properties = properties();
    properties.extend([
        sometimes("no information: presumed aborted"),
        sometimes("recovery: a commit is told again"),
    ]);
    Scenario {
        name: "bank-presumed-abort",
        story: "Three sites keep six accounts for four clients; what is not noted was aborted.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(3, 4),
        config: CONFIG,
        workload: workload(),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties,
        expect: Expect::Holds,
    }
    .abstraction(told_apart)
}

/// Presumed commit: aborts are acknowledged, and nothing noted means committed.
pub fn presumed_commit() -> Scenario<Site, Input, Output> {
    let mut properties = properties();
    properties.extend([
        sometimes("no information: presumed committed"),
        sometimes("recovery: what was being voted on is aborted"),
    ]);
    Scenario {
        name: "bank-presumed-commit",
        story: "Three sites keep six accounts for four clients; what is not noted was committed.",
        config: Config { presumption: Presumption::Commit, ..CONFIG },
        properties,
        ..presumed_abort()
    }
    .abstraction(told_apart)
}

/// Presumed commit among sites that crash all the time, over links that delay: what one life said
/// arrives in the next.
pub fn crashes() -> Scenario<Site, Input, Output> {
    let Swarm { reorder, duplicate, .. } = Swarm::ALL;
    Scenario {
        name: "bank-crashes",
        story: "As bank-presumed-commit, with crashes and late messages alone, and more of them.",
        cluster: Cluster::lan(3, 6),
        config: Config {
            presumption: Presumption::Commit,
            // Whoever comes back behind a clog is still waited for when its last words arrive.
            attempts: 15,
            ..CONFIG
        },
        workload: Workload {
            think: Delay::Exponential { min: Duration::millis(5), mean: Duration::millis(8) },
            ..workload()
        },
        faults: Swarm { crashes: 14, reorder, duplicate, clogs: 12, storms: 3, ..Swarm::NONE },
        horizon: Horizon { faults: Duration::secs(1), ..Horizon::SHORT },
        properties: properties().into_iter().filter(|property| !property.is_sometimes()).collect(),
        ..presumed_abort()
    }
    .abstraction(told_apart)
}

/// Transactions that read what they write: the stronger of two locks on a key is the one that
/// counts, and within a transaction each command sees those before it.
pub fn statements() -> Scenario<Site, Input, Output> {
    let mut properties: Vec<_> =
        properties().into_iter().filter(|property| !property.is_sometimes()).collect();
    properties.extend([
        always("a transaction sees its own writes", sees_own_writes),
        sometimes("locks: an older transaction waits"),
        sometimes("recovery: a participant comes back in doubt"),
    ]);
    Scenario {
        name: "bank-statements",
        story: "As bank-presumed-abort, with transfers that show the payer's account.",
        workload: Workload { generate: forgetful(generate_statements), ..workload() },
        properties,
        ..presumed_abort()
    }
    .abstraction(told_apart)
}

/// A site that stops for good: whoever voted yes and has not heard the decision waits for ever, if
/// nobody left alive heard it. Safety holds all the same, and whoever need not wait decides.
/// Clients may wait too, for a site that is gone or for a lock: that their operations complete is
/// not claimed.
pub fn blocking() -> Scenario<Site, Input, Output> {
    Scenario {
        name: "bank-blocking",
        story: "The same, where a site may stop for good, and those in doubt wait for it for ever.",
        cluster: Cluster { spare: 1, ..Cluster::lan(3, 4) },
        faults: Swarm { stops: 1, ..crate::MEASURED },
        properties: vec![
            invariants("AC1, AC2, AC3 and AC4", two_phase_commit::invariants),
            invariants("presumptions and locks", two_phase_commit::presumptions),
            always("strictly serializable", strictly_serializable),
            always("money is neither made nor lost", money_is_conserved),
            always("a contract is signed once", signed_once),
            eventually(AC5, all_decide),
        ],
        expect: Expect::blocks(
            AC5,
            "whoever voted yes may neither commit nor abort by itself, and only the \
                      coordinator knows the decision (Bernstein, Hadzilacos, Goodman 1987, \
                      section 7.3: two-phase commit may block)",
            must_wait,
        ),
        ..presumed_abort()
    }
}

const CONFIG: Config = Config {
    presumption: Presumption::Abort,
    retry_interval: Duration::millis(40),
    attempts: 4,
    idle_timeout: Duration::millis(250),
    flush_interval: Duration::millis(100),
};

/// Two on each site.
const ACCOUNTS: u32 = 6;

/// Where the contract lies; no account has this name.
const CONTRACT: &str = "contract";

fn workload() -> Workload<Site, Input, Output> {
    Workload {
        operations: 12,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(5), mean: Duration::millis(60) },
        patience: Duration::millis(200),
        attempts: 3,
        ..Workload::short(generate, request, reply)
    }
}

fn properties() -> Vec<Property<Site, Input, Output>> {
    vec![
        invariants("AC1, AC2, AC3 and AC4", two_phase_commit::invariants),
        invariants("what was told stays", two_phase_commit::promises),
        invariants("presumptions and locks", two_phase_commit::presumptions),
        always("strictly serializable", strictly_serializable),
        always("money is neither made nor lost", money_is_conserved),
        always("a contract is signed once", signed_once),
        eventually(AC5, all_decide),
        every_operation_completes(),
        sometimes("in doubt across a crash of the coordinator"),
        sometimes("recovery: a participant comes back in doubt"),
        sometimes("termination: a fellow participant told the decision"),
        sometimes("termination: who had not voted aborted"),
        sometimes("termination: asked while in doubt too"),
        sometimes("prepare: it was executed in a life before a crash"),
        sometimes("coordinator: not all answered in time"),
        sometimes("participant: gave up waiting to be asked for its vote"),
        sometimes("locks: an older transaction waits"),
        sometimes("locks: a younger transaction dies"),
        sometimes("execute: a condition does not hold"),
        sometimes("commit: everybody only read, and nothing was written down"),
        sometimes("request: a retry was answered without a second run"),
    ]
}

fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let pair = draw.below(ACCOUNTS * (ACCOUNTS - 1));
    let (from, distance) = (pair % ACCOUNTS, 1 + pair / ACCOUNTS);
    let to = (from + distance) % ACCOUNTS;
    let amount = i64::from(1 + draw.below(100));
    let transfer = Transfer { id: operation.unique(), from, to, amount };
    if operation.is_last() {
        return Input::Read((0..ACCOUNTS).collect()); // The last word: what is left of it all.
    }
    match draw.below(100) {
        0..55 => Input::Transfer(transfer),
        55..65 => {
            // A guess at who signed last: nobody, or another client a moment ago.
            let guess = draw.below(5);
            let expected = (guess > 0).then(|| format!("c{guess}/{}", operation.number));
            Input::Sign { transfer, expected, by: operation.to_string() }
        }
        65..80 => Input::Read(vec![from, to]),
        _ => Input::Read((0..ACCOUNTS).collect()),
    }
}

/// Mostly transfers that read, between few accounts.
fn generate_statements(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match generate(operation, draw) {
        Input::Transfer(transfer) | Input::Sign { transfer, .. } => Input::Statement(transfer),
        read => read,
    }
}

fn request(operation: OperationId, input: &Input) -> Request {
    let commands = match input {
        Input::Transfer(transfer) => postings(transfer).into(),
        Input::Sign { transfer, expected, by } => {
            let expected = expected.as_ref().map(Into::into);
            let cas = Command::Cas { key: CONTRACT.into(), expected, value: by.into() };
            let [debit, credit] = postings(transfer);
            vec![cas, debit, credit]
        }
        Input::Read(accounts) => {
            accounts.iter().map(|account| Command::Get { key: key(*account) }).collect()
        }
        Input::Statement(transfer) => {
            let read = Command::Get { key: key(transfer.from) };
            let [debit, credit] = postings(transfer);
            vec![read.clone(), debit, read, credit]
        }
    };
    Request { sequence: u64::from(operation.number) + 1, commands }
}

/// The key of an account: neighbours lie on different sites.
fn key(account: u32) -> Text {
    ["a", "b", "c", "d", "e", "f"][account as usize].into()
}

fn postings(transfer: &Transfer) -> [Command; 2] {
    let Transfer { id, from, to, amount } = transfer;
    let posting = |account, amount| Command::Append {
        key: key(account),
        value: format!("{id}:{amount};").into(),
    };
    [posting(*from, -amount), posting(*to, *amount)]
}

fn reply(response: Response) -> Reply<Output> {
    let answers = match response {
        Response::Committed(answers) => answers,
        Response::Aborted => return Reply::Failed,
        Response::Elsewhere { coordinator } => return Reply::Elsewhere(Some(coordinator)),
    };
    let postings = answers.iter().filter_map(|answer| match answer {
        Answer::Value(value) => Some(statement(value.as_deref().unwrap_or_default())),
        Answer::Done | Answer::Cas { .. } => None,
    });
    Reply::Done((0..).zip(postings).collect())
}

/// The postings of an account, as they were appended.
fn statement(text: &str) -> Vec<(u64, i64)> {
    let posting = |posting: &str| {
        let (id, amount) = posting.split_once(':')?;
        Some((id.parse().ok()?, amount.parse().ok()?))
    };
    let postings = text.split_terminator(';').map(posting).collect::<Option<_>>();
    postings.expect("an account holds what its transfers appended")
}

/// Always: accounts are lists to which transfers append (Elle's list-append), and all that was read
/// and answered fits one order, which respects real time.
fn strictly_serializable(history: &History<Input, Output>) -> Judgement {
    let mut transactions = TransactionHistory::new();
    for operation in &history.operations {
        let (outcome, micros) = match (&operation.outcome, &operation.input) {
            (Outcome::Ok { returned, output }, Input::Read(accounts)) => {
                let seen = accounts.iter().zip(output).map(|(account, (_, postings))| {
                    let values = postings.iter().map(|(id, _)| *id).collect();
                    Micro::ReadList { key: u64::from(*account), values }
                });
                (Outcome::Ok { returned: *returned, output: () }, seen.collect())
            }
            (Outcome::Ok { returned, output }, Input::Statement(transfer)) => {
                let values = output[0].1.iter().map(|(id, _)| *id).collect();
                let mut all = vec![Micro::ReadList { key: u64::from(transfer.from), values }];
                all.extend(intended(&operation.input));
                (Outcome::Ok { returned: *returned, output: () }, all)
            }
            (Outcome::Ok { returned, .. }, input) => {
                (Outcome::Ok { returned: *returned, output: () }, intended(input))
            }
            (Outcome::Failed { returned }, input) => {
                (Outcome::Failed { returned: *returned }, intended(input))
            }
            (Outcome::Indeterminate, input) => (Outcome::Indeterminate, intended(input)),
        };
        let pushed = transactions.push(operation.client, operation.call, &outcome, &micros);
        pushed.expect("clients run one transaction at a time, and transfers have names");
    }
    let report = check(&transactions, Level::StrictSerializable).expect("transfers have names");
    report.into()
}

/// What an operation would do, as far as it is known without its answer.
fn intended(input: &Input) -> Vec<Micro> {
    match input {
        Input::Transfer(transfer) | Input::Sign { transfer, .. } | Input::Statement(transfer) => {
            let append = |account| Micro::Append { key: u64::from(account), value: transfer.id };
            vec![append(transfer.from), append(transfer.to)]
        }
        Input::Read(accounts) => {
            accounts.iter().map(|account| Micro::Unread { key: u64::from(*account) }).collect()
        }
    }
}

/// Always: a statement differs by its own transfer, and by nothing else.
fn sees_own_writes(history: &History<Input, Output>) -> Judgement {
    for (place, operation) in history.operations.iter().enumerate() {
        let (Input::Statement(transfer), Outcome::Ok { output, .. }) =
            (&operation.input, &operation.outcome)
        else {
            continue;
        };
        let [(_, before), (_, after)] = output.as_slice() else {
            unreachable!("the payer's account is read twice")
        };
        let own = (transfer.id, -transfer.amount);
        if after.split_last() != Some((&own, before.as_slice())) {
            return Judgement::Violated {
                reason: "a transaction that does not see its own writes alone".to_owned(),
                operation: Some(place),
                core: vec![place],
            };
        }
    }
    Judgement::Holds
}

/// Always: whoever reads all accounts sees all the money there is. It begins at nothing, and debts
/// are allowed.
fn money_is_conserved(history: &History<Input, Output>) -> Judgement {
    let mut audits = History::new();
    let mut places = Vec::new();
    for (place, operation) in history.operations.iter().enumerate() {
        let (Input::Read(accounts), Outcome::Ok { returned, output }) =
            (&operation.input, &operation.outcome)
        else {
            continue;
        };
        if accounts.len() != ACCOUNTS as usize {
            continue;
        }
        let balance = |postings: &[(u64, i64)]| postings.iter().map(|(_, amount)| amount).sum();
        let balances = accounts.iter().zip(output);
        let balances = balances.map(|(account, (_, postings))| (*account, balance(postings)));
        let index = audits.invoke(operation.client, operation.call, BankAccess::Read);
        audits.complete(index, *returned, balances.collect::<BTreeMap<u32, i64>>());
        places.push(place);
    }
    let rules = Bank { accounts: ACCOUNTS, total: 0, allows_debt: true };
    match workloads::bank(&audits, &rules).breaches.first() {
        None => Judgement::Holds,
        Some(breach) => Judgement::Violated {
            reason: breach.rule.to_owned(),
            operation: breach.operations.first().map(|index| places[*index as usize]),
            core: Vec::new(),
        },
    }
}

/// Always: of those that expected the same signature on the contract, at most one has signed: no
/// update is lost.
fn signed_once(history: &History<Input, Output>) -> Judgement {
    let mut replaced: BTreeMap<&Option<String>, usize> = BTreeMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        let (Input::Sign { expected, .. }, Outcome::Ok { .. }) =
            (&operation.input, &operation.outcome)
        else {
            continue;
        };
        if let Some(first) = replaced.insert(expected, place) {
            return Judgement::Violated {
                reason: "two signed in the place of the same signature".to_owned(),
                operation: Some(place),
                core: vec![first, place],
            };
        }
    }
    Judgement::Holds
}

/// The name of the property of liveness.
const AC5: &str = "AC5: every process decides";

/// Eventually: whoever is up and voted has decided, all agree, and nothing is left to be told or
/// locked. Those that are down for good cannot be told, and need not decide.
fn all_decide(sites: &[Option<&Site>]) -> Result<(), String> {
    let mut transactions: BTreeMap<TransactionId, Vec<workloads::Participant>> = BTreeMap::new();
    let all_up = sites.iter().all(Option::is_some);
    for (node, site) in NodeId::all(sites.len()).zip(sites) {
        let Some(site) = site else { continue };
        if let Some(doubt) = site.in_doubt().next() {
            return Err(format!("{node} is in doubt about {doubt}"));
        }
        if !site.is_settled() || (all_up && !site.is_quiet()) {
            return Err(format!("{node}: {}", site.status()));
        }
        let decisions: BTreeMap<_, _> = site.decisions().collect();
        // Those that voted yes: the others have decided by their vote.
        for (transaction, _) in site.votes().filter(|(_, vote)| *vote == Vote::Yes) {
            let decision = decisions.get(&transaction).map(|decision| match decision {
                Decision::Commit => workloads::Decision::Commit,
                Decision::Abort => workloads::Decision::Abort,
            });
            transactions.entry(transaction).or_default().push(workloads::Participant {
                process: node.index() as u32,
                vote: Some(workloads::Vote::Yes),
                decisions: decision.into_iter().collect(),
            });
        }
    }
    for (transaction, participants) in transactions {
        // Whether anything failed matters to AC4 alone, which is watched while the run goes on.
        let report = workloads::atomic_commit(&participants, true, true);
        if let Some(breach) = report.breaches.first() {
            return Err(format!("{transaction}: {}: {}", breach.rule, breach.explanation));
        }
    }
    Ok(())
}

/// Who must wait for whom: each site in doubt asks everybody who may know, and of these the
/// coordinator is down, and whoever is up is in doubt as well (7.4: cooperative termination). As an
/// error: who could have told, or that something else is undecided.
fn must_wait(sites: &[Option<&Site>]) -> Result<String, String> {
    let mut waits = Vec::new();
    for (node, site) in NodeId::all(sites.len()).zip(sites) {
        let Some(site) = site else { continue };
        for transaction in site.in_doubt() {
            let coordinator = transaction.coordinator;
            for asked in site.asks(transaction) {
                let Some(fellow) = sites[asked.index()] else { continue };
                if asked == coordinator {
                    return Err(format!("{coordinator}, which coordinates {transaction}, is up"));
                }
                if !fellow.in_doubt().any(|doubt| doubt == transaction) {
                    return Err(format!("{asked} is up and not in doubt about {transaction}"));
                }
            }
            waits.push(format!(
                "{node} waits for {coordinator}, which is gone, about {transaction}"
            ));
        }
    }
    match (waits.first(), sites.iter().flatten().find(|site| !site.is_settled())) {
        (None, None) => Err("nobody who is up is in doubt".to_owned()),
        (None, Some(site)) => Err(format!("nobody is in doubt, and yet: {}", site.status())),
        (Some(_), _) => Ok(waits.join("; ")),
    }
}
