// The space-time diagram. Contents come from the run, so they reach the page as text only.

const data = JSON.parse(document.getElementById("data").textContent);
const svg = document.getElementById("picture");
const frame = document.getElementById("frame");
const SVG = svg.namespaceURI;
// More than this at once is a grey mass, and slow.
const DRAWN_MAX = 1200;
// Room for the names: those that a scenario gives may be long.
const LEFT = Math.max(52, 22 + 6.2 * Math.max(...data.lanes.map((lane) => lane.title.length)));
const RIGHT = 14, AXIS = 20, FAULT = 15, FAULT_ROWS_MAX = 8, NODE = 58, CLIENT = 56;

const events = data.events.map(([number, at, kind, lane, peer, text, cone], index) => ({
  index, number, at, kind: data.kinds[kind], lane, peer, text: data.texts[text], cone: cone > 0,
}));
const messages = data.messages.map(([from, to, sent, arrivals, drops, missed, doubled], index) => {
  const message = { index, from, to, sent: events[sent], doubled };
  message.arrivals = arrivals.map((one) => events[one]);
  message.drops = drops.map((one) => events[one]);
  message.missed = missed.map((one) => events[one]);
  const ends = [message.sent, ...message.arrivals, ...message.drops, ...message.missed];
  message.first = message.sent.at;
  message.last = Math.max(...ends.map((one) => one.at));
  // An arrival outside the cone led to nothing, but its sending may have.
  message.cone = message.sent.cone;
  for (const end of ends) end.message = message;
  return message;
});
const operations = data.operations.map((one, index) => ({
  ...one, index, input: data.texts[one.input], output: data.texts[one.output],
}));

const view = { cone: false, scale: "short", from: 0, to: 1 };

function node(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.appendChild(element);
  return element;
}

function seconds(nanos) {
  return (Math.floor(nanos / 1e3) / 1e6).toFixed(6) + "s";
}

// ---- Time: from instants to a line on which nothing happens for not too long.

let warp = { at: [0], place: [0] };

// Places of all instants that are shown: gaps to scale, shortened, or all alike.
function layTime() {
  const instants = new Set([0, data.end]);
  for (const event of events) if (!view.cone || event.cone) instants.add(event.at);
  for (const one of operations) if (!view.cone || one.cone) instants.add(one.call);
  const at = [...instants].sort((a, b) => a - b);
  const gaps = at.slice(1).map((one, index) => one - at[index]);
  const middle = [...gaps].sort((a, b) => a - b)[gaps.length >> 1] || 1;
  // A client's pause or an election timeout would else leave no room for what happens around it.
  const most = Math.max(middle * 3, 2e6);
  const place = [0];
  for (const gap of gaps) {
    let step = gap;
    if (view.scale === "even") step = 1;
    if (view.scale === "short" && gap > most) step = most * (1 + Math.log(gap / most) / 2);
    place.push(place[place.length - 1] + step);
  }
  const end = place[place.length - 1] || 1;
  warp = { at, place: place.map((one) => one / end) };
}

// Where `value` lies between the entries of one list, said in the other.
function between(from, to, value) {
  let low = 0, high = from.length - 1;
  if (value <= from[0]) return to[0];
  if (value >= from[high]) return to[high];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (from[middle] <= value) low = middle; else high = middle;
  }
  return to[low] + (to[high] - to[low]) * (value - from[low]) / (from[high] - from[low] || 1);
}
const placeOf = (at) => between(warp.at, warp.place, at);
const instantOf = (place) => between(warp.place, warp.at, place);

// ---- Where things stand.

let width = 1000;
const room = () => width - LEFT - RIGHT;
const x = (at) => LEFT + (placeOf(at) - view.from) / (view.to - view.from) * room();

// Faults share a row where they do not overlap.
const rows = [];
for (const fault of [...data.faults].sort((a, b) => a.from - b.from)) {
  let row = rows.findIndex((last) => last <= fault.from);
  if (row < 0) row = rows.push(0) - 1;
  rows[row] = fault.to;
  fault.row = row;
}
const faultRows = Math.min(rows.length, FAULT_ROWS_MAX);
const top0 = AXIS + faultRows * FAULT + (faultRows ? 6 : 0) + 26;
// Whoever has no part in the run has no lane.
// A client of programs that only starts and ends had nothing to do.
const idle = (one) => data.lanes[one.lane].client && ["start", "exit"].includes(one.kind);
const present = new Set(events.filter((one) => one.kind !== "fault" && !idle(one))
  .map((one) => one.lane));
const y = [];
let height = top0;
data.lanes.forEach((lane, index) => {
  y.push(height + (lane.client ? 8 : 0));
  if (present.has(index)) height += lane.client ? CLIENT : NODE;
});
height -= 6;
// Messages leave a client at the edge of its operation's bar.
const BAR = 11;
const edge = (lane, other) =>
  y[lane] + (data.lanes[lane].client ? (other < lane ? -BAR : BAR) : 0);

// ---- Drawing.

let layers, left, named, taken;

function draw() {
  width = Math.max(480, frame.clientWidth);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  defineFills();
  layers = {};
  taken = [];
  for (const name of ["back", "bars", "lines", "points", "front"]) {
    layers[name] = node("g", {}, svg);
  }
  drawLanes();
  drawFaults();
  drawOutages();
  drawOperations();
  drawMessages();
  drawPoints();
  drawFront();
  tellWhatIsLeftOut();
}

function defineFills() {
  const defs = node("defs", {}, svg);
  const units = { patternUnits: "userSpaceOnUse", width: 7, height: 7 };
  const hatch = node("pattern", { id: "hatch", ...units, patternTransform: "rotate(45)" }, defs);
  node("line", { x1: 0, y1: 0, x2: 0, y2: 7, class: "hatch" }, hatch);
  const dots = node("pattern", { id: "dots", ...units }, defs);
  node("circle", { cx: 2, cy: 2, r: 1, class: "dots" }, dots);
}

function drawLanes() {
  const step = 110;
  let last = -1e9;
  for (let px = LEFT; px <= width - RIGHT; px += 10) {
    if (px - last < step) continue;
    const at = instantOf(view.from + (px - LEFT) / room() * (view.to - view.from));
    const near = instantOf(view.from + (px + 40 - LEFT) / room() * (view.to - view.from));
    const unit = 10 ** Math.floor(Math.log10(Math.max(near - at, 1000)));
    const round = Math.ceil(at / unit) * unit;
    const here = x(round);
    if (here - last < step * .7 || here > width - RIGHT) continue;
    last = here;
    node("line", { x1: here, x2: here, y1: AXIS, y2: height, class: "grid" }, layers.back);
    const digits = Math.max(0, 9 - Math.round(Math.log10(unit)));
    const label = (round / 1e9).toFixed(Math.min(digits, 6)) + "s";
    node("text", { x: here + 3, y: 13 }, layers.back, label);
  }
  present.forEach((index) => {
    const line = { x1: LEFT, x2: width, y1: y[index], y2: y[index], class: "lane" };
    node("line", line, layers.back);
  });
}

const shows = (from, to) => to >= instantOf(view.from) && from <= instantOf(view.to);

function drawFaults() {
  const nodes = data.lanes.flatMap((lane, index) => lane.client ? [] : [index]);
  for (const cut of data.cuts.filter((one) => shows(one.from, one.to))) {
    const [start, end] = [x(cut.from), x(cut.to)];
    for (const lane of (cut.lanes.length ? cut.lanes : nodes).filter((one) => present.has(one))) {
      const size = { width: Math.max(end - start, 2), height: 40, class: "band" };
      node("rect", { x: start, y: y[lane] - 20, ...size }, layers.back);
    }
  }
  for (const fault of data.faults) {
    if (!shows(fault.from, fault.to)) continue;
    const [start, end] = [x(fault.from), x(Math.min(fault.to, data.end))];
    const wide = Math.max(end - start, 2);
    if (fault.row >= FAULT_ROWS_MAX) continue;
    const y0 = AXIS + fault.row * FAULT;
    const style = "fault" + (fault.fired ? "" : " idle");
    const bar = { x: start, y: y0, width: wide, height: FAULT - 3, class: style };
    tip(node("rect", bar, layers.bars), { fault });
    label(layers.bars, Math.max(start, LEFT) + 4, y0 + 10, fault.text,
      end - Math.max(start, LEFT) - 6, "inside");
  }
}

function drawOutages() {
  for (const one of data.outages) {
    if (!shows(one.from, one.to)) continue;
    const [start, end] = [x(one.from), x(one.to)];
    const box = { x: start, y: y[one.lane] - 8, width: Math.max(end - start, 2), height: 16 };
    const style = one.paused ? "paused" : "down";
    node("rect", { ...box, class: "cover" }, layers.bars);
    tip(node("rect", { ...box, class: style }, layers.bars), { outage: one });
    label(layers.bars, Math.max(start, LEFT) + 6, y[one.lane] + 4, one.paused ? "frozen" : "down",
      end - start - 10, "label");
  }
}

function drawOperations() {
  // Where the operations of the witness begin: their answers must not run into each other.
  const starts = operations.filter((one) => one.witness).map((one) => [one.lane, x(one.call)]);
  for (const one of operations) {
    const end = one.end ?? one.gaveUp ?? data.end;
    if (!shows(one.call, end) || (view.cone && !one.cone && !one.witness)) continue;
    const start = x(one.call), wide = Math.max(x(end) - start, 3), y0 = y[one.lane] - BAR;
    let style = one.broken ? "op broken" : one.witness ? "op witness" : "op";
    if (one.end === null) style += " unsure";
    const box = { x: start, y: y0, width: wide, height: 2 * BAR };
    taken.push({ px: start + wide / 2, py: y[one.lane] + 6, wide, high: 2 * BAR + 14 });
    if (one.end === null) node("rect", { ...box, class: "cover" }, layers.bars);
    const bar = node("rect", { ...box, rx: 4, class: style }, layers.bars);
    if (!one.cone && data.failed && !one.witness) bar.classList.add("faint");
    tip(bar, { operation: one });
    const output = one.end === null ? "?" : one.output;
    const input = brief(one.input), text = `${input} = ${brief(output)}`;
    const from = Math.max(start, LEFT);
    const inside = wide - (from - start) - 8;
    if (!label(layers.front, from + 4, y[one.lane] + 4, text, inside, "inside", true)) {
      label(layers.front, from + 4, y[one.lane] + 4, input, inside, "inside");
    }
    if (one.witness) {
      const said = `${one.name} = ${brief(output)}`;
      underline(one, [from, Math.min(x(end), width - 4)], y0 + 2 * BAR + 11, said, starts);
    }
  }
}

// Below an operation of the witness: its answer, or its name, as far as its neighbours leave room.
function underline(one, [from, to], py, said, starts) {
  if (one.broken) {
    const late = from > width - 280;
    const spot = late ? { x: to, "text-anchor": "end" } : { x: from };
    const room = Math.floor((late ? to - LEFT : width - from) / 6.6) - 24;
    const text = (said.length > room ? said.slice(0, Math.max(room, 8)) + "\u2026" : said)
      + ": cannot be explained";
    node("text", { ...spot, y: py + (late ? 12 : 0), class: "strong" }, layers.front, text);
    return;
  }
  const text = [said, one.name].find((text) => {
    const next = starts.find(([lane, at]) => lane === one.lane && at > from);
    return !next || from + text.length * 6.2 < next[1];
  });
  if (text) node("text", { x: from, y: py, class: "label" }, layers.front, text);
}

// Contents in few letters: without the frame around a command, without names of fields.
function brief(text) {
  return unframed(text).replace(/\b\w+: /g, "").replace(/ ?\{ /g, "(")
    .replace(/ \}/g, ")").replace(/"/g, "");
}

function unframed(text) {
  const framed = /^\w+ \{ (?:\w+: [\w"]+, )*\w+: ((?!Some|Ok|Err)\w+(?: \{|\().*) \}$/.exec(text);
  return framed ? framed[1] : text;
}

// A text where there is room for it; cut short, unless it must be whole.
function label(parent, px, py, text, most, style, whole) {
  const fits = Math.floor(most / 6.7);
  if (fits < 3 || (whole && text.length > fits)) return false;
  const short = text.length > fits ? text.slice(0, fits - 1) + "\u2026" : text;
  node("text", { x: px, y: py, class: style, "pointer-events": "none" }, parent, short);
  return true;
}

// What must be seen comes first where not all can be drawn.
function weight(message) {
  return (message.drops.length || message.missed.length || message.doubled ? 2 : 0)
    + (message.cone ? 1 : 0);
}

function chosenOf(all, weigh) {
  left += Math.max(0, all.length - DRAWN_MAX);
  if (all.length <= DRAWN_MAX) return all;
  const order = all.map((one, place) => [weigh(one), place, one]);
  order.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  return order.slice(0, DRAWN_MAX).map(([, , one]) => one);
}

function drawMessages() {
  left = 0;
  const all = messages.filter((one) =>
    shows(one.first, one.last) && (!view.cone || one.cone));
  const drawn = chosenOf(folded(all), weight);
  named = new Set();
  for (const message of drawn) drawMessage(message, drawn.length <= 90);
}

// A storm: what one sends another again and again, so close that nobody could tell the arrows
// apart, is one arrow with its count. Nearer, it comes apart.
const CLOSE = 9, STORM = 4;

function folded(all) {
  const last = new Map(), storms = [];
  for (const message of all) {
    const fate = [message.arrivals, message.drops, message.missed].map((one) => one.length);
    const key = [message.from, message.to, message.word, fate, message.cone].join(" ");
    const storm = last.get(key), here = x(message.sent.at);
    if (storm && here - storm.here < CLOSE) {
      storm.messages.push(message);
      storm.here = here;
    } else {
      last.set(key, { messages: [message], here });
      storms.push(last.get(key));
    }
  }
  return storms.flatMap(({ messages }) => {
    const same = messages.every((one) => one.label === messages[0].label);
    const folds = messages.length >= STORM || (messages.length > 1 && same);
    for (const one of messages) one.alike = [one];
    if (!folds) return messages;
    messages[0].alike = messages;
    return [messages[0]];
  });
}

function drawMessage(message, few) {
  const { from, to, sent } = message;
  const style = ["request", "respond"].includes(sent.kind) ? " request" : "";
  const group = node("g", { "data-message": message.index }, layers.lines);
  if (data.failed && !message.cone) group.setAttribute("class", "faint");
  const x1 = x(sent.at), y1 = edge(from, to), y2 = edge(to, from);
  let hit = "";
  const line = (px, share, extra) => {
    const x2 = x1 + (px - x1) * share, y3 = y1 + (y2 - y1) * share;
    node("line", { x1, y1, x2, y2: y3, class: "arrow" + style + extra }, group);
    hit += `M${x1} ${y1}L${x2} ${y3}`;
    return [x2, y3];
  };
  message.arrivals.forEach((arrival, place) => {
    const extra = message.doubled ? " doubled" : "";
    const [px, py] = line(x(arrival.at), 1, extra);
    const turn = Math.atan2(py - y1, px - x1) * 180 / Math.PI;
    const spot = `translate(${px} ${py}) rotate(${turn})`;
    const head = "head" + style + extra;
    node("path", { d: "M0 0L-9 -3.4L-9 3.4Z", transform: spot, class: head }, group);
    if ((few || message.alike.length >= STORM) && place === 0) {
      nameMessage(group, message, [x1, y1, px, py]);
    }
  });
  const lost = [...message.drops.map((one) => [one, one.at > sent.at ? .9 : .4]),
    ...message.missed.map((one) => [one, 1])];
  for (const [end, share] of lost) {
    // What is lost as it leaves has no time of arrival: the stub leans as a message would.
    const px = end.at > sent.at ? x(end.at) : x1 + 30;
    const [cx, cy] = line(px, share, " dropped");
    const cross = `M${cx - 4} ${cy - 4}l8 8m0 -8l-8 8`;
    node("path", { d: cross, class: "cross" }, group);
    if (few || message.alike.length >= STORM) nameMessage(group, message, [x1, y1, cx, cy]);
  }
  // What is under way when the run is over comes nowhere: half a line, and no head.
  if (!hit) line(x(data.end), .5, " dropped");
  tip(node("path", { d: hit, class: "hit" }, group), { message });
}

// What opens and closes connections has no contents that need a name.
const CONTROL = /^(again: )?(SYN|SYN, ACK|ACK|FIN|RST|there is room again)$/;

// What it says: of what a client asks, without the frame around a command.
function contents({ from, to, sent }) {
  const text = sent.text.replace(/^c\d+#\d+ /, "");
  return data.lanes[from].client || data.lanes[to].client ? unframed(text) : text;
}

// What kind of message it is, in a word.
function wordOf(message) {
  const full = contents(message);
  const http = /^(\w+ \/\S*) HTTP\/1|^HTTP\/1\.\d (\d+ [^,]*)|^HTTP\/2 (\w+)/.exec(full);
  const first = full.length <= 16 ? full : full.split(/[({ ]/)[0];
  return (http ? http[1] ?? http[2] ?? http[3] : first).slice(0, 18);
}

// The parts of `Word { name: value, .. }` or `Word(value, ..)`, as far as brackets allow.
function partsOf(text) {
  const inner = /^\w+ ?[({](.*)[)}]$/s.exec(text);
  if (!inner) return [];
  const parts = [];
  let deep = 0, part = "";
  for (const letter of inner[1]) {
    if ("([{".includes(letter)) deep += 1;
    if (")]}".includes(letter)) deep -= 1;
    if (letter === "," && deep === 0) {
      parts.push(part.trim());
      part = "";
    } else part += letter;
  }
  return [...parts, part.trim()].filter((one) => one);
}

// Names for the arrows: the kind, and of the parts in which messages of a kind differ the first
// that is short: term 1 against term 2, not the same word twice.
const PART_MAX = 16;

function nameMessages() {
  const kinds = new Map();
  for (const message of messages) {
    message.word = wordOf(message);
    message.label = message.word;
    if (message.word === contents(message)) continue;
    if (!kinds.has(message.word)) kinds.set(message.word, []);
    kinds.get(message.word).push(message);
  }
  for (const alike of kinds.values()) {
    const parts = alike.map((message) => partsOf(contents(message)));
    const most = Math.max(...parts.map((one) => one.length));
    for (let place = 0; place < most; place += 1) {
      const said = parts.map((one) => brief(one[place] ?? ""));
      const named = parts.map((one) => /^(\w+): /.exec(one[place] ?? "")?.[1]);
      const differ = new Set(said).size > 1 || alike.length === 1;
      if (!differ || said.some((one) => one.length > PART_MAX)) continue;
      alike.forEach((message, index) => {
        const part = named[index] ? `${named[index]} ${said[index]}` : said[index];
        if (said[index]) message.label = `${message.word} ${part}`;
      });
      break;
    }
  }
}

// The name along the arrow, or only its first word, where there is room and no other name.
function nameMessage(group, message, [x1, y1, x2, y2]) {
  const length = Math.hypot(x2 - x1, y2 - y1), flat = Math.abs(x2 - x1);
  if (CONTROL.test(contents(message))) return;
  const count = message.alike.length > 1 ? ` \u00d7${message.alike.length}` : "";
  const isStorm = message.alike.length >= STORM;
  if (flat < 24 && !isStorm) return;
  const same = message.alike.every((one) => one.label === message.label);
  const turn = Math.atan2(y2 - y1, x2 - x1);
  for (const name of [message.label, message.word].slice(same ? 0 : 1)) {
    const words = name + count;
    // What is sent to many is named once.
    const once = `${message.from} ${message.sent.at} ${words}`;
    if (named.has(once)) return;
    const wide = words.length * 6.2;
    if (!isStorm && length < wide + 26) continue;
    for (const share of [.5, .34, .66]) {
      const spot = { x: x1 + (x2 - x1) * share, y: y1 + (y2 - y1) * share };
      if (!isFree(spot, wide, turn)) continue;
      named.add(once);
      const place = `translate(${spot.x} ${spot.y}) rotate(${turn * 180 / Math.PI})`;
      const style = { y: -4, "text-anchor": "middle", class: "label", "pointer-events": "none" };
      node("text", { ...style, transform: place }, group, words);
      return;
    }
  }
}

// Whether no other name stands there; if so, it is taken.
function isFree({ x: px, y: py }, wide, turn) {
  const [across, up] = [Math.abs(Math.cos(turn)), Math.abs(Math.sin(turn))];
  const box = { px, py, wide: wide * across + 10 * up, high: wide * up + 10 * across };
  const meets = (one) => Math.abs(one.px - px) * 2 < one.wide + box.wide
    && Math.abs(one.py - py) * 2 < one.high + box.high;
  if (taken.some(meets)) return false;
  taken.push(box);
  return true;
}

// Everything at one place: a shape for each kind.
const SHAPES = {
  append: "M-2.5 -13h5v5h-5z", file: "M-2.5 -13h5v5h-5z", sync: "M-1.5 -6h3v12h-3z", reach: "M0 -7L6 0L0 7L-6 0Z",
  start: "M-5 6L0 -5L5 6Z", resume: "M-4 -6L6 0L-4 6Z", crash: "M-6 -6L6 6M6 -6L-6 6",
  panic: "M-6 -6L6 6M6 -6L-6 6",
};
const STYLES = {
  reach: "mark", start: "up", resume: "up", crash: "cross", panic: "cross", file: "append",
};

function drawPoints() {
  const kinds = ["append", "sync", "reach", "start", "resume", "crash", "timer", "ignore", "file",
    "panic"];
  const all = events.filter((one) => kinds.includes(one.kind) && shows(one.at, one.at)
    && (!view.cone || one.cone) && !(data.lanes[one.lane].client && one.kind === "timer")
    && !idle(one));
  const rare = (one) => ["crash", "reach", "start", "resume"].includes(one.kind) ? 2 : one.cone;
  for (const event of chosenOf(all, rare)) {
    const spot = { transform: `translate(${x(event.at)} ${y[event.lane]})` };
    const style = STYLES[event.kind] ?? event.kind;
    const faint = data.failed && !event.cone ? " faint" : "";
    const shape = SHAPES[event.kind]
      ? node("path", { ...spot, d: SHAPES[event.kind], class: style + faint }, layers.points)
      : node("circle", { ...spot, r: event.kind === "timer" ? 4 : 3, class: style + faint },
        layers.points);
    tip(shape, { event });
  }
}

function drawFront() {
  const at = data.at;
  if (at !== null && shows(at, at) && !operations.some((one) => one.witness)) {
    const here = x(at);
    node("line", { x1: here, x2: here, y1: AXIS, y2: height, class: "moment" }, layers.front);
    node("text", { x: here - 6, y: top0 - 16, "text-anchor": "end", class: "strong" },
      layers.front, "here it showed");
  }
  // The names stand still while time moves below them.
  node("rect", { x: 0, y: 0, width: LEFT, height, class: "cover" }, layers.front);
  present.forEach((index) => {
    const spot = { x: 14, y: y[index] + 5, class: "name" };
    node("text", spot, layers.front, data.lanes[index].name);
    const { title } = data.lanes[index];
    if (title) node("text", { x: 14, y: y[index] + 18, class: "label" }, layers.front, title);
  });
  if (faultRows) node("text", { x: 10, y: AXIS + 10 }, layers.front, "faults");
}
