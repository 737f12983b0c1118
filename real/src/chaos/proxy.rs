//! The wire between processes: a proxy for each directed link, which does to connections what TCP
//! does to a disturbed wire.
//!
//! TCP neither loses nor doubles bytes: it delays them, or breaks. So a lost segment is one that
//! comes a retransmission later, and now and then a connection that is reset; a partition refuses
//! and resets connections, or lets nothing through and resets them when it heals (half-open); a
//! clog holds what is sent until it ends; what straggles holds up all that follows it. Flipped bits
//! arrive, and the frame's checksum finds them.

use seedfall::plan::Class;
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{Address, ClientId, Draw, Draws, Duration, NodeId, Seed, Site};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// How much later a lost segment comes: the least time after which TCP sends again.
const RETRANSMISSION: Duration = Duration::millis(200);

/// One loss in so many breaks the connection.
const RESET_ONE_IN: u32 = 20;

/// How often a connection looks whether it is cut.
const LOOK: std::time::Duration = std::time::Duration::from_millis(10);

/// What is in force on one directed link.
#[derive(Clone, Debug, Default)]
struct Rules {
    /// Whose partition cuts it: connections are refused and reset.
    cut: Option<Class>,
    /// Whose partition lets nothing through: connections stay, half-open, and are reset at its end.
    hole: Option<Class>,
    clogged: bool,
    loss: u32,
    reorder: (u32, Duration),
    burst: (u32, Duration),
    corrupt: u32,
    /// Added to every delay.
    latency: Duration,
    /// The least time between two segments.
    each: Duration,
}

/// Shared by everybody, and never held for long; nobody panics while holding it.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often each class had an effect.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<BTreeMap<Class, u64>>>);

impl Tally {
    fn count(&self, class: Class) {
        *lock(&self.0).entry(class).or_default() += 1;
    }

    pub(super) fn of(&self, class: Class) -> u64 {
        lock(&self.0).get(&class).copied().unwrap_or_default()
    }
}

/// One directed link.
#[derive(Debug)]
struct Link {
    from: Address,
    to: Address,
    rules: Mutex<Rules>,
    draws: Mutex<Draws>,
    tally: Tally,
}

impl Link {
    fn rules(&self) -> Rules {
        lock(&self.rules).clone()
    }

    fn draw(&self) -> Draw {
        lock(&self.draws).draw(Site::Link(self.from, self.to))
    }
}

/// Every link, and the proxies on it.
#[derive(Debug)]
pub(super) struct Wires {
    nodes: usize,
    clients: usize,
    real: Vec<SocketAddr>,
    links: BTreeMap<(Address, Address), Arc<Link>>,
    /// Where somebody finds a node: by way of a proxy.
    ways: BTreeMap<(Address, NodeId), SocketAddr>,
    tally: Tally,
    proxies: Vec<JoinHandle<()>>,
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.proxies.iter().for_each(JoinHandle::abort);
    }
}

impl Wires {
    /// A proxy before every node, for every other node and every client.
    pub(super) async fn new(real: &[SocketAddr], clients: usize, seed: Seed) -> io::Result<Self> {
        let nodes = real.len();
        let mut wires = Self {
            nodes,
            clients,
            real: real.to_vec(),
            links: BTreeMap::new(),
            ways: BTreeMap::new(),
            tally: Tally::default(),
            proxies: Vec::new(),
        };
        let everybody: Vec<Address> = wires.everybody().collect();
        for from in &everybody {
            for to in &everybody {
                let link = Link {
                    from: *from,
                    to: *to,
                    rules: Mutex::default(),
                    draws: Mutex::new(Draws::new(seed, nodes, clients)),
                    tally: wires.tally.clone(),
                };
                wires.links.insert((*from, *to), Arc::new(link));
            }
        }
        for from in everybody {
            for to in NodeId::all(nodes).filter(|to| Address::from(*to) != from) {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                wires.ways.insert((from, to), listener.local_addr()?);
                let there = Arc::clone(&wires.links[&(from, to.into())]);
                // Between nodes a connection carries messages one way only, and goes with them.
                let back = match from.node() {
                    Some(_) => Arc::clone(&there),
                    None => Arc::clone(&wires.links[&(to.into(), from)]),
                };
                let proxy = proxy(listener, real[to.index()], there, back);
                wires.proxies.push(tokio::spawn(proxy));
            }
        }
        Ok(wires)
    }

    fn everybody(&self) -> impl Iterator<Item = Address> + use<> {
        let nodes = NodeId::all(self.nodes).map(Address::from);
        nodes.chain((0..self.clients as u16).map(|client| ClientId::new(client).into()))
    }

    /// The cluster as this node sees it: itself where it listens, the others by proxy.
    pub(super) fn peers_of(&self, node: NodeId) -> Vec<SocketAddr> {
        let way = |to: NodeId| self.ways.get(&(node.into(), to)).copied();
        NodeId::all(self.nodes).map(|to| way(to).unwrap_or(self.real[to.index()])).collect()
    }

    /// The cluster as a client sees it.
    pub(super) fn seen_by(&self, client: ClientId) -> Vec<SocketAddr> {
        NodeId::all(self.nodes).map(|to| self.ways[&(client.into(), to)]).collect()
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Puts exactly these disturbances in force. A partition that is said to be half-open lets
    /// connections stand.
    pub(super) fn set(&self, in_force: &[(Disturbance, bool)]) {
        for link in self.links.values() {
            let mut rules = Rules::default();
            for (disturbance, half_open) in in_force {
                self.add(&mut rules, link, disturbance, *half_open);
            }
            *lock(&link.rules) = rules;
        }
    }

    fn add(&self, rules: &mut Rules, link: &Link, disturbance: &Disturbance, half_open: bool) {
        let mut cut = |partition: &Partition, class| {
            if partition.cuts(link.from, link.to, self.nodes) {
                let rule = if half_open { &mut rules.hole } else { &mut rules.cut };
                *rule = Some(class);
            }
        };
        match disturbance {
            Disturbance::Partition(partition) => cut(partition, Class::Partition),
            Disturbance::Flap { partition, .. } => cut(partition, Class::Flap),
            Disturbance::Clog { from, to } => {
                rules.clogged |= (*from, *to) == (link.from, link.to);
            }
            Disturbance::Loss { ppm } => rules.loss += ppm,
            Disturbance::Reorder { ppm, by } => rules.reorder = (*ppm, *by),
            Disturbance::Burst { ppm, span } => rules.burst = (*ppm, *span),
            Disturbance::Corrupt { ppm } => rules.corrupt += ppm,
            Disturbance::Throttle { each, .. } => rules.each = *each,
            Disturbance::Latency { most, salt } => {
                let mut draw = Draws::new(Seed(u64::from(*salt)), self.nodes, self.clients)
                    .at(Site::Link(link.from, link.to), 0);
                rules.latency = rules.latency + draw.duration(Duration::ZERO..*most);
            }
            // TCP hides them; no plan that is run here has any, nor what follows.
            Disturbance::Duplicate { .. }
            | Disturbance::Swizzle { .. }
            | Disturbance::Stretch { .. } => {}
        }
    }
}

/// Takes the connections of one link.
async fn proxy(listener: TcpListener, target: SocketAddr, there: Arc<Link>, back: Arc<Link>) {
    let mut connections: Vec<Guard> = Vec::new();
    loop {
        connections.retain(|connection| !connection.0.is_finished());
        let Ok((stream, _)) = listener.accept().await else {
            sleep(LOOK).await;
            continue;
        };
        if let Some(class) = there.rules().cut.or(back.rules().cut) {
            there.tally.count(class);
            continue; // Dropped: it is reset.
        }
        let connection = connection(stream, target, Arc::clone(&there), Arc::clone(&back));
        connections.push(Guard(tokio::spawn(connection)));
    }
}

/// A task that ends with its owner.
struct Guard(JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One connection, until one end closes it or the wire breaks it.
async fn connection(near: TcpStream, target: SocketAddr, there: Arc<Link>, back: Arc<Link>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_reader, near_writer), (far_reader, far_writer)) = (split(near), split(far));
    let forth = Guard(tokio::spawn(pump(near_reader, far_writer, Arc::clone(&there))));
    let home = Guard(tokio::spawn(pump(far_reader, near_writer, Arc::clone(&back))));
    let mut was_open = true;
    while !forth.0.is_finished() && !home.0.is_finished() {
        let (there, back) = (there.rules(), back.rules());
        if there.cut.or(back.cut).is_some() {
            break;
        }
        let is_open = there.hole.or(back.hole).is_none();
        if is_open && !was_open {
            break; // Who was at the other end has given it up.
        }
        was_open = is_open;
        sleep(LOOK).await;
    }
    if let Some(class) = there.rules().cut.or(back.rules().cut) {
        there.tally.count(class);
    }
}

/// Carries bytes one way: read at once, written when they are due.
async fn pump(mut reader: ReadHalf<TcpStream>, writer: WriteHalf<TcpStream>, link: Arc<Link>) {
    let (send, segments) = mpsc::channel::<(Instant, Vec<u8>)>(256);
    let writing = Guard(tokio::spawn(write(writer, segments, Arc::clone(&link))));
    let mut last = Instant::now();
    let mut stalled = last;
    loop {
        let mut segment = vec![0; 4_096];
        let Ok(length @ 1..) = reader.read(&mut segment).await else { return };
        segment.truncate(length);
        let (rules, mut draw, now) = (link.rules(), link.draw(), Instant::now());
        let (what, how_much) = (draw.word(), draw.word());
        // One word for what happens: each takes its share of a million.
        let mut at = ((u64::from(what) * 1_000_000) >> 32) as u32;
        let mut strikes = |ppm: u32| {
            let hit = at < ppm;
            at = at.wrapping_sub(ppm);
            hit
        };
        let part = |span: Duration| nanos(span.scale(u64::from(how_much), u64::from(u32::MAX)));
        let mut due = now + nanos(rules.latency);
        if rules.latency > Duration::ZERO {
            link.tally.count(Class::Latency);
        }
        if rules.loss > 0 && strikes(rules.loss) {
            link.tally.count(Class::Loss);
            if how_much.is_multiple_of(RESET_ONE_IN) {
                return;
            }
            due += nanos(RETRANSMISSION);
        } else if rules.reorder.0 > 0 && strikes(rules.reorder.0) {
            link.tally.count(Class::Reorder);
            due += part(rules.reorder.1);
        } else if rules.burst.0 > 0 && strikes(rules.burst.0) {
            stalled = now + part(rules.burst.1);
        } else if rules.corrupt > 0 && strikes(rules.corrupt) {
            link.tally.count(Class::Corrupt);
            segment[how_much as usize % length] ^= 1 << (how_much >> 24 & 7);
        }
        if now < stalled {
            link.tally.count(Class::Burst);
            due = due.max(stalled);
        }
        if rules.each > Duration::ZERO {
            link.tally.count(Class::Throttle);
            due = due.max(last + nanos(rules.each));
        }
        // What follows waits for what is late.
        last = last.max(due);
        if send.send((last, segment)).await.is_err() || writing.0.is_finished() {
            return;
        }
    }
}

/// Writes segments as they fall due, and holds them while nothing gets through.
async fn write(
    mut writer: WriteHalf<TcpStream>,
    mut segments: mpsc::Receiver<(Instant, Vec<u8>)>,
    link: Arc<Link>,
) {
    while let Some((due, segment)) = segments.recv().await {
        sleep_until(due).await;
        let mut held = false;
        loop {
            let rules = link.rules();
            let class = rules.hole.or(rules.clogged.then_some(Class::Clog));
            let Some(class) = class else { break };
            if !held {
                link.tally.count(class);
                held = true;
            }
            sleep(LOOK).await;
        }
        if writer.write_all(&segment).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

fn nanos(span: Duration) -> std::time::Duration {
    std::time::Duration::from_nanos(span.as_nanos())
}
