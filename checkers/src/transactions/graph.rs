//! The dependency graph: compressed rows of edges, and its strongly connected components.
//!
//! Nodes below `transactions` are transactions. The others are junctions: they carry an edge from
//! many transactions to many others without a product of edges, and cost nothing on a path.

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// `a` wrote a version, `b` wrote a later one of the same key.
    WriteWrite,
    /// `a` wrote what `b` read.
    WriteRead,
    /// `a` read a version, `b` wrote a later one of the same key (an anti-dependency).
    ReadWrite,
    /// `a` ended before `b` began, in the same process.
    Process,
    /// `a` ended before `b` began.
    RealTime,
}

/// Kinds of edges: [`Dependency`] in order, then `PASS`, an edge that leaves a junction.
pub(crate) const WW: u32 = 0;
pub(crate) const WR: u32 = 1;
pub(crate) const RW: u32 = 2;
pub(crate) const PROCESS: u32 = 3;
pub(crate) const TIME: u32 = 4;
pub(crate) const PASS: u32 = 5;

const KIND_SHIFT: u32 = 29;
const NODE_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// A set of edge kinds; `PASS` is always in, as a junction is entered by a kind of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(u32);

impl Mask {
    pub(crate) const fn of(kinds: &[u32]) -> Self {
        let mut bits = 1 << PASS;
        let mut at = 0;
        while at < kinds.len() {
            bits |= 1 << kinds[at];
            at += 1;
        }
        Self(bits)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, kind: u32) -> bool {
        self.0 >> kind & 1 == 1
    }
}

/// Edges as they are found, before they are sorted into rows.
#[derive(Debug)]
pub(crate) struct Edges {
    from: Vec<u32>,
    to: Vec<u32>,
    nodes: u32,
    transactions: u32,
}

impl Edges {
    pub(crate) fn new(transactions: u32) -> Self {
        Self { from: Vec::new(), to: Vec::new(), nodes: transactions, transactions }
    }

    pub(crate) fn push(&mut self, from: u32, to: u32, kind: u32) {
        if from != to {
            self.from.push(from);
            self.to.push(to | kind << KIND_SHIFT);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.to.len()
    }

    pub(crate) fn junction(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes - 1
    }

    /// From every `source` to every `target` but itself, with at most `3 (s + t)` edges.
    ///
    /// All but itself: targets stand in a row, and one chain of junctions covers each prefix of the
    /// row, another each suffix; a source that is itself a target enters both beside itself.
    pub(crate) fn fan(&mut self, sources: &[(u32, u32)], targets: &[u32]) {
        if sources.len() * targets.len() <= 4 * (sources.len() + targets.len()) {
            for &(source, kind) in sources {
                targets.iter().for_each(|target| self.push(source, *target, kind));
            }
            return;
        }
        let mut row = targets.to_vec();
        row.sort_unstable();
        row.dedup();
        let prefix = self.nodes;
        let suffix = prefix + row.len() as u32;
        self.nodes = suffix + row.len() as u32;
        for (at, target) in (0u32..).zip(&row) {
            self.push(prefix + at, *target, PASS);
            self.push(suffix + at, *target, PASS);
            if 0 < at {
                self.push(prefix + at, prefix + at - 1, PASS);
                self.push(suffix + at - 1, suffix + at, PASS);
            }
        }
        let last = row.len() as u32 - 1;
        for &(source, kind) in sources {
            match row.binary_search(&source) {
                Err(_) => self.push(source, suffix, kind),
                Ok(at) => {
                    let at = at as u32;
                    if 0 < at {
                        self.push(source, prefix + at - 1, kind);
                    }
                    if at < last {
                        self.push(source, suffix + at + 1, kind);
                    }
                }
            }
        }
    }

    pub(crate) fn build(self) -> Graph {
        let mut starts = vec![0u32; self.nodes as usize + 1];
        for from in &self.from {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..self.nodes as usize {
            starts[node + 1] += starts[node];
        }
        let mut heads = vec![0u32; self.to.len()];
        // Fill each row from its end, so that `starts` ends where it must and needs no copy.
        for (from, to) in self.from.iter().zip(&self.to).rev() {
            let end = &mut starts[*from as usize + 1];
            *end -= 1;
            heads[*end as usize] = *to;
        }
        starts.remove(0);
        starts.push(heads.len() as u32);
        Graph { starts, heads, transactions: self.transactions }
    }
}

/// Edges in compressed rows.
#[derive(Debug)]
pub(crate) struct Graph {
    starts: Vec<u32>,
    heads: Vec<u32>,
    transactions: u32,
}

impl Graph {
    pub(crate) fn nodes(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    pub(crate) fn edges(&self) -> u32 {
        self.heads.len() as u32
    }

    pub(crate) fn is_transaction(&self, node: u32) -> bool {
        node < self.transactions
    }

    pub(crate) fn row(&self, node: u32) -> std::ops::Range<u32> {
        self.starts[node as usize]..self.starts[node as usize + 1]
    }

    pub(crate) fn edge(&self, at: u32) -> (u32, u32) {
        let head = self.heads[at as usize];
        (head & NODE_MASK, head >> KIND_SHIFT)
    }

    pub(crate) fn successors(&self, node: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.row(node).map(|at| self.edge(at))
    }
}

/// What the component search needs to know of a graph.
pub(crate) trait Arrows {
    fn nodes(&self) -> u32;
    fn row(&self, node: u32) -> std::ops::Range<u32>;
    /// Where edge `at` of `node` leads; `None` if this view hides it.
    fn head(&self, node: u32, at: u32) -> Option<u32>;
}

/// The edges of some kinds, and, given earlier components, only those inside one of them.
pub(crate) struct Masked<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) mask: Mask,
    pub(crate) within: Option<&'g Components>,
}

impl Arrows for Masked<'_> {
    fn nodes(&self) -> u32 {
        self.graph.nodes()
    }

    fn row(&self, node: u32) -> std::ops::Range<u32> {
        if self.within.is_some_and(|within| within.of(node) == 0) {
            return 0..0;
        }
        self.graph.row(node)
    }

    fn head(&self, node: u32, at: u32) -> Option<u32> {
        let (head, kind) = self.graph.edge(at);
        let inside = self.within.is_none_or(|within| within.of(node) == within.of(head));
        (inside && self.mask.has(kind)).then_some(head)
    }
}

/// Every node twice, `2 n` and `2 n + 1`: the second is "entered by a read-write edge", and has no
/// read-write edge out. A component here is a cycle without two adjacent read-write edges, which is
/// what snapshot isolation forbids (Fekete et al., TODS 2005; Cerone and Gotsman, PODC 2016).
pub(crate) struct NoAdjacent<'g>(pub(crate) Masked<'g>);

impl Arrows for NoAdjacent<'_> {
    fn nodes(&self) -> u32 {
        2 * self.0.nodes()
    }

    fn row(&self, node: u32) -> std::ops::Range<u32> {
        self.0.row(node / 2)
    }

    fn head(&self, node: u32, at: u32) -> Option<u32> {
        let head = self.0.head(node / 2, at)?;
        let (_, kind) = self.0.graph.edge(at);
        match kind {
            RW if node % 2 == 1 => None,
            RW => Some(2 * head + 1),
            PASS => Some(2 * head + node % 2),
            _ => Some(2 * head),
        }
    }
}

/// The strongly connected components of more than one node.
#[derive(Debug, Default)]
pub(crate) struct Components {
    /// Component of each node, counted from 1; 0 is none. Empty if there is no component.
    of: Vec<u32>,
    /// The members of each component, ascending; the smallest components first.
    pub(crate) members: Vec<Vec<u32>>,
}

impl Components {
    pub(crate) fn of(&self, node: u32) -> u32 {
        self.of.get(node as usize).copied().unwrap_or(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Halves the node numbers of [`NoAdjacent`]. Two components may share a node then; it is
    /// given to the smaller.
    pub(crate) fn halved(mut self, nodes: u32) -> Self {
        for members in &mut self.members {
            members.iter_mut().for_each(|member| *member /= 2);
            members.dedup();
        }
        Self::label(self.members, nodes)
    }

    fn label(mut members: Vec<Vec<u32>>, nodes: u32) -> Self {
        if members.is_empty() {
            return Self::default();
        }
        members.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        let mut of = vec![0; nodes as usize];
        for (label, members) in members.iter().enumerate().rev() {
            members.iter().for_each(|member| of[*member as usize] = label as u32 + 1);
        }
        Self { of, members }
    }
}

/// Strongly connected components in one pass (Tarjan 1972, in the form of Pearce 2016 that needs
/// one number per node), without recursion.
pub(crate) fn components(arrows: &impl Arrows) -> Components {
    let nodes = arrows.nodes();
    let mut search = Tarjan {
        rank: vec![0; nodes as usize],
        index: 1,
        done: u32::MAX,
        path: Vec::new(),
        waiting: Vec::new(),
        members: Vec::new(),
    };
    for node in 0..nodes {
        if search.rank[node as usize] == 0 && !arrows.row(node).is_empty() {
            search.visit(arrows, node);
        }
    }
    Components::label(search.members, nodes)
}

struct Tarjan {
    /// 0: not seen; small: discovery number of the oldest node it reaches; large: finished.
    rank: Vec<u32>,
    index: u32,
    done: u32,
    path: Vec<Frame>,
    /// Finished nodes whose component is still open.
    waiting: Vec<u32>,
    members: Vec<Vec<u32>>,
}

struct Frame {
    node: u32,
    next: u32,
    end: u32,
    is_root: bool,
}

impl Tarjan {
    fn enter(&mut self, arrows: &impl Arrows, node: u32) {
        self.rank[node as usize] = self.index;
        self.index += 1;
        let row = arrows.row(node);
        self.path.push(Frame { node, next: row.start, end: row.end, is_root: true });
    }

    fn visit(&mut self, arrows: &impl Arrows, root: u32) {
        self.enter(arrows, root);
        while let Some(frame) = self.path.last_mut() {
            if frame.next < frame.end {
                let at = frame.next;
                let Some(head) = arrows.head(frame.node, at) else {
                    frame.next += 1;
                    continue;
                };
                let rank = self.rank[head as usize];
                if rank == 0 {
                    // `next` stays: the edge is looked at again when `head` is finished.
                    self.enter(arrows, head);
                    continue;
                }
                frame.next += 1;
                if rank < self.rank[frame.node as usize] {
                    self.rank[frame.node as usize] = rank;
                    frame.is_root = false;
                }
                continue;
            }
            let (node, is_root) = (frame.node, frame.is_root);
            self.path.pop();
            self.leave(node, is_root);
        }
    }

    fn leave(&mut self, node: u32, is_root: bool) {
        if !is_root {
            self.waiting.push(node);
            return;
        }
        self.index -= 1;
        let rank = self.rank[node as usize];
        let mut members = Vec::new();
        while let Some(&top) = self.waiting.last()
            && rank <= self.rank[top as usize]
        {
            self.waiting.pop();
            self.rank[top as usize] = self.done;
            self.index -= 1;
            members.push(top);
        }
        self.rank[node as usize] = self.done;
        self.done -= 1;
        if !members.is_empty() {
            members.push(node);
            members.sort_unstable();
            self.members.push(members);
        }
    }
}
