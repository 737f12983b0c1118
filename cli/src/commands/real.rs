//! `serve`, `client` and `rerun`: protocols for real.

use super::{Problem, logs, parse_time, show};
use clap::{Args, ValueEnum};
use seedfall_real::driver::{
    AskError, End, Life, RecordingError, Writes, status, who_is, who_recorded,
};
use seedfall_real::service::{AskFailed, ServeError, ServeOptions, Served};
use seedfall_sim::{ClientId, NodeId};
use serde_json::json;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Protocols: raft (a key-value store), abd (registers), 2pc (transactions), saga (payments); what each
is asked, `client --help` shows.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, everything written; 1 had to stop (the disk failed, the
protocol panicked); 2 could not start, and changed nothing.

Three terminals make a store, and a fourth asks it:
  PEERS=1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003
  seedfall serve raft --id 1 --peers $PEERS --data data/n1
  seedfall serve raft --id 2 --peers $PEERS --data data/n2
  seedfall serve raft --id 3 --peers $PEERS --data data/n3
  seedfall client --peers $PEERS put x 1

Nothing is encrypted, and whoever reaches the port is believed: keep it to networks that you
trust.")]
pub(super) struct ServeArgs {
    /// The protocol.
    protocol: String,
    /// Which node this is, counted from 1.
    #[arg(long, value_name = "N", value_parser = parse_node)]
    id: NodeId,
    /// Every node and its address, this one's too: 1=HOST:PORT,2=HOST:PORT,...
    #[arg(long, value_name = "PEERS", value_parser = parse_peers)]
    peers: Peers,
    /// The folder of this node alone: made if it is not there.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Where to listen, if not at this node's address among the peers.
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Record every input and the hash of every effect, for `rerun`; added at the end of the file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// When writes reach the machine: at once, or (so that a kill loses what was not synced, as a
    /// power failure may) with the next sync.
    #[arg(long, value_enum, default_value_t = Disk::Direct)]
    disk: Disk,
    /// What is logged on standard output.
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = ["error", "warn", "info", "debug", "trace"])]
    log: String,
    /// End when standard input does: for whoever starts nodes and may be killed.
    #[arg(long, hide = true)]
    until_input_ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Disk {
    /// At once.
    Direct,
    /// With the next sync.
    Buffered,
}

impl From<Disk> for Writes {
    fn from(disk: Disk) -> Self {
        match disk {
            Disk::Direct => Self::Direct,
            Disk::Buffered => Self::Buffered,
        }
    }
}

/// What there is to be served, for the help of the commands: what each is, and with `asked` what it
/// may be asked.
pub(super) fn listing(services: &[Box<dyn Served>], asked: bool) -> String {
    let mut text = String::from("Protocols:\n");
    if services.is_empty() {
        text.push_str("  none: `seedfall_cli::main_with_services` takes them\n");
    }
    for service in services {
        text.push_str(&format!("  {:<6} {}\n", service.name(), service.about()));
        if asked {
            for form in service.usage().lines() {
                text.push_str(&format!("           {form}\n"));
            }
        }
    }
    text
}

#[derive(Debug, Args)]
#[command(after_help = "\
What the nodes run, they say themselves; any of them is asked `status` too.

Exit codes: 0 done; 1 refused: it certainly did not happen; 2 bad usage; 3 no answer in time: if a
node was reached, it may have happened or still happen.")]
pub(super) struct ClientArgs {
    /// The nodes: 1=HOST:PORT,2=HOST:PORT,...
    #[arg(long, value_name = "PEERS", value_parser = parse_peers)]
    peers: Peers,
    /// How long to try.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s")]
    within: Duration,
    /// What to ask.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 every effect is as recorded; 1 one is not: a bug of the driver, or something that the
protocol decides by besides its inputs, clocks and draws; 2 not a recording, or damaged; 5 the
protocol panicked at the recording's end, and does so again.")]
pub(super) struct RerunArgs {
    /// The recording.
    file: PathBuf,
}

/// The addresses of the nodes, n1 first.
#[derive(Clone, Debug)]
pub(super) struct Peers(Vec<SocketAddr>);

fn parse_node(text: &str) -> Result<NodeId, String> {
    let number = text.strip_prefix('n').unwrap_or(text).parse::<u16>().ok();
    match number.filter(|number| (1..0x8000).contains(number)) {
        Some(number) => Ok(NodeId::new(number - 1)),
        None => Err(format!("`{text}` is not a node; nodes are 1, 2, 3, ...")),
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("`{text}` is not HOST:PORT with a host that is known: {error}"))?;
    found.next().ok_or_else(|| format!("`{text}`: this host has no address"))
}

fn parse_peers(text: &str) -> Result<Peers, String> {
    let mut known: Vec<(NodeId, SocketAddr)> = Vec::new();
    for (place, one) in text.split(',').enumerate() {
        let (node, address) = match one.split_once('=') {
            Some((node, address)) => (parse_node(node.trim())?, address),
            None => (NodeId::new(place as u16), one),
        };
        let address = parse_address(address.trim())?;
        if known.iter().any(|(other, _)| *other == node) {
            return Err(format!("{node} is named twice"));
        }
        if let Some((other, _)) = known.iter().find(|(_, other)| *other == address) {
            return Err(format!("{other} and {node} have the same address"));
        }
        known.push((node, address));
    }
    known.sort_unstable_by_key(|(node, _)| *node);
    let missing = NodeId::all(known.len()).zip(&known).find(|(id, (node, _))| id != node);
    match missing {
        Some((id, _)) => Err(format!("{id} is missing: nodes are numbered 1, 2, 3, ...")),
        None => Ok(Peers(known.into_iter().map(|(_, address)| address).collect())),
    }
}

/// The service of this name.
pub(super) fn service<'a>(
    services: &'a [Box<dyn Served>],
    name: &str,
) -> Result<&'a dyn Served, Problem> {
    let found = services.iter().find(|service| service.name() == name);
    found.map(AsRef::as_ref).ok_or_else(|| {
        let known: Vec<String> =
            services.iter().map(|one| format!("{} ({})", one.name(), one.about())).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Problem(format!("unknown protocol `{name}`; there are {known}"))
    })
}

/// Runs a node.
pub(super) fn serve(services: &[Box<dyn Served>], args: &ServeArgs) -> Result<u8, Problem> {
    let service = service(services, &args.protocol)?;
    logs::show(&args.log)?;
    if args.until_input_ends {
        end_with_input();
    }
    let options = ServeOptions {
        id: args.id,
        peers: args.peers.0.clone(),
        listen: args.listen,
        data: args.data.clone(),
        writes: args.disk.into(),
        record: args.record.clone(),
    };
    match service.serve(options, &show::line) {
        Ok(()) => {
            show::line(&format!("{} has stopped; everything is written", args.id));
            Ok(0)
        }
        Err(ServeError::Stopped(why)) => {
            show::error(&format!("{} had to stop: {why}", args.id));
            Ok(1)
        }
        Err(error) => Err(error.into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "a read that blocks, beside a node that must not")]
fn end_with_input() {
    std::thread::spawn(|| {
        // Whoever started this is gone, and nobody wants to know how it ends.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
}

/// A name for a client that asks once: two that meet by accident would get each other's answers.
fn client_id() -> Result<ClientId, Problem> {
    Ok(ClientId::new((seedfall_real::service::entropy()? % 0x8000) as u16))
}

/// Asks one thing.
pub(super) fn client(
    services: &[Box<dyn Served>],
    args: &ClientArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (Peers(peers), id) = (&args.peers, client_id()?);
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    if words == ["status"] {
        return all_status(peers, id, json);
    }
    let protocol = match what_runs(peers, id, args.within)? {
        Ok(protocol) => protocol,
        Err(why) => {
            show::error(&format!("no node can be reached, nothing was asked: {why}"));
            return Ok(3);
        }
    };
    let service = service(services, &protocol)?;
    let (code, text) = match service.ask(peers, &words, id, args.within) {
        Ok(answer) => (0, answer),
        Err(AskFailed::Refused(why)) => (1, why),
        Err(AskFailed::Usage(why)) => {
            let usage = service.usage().replace('\n', "\n  ");
            return Err(Problem(format!("{why}\n{protocol} is asked:\n  {usage}")));
        }
        Err(AskFailed::Silent { why, left }) => {
            let whether = match left {
                true => "it may have happened, or may still happen",
                false => "nothing was asked",
            };
            (3, format!("no answer within {:?}: {why}; {whether}", args.within))
        }
    };
    match (json, code) {
        (true, _) => show::raw(&json!({ "code": code, "answer": text }).to_string()),
        (false, 0) => show::line(&text),
        (false, _) => show::error(&text),
    }
    Ok(code)
}

/// What the nodes run, as the first that answers says: they may just be starting. Or why nobody
/// does.
fn what_runs(
    peers: &[SocketAddr],
    id: ClientId,
    within: Duration,
) -> Result<Result<String, String>, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let mut failed = Vec::new();
            for address in peers {
                match who_is(*address, id).await {
                    Ok(welcome) => return Ok(welcome.protocol),
                    Err(AskError::Unreachable(why)) => failed.push(why),
                    Err(error) => failed.push(error.to_string()),
                }
            }
            if deadline < tokio::time::Instant::now() {
                return Err(failed.join("; "));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }))
}

/// How every node is.
fn all_status(peers: &[SocketAddr], id: ClientId, json: bool) -> Result<u8, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut table, mut up) = (
        show::table(&["node", "address", "state", "up", "sent", "received", "lost"], &[4, 5, 6]),
        0,
    );
    for (node, address) in NodeId::all(peers.len()).zip(peers) {
        let asked = runtime.block_on(status(*address, id, Duration::from_secs(1)));
        if json {
            let line = match &asked {
                Ok((welcome, status)) => json!({ "who": welcome, "status": status }),
                Err(error) => json!({ "address": address, "error": error.to_string() }),
            };
            show::raw(&line.to_string());
        }
        let mut row = vec![node.to_string(), address.to_string()];
        match asked {
            Ok((welcome, status)) => {
                up += 1;
                let leads = if status.leads { ", leads" } else { "" };
                row.push(welcome.protocol + leads);
                row.push(seedfall_sim::Duration::nanos(status.up).to_string());
                row.extend([status.sent, status.received, status.dropped].map(show::count));
            }
            Err(error) => row.push(error.to_string()),
        }
        table.add_row(row);
    }
    if !json {
        show::raw(&show::fitted(table, &[]));
    }
    Ok(if up == 0 { 3 } else { 0 })
}

/// Replays a recording.
pub(super) fn rerun(
    services: &[Box<dyn Served>],
    args: &RerunArgs,
    json: bool,
) -> Result<u8, Problem> {
    let place = args.file.display();
    let text = std::fs::read_to_string(&args.file).map_err(|error| format!("{place}: {error}"));
    let text = text.map_err(Problem)?;
    let bad = |error: RecordingError| Problem(format!("{place}: {error}"));
    let protocol = who_recorded(&text).map_err(bad)?;
    let done = service(services, &protocol)?.rerun(&text).map_err(bad)?;
    let code = match (&done.difference, done.lives.last().map(|life| &life.end)) {
        (Some(_), _) => 1,
        (None, Some(End::InHandler { panic: Some(_) })) => 5,
        _ => 0,
    };
    let (inputs, effects) = done.totals();
    if json {
        let difference = done.difference.as_ref().map(|one| {
            json!({
                "life": one.life, "input": one.input, "line": one.line, "happened": one.happened,
                "expected": one.expected, "got": one.got,
            })
        });
        let line = json!({
            "protocol": protocol, "node": done.node, "lives": done.lives.len(), "inputs": inputs,
            "effects": effects, "difference": difference, "code": code,
        });
        show::raw(&line.to_string());
        return Ok(code);
    }
    let lives = if done.lives.len() == 1 { "one life" } else { "several lives" };
    show::line(&format!("{protocol} {}: {lives} in {place}", done.node));
    for (life, number) in done.lives.iter().zip(1..) {
        show::line(&format!("  life {number}: {}", life_told(life)));
    }
    let Some(one) = done.difference else {
        let (inputs, effects) = (counted(inputs, "input"), counted(effects, "effect"));
        let same = show::styled(show::GOOD, "the same");
        show::line(&format!("{inputs}, {effects}: {same}, every one"));
        return Ok(code);
    };
    let parts = show::styled(show::BAD, "the replay diverges from the recording");
    show::line(&format!(
        "{parts} in life {} at input {} (line {})\n  happened  {}\n  recorded  {}\n  replayed  {}",
        one.life, one.input, one.line, one.happened, one.expected, one.got
    ));
    Ok(code)
}

fn life_told(life: &Life) -> String {
    let Life { inputs, effects, end } = life;
    let end = match end {
        End::Stopped => "it was asked to stop".to_owned(),
        End::Cut => "the recording breaks off: it was killed, or the file was cut".to_owned(),
        End::Torn { line } => format!("line {line} is torn, what stands before it is whole"),
        End::InHandler { panic: None } => "it was killed while it handled the last one".to_owned(),
        End::InHandler { panic: Some(words) } => format!("the last one panics again: {words}"),
    };
    format!("{}, {}; {end}", counted(*inputs, "input"), counted(*effects, "effect"))
}

fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", show::count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_numbered_from_one_without_a_gap() {
        let Peers(peers) = parse_peers("2=127.0.0.1:7002,1=127.0.0.1:7001").expect("two peers");
        assert_eq!(peers[0].port(), 7001);
        let Peers(peers) = parse_peers("127.0.0.1:1,127.0.0.1:2").expect("in order");
        assert_eq!(peers[1].port(), 2);
        for (wrong, why) in [
            ("1=127.0.0.1:1,1=127.0.0.1:2", "n1 is named twice"),
            ("1=127.0.0.1:1,3=127.0.0.1:2", "n2 is missing"),
            ("1=127.0.0.1:1,2=127.0.0.1:1", "n1 and n2 have the same address"),
            ("0=127.0.0.1:1", "is not a node"),
            ("1=nonsense", "is not HOST:PORT"),
        ] {
            let error = parse_peers(wrong).expect_err(wrong);
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
