
// ---- What the pointer finds.

const tipBox = document.getElementById("tip");
const chosenBox = document.getElementById("chosen");

// What each shape stands for.
const meanings = new WeakMap();

function tip(element, what) {
  meanings.set(element, what);
}

function listenToPointer() {
  svg.addEventListener("pointerover", (pointer) => {
    const what = meanings.get(pointer.target);
    if (!what) return;
    tipBox.textContent = tell(what);
    tipBox.hidden = false;
    moveTip(pointer);
    if (what.message) pointer.target.parentElement.classList.add("lit");
  });
  svg.addEventListener("pointermove", moveTip);
  svg.addEventListener("pointerout", (pointer) => {
    tipBox.hidden = true;
    pointer.target.parentElement?.classList.remove("lit");
  });
  svg.addEventListener("click", (pointer) => {
    const what = meanings.get(pointer.target);
    if (what) chosenBox.textContent = tell(what);
  });
}

function moveTip(pointer) {
  const { clientX, clientY } = pointer;
  const { width: wide, height: high } = tipBox.getBoundingClientRect();
  const px = Math.min(clientX + 14, innerWidth - wide - 8);
  const py = clientY + 18 + high > innerHeight ? clientY - high - 10 : clientY + 18;
  tipBox.style.left = Math.max(4, px) + "px";
  tipBox.style.top = Math.max(4, py) + "px";
}

const name = (lane) => data.lanes[lane].name;

function tell({ event, message, operation, outage, fault }) {
  if (message) return tellMessage(message);
  if (operation) return tellOperation(operation);
  if (outage) {
    const what = outage.paused ? "frozen" : "down";
    return `${name(outage.lane)} is ${what}\n${seconds(outage.from)} to ${seconds(outage.to)}`;
  }
  if (fault) {
    const effect = fault.fired ? "" : "\nit had no effect";
    return `${fault.text}\n${seconds(fault.from)} to ${seconds(fault.to)}${effect}`;
  }
  const cone = data.failed ? (event.cone ? "" : "\nnot in the causal cone") : "";
  return `${seconds(event.at)}  ${name(event.lane)} ${event.kind}, event ${event.number}\n`
    + event.text + cone;
}

function tellMessage(message) {
  const lines = [`${name(message.from)} to ${name(message.to)}, sent ${seconds(message.sent.at)}`];
  for (const one of message.arrivals) lines.push(`arrived ${seconds(one.at)}, event ${one.number}`);
  for (const one of message.drops) {
    lines.push(`lost ${seconds(one.at)} ${one.text.split(")")[0]})`);
  }
  for (const one of message.missed) lines.push(`arrived ${seconds(one.at)}, but nobody was up`);
  if (message.doubled) lines.push("the wire doubled it");
  if (lines.length === 1) lines.push("still under way at the end of the run");
  if (data.failed && !message.cone) lines.push("not in the causal cone");
  const more = message.alike?.length - 1;
  if (more > 0) {
    lines.push(`and ${more} like it until ${seconds(message.alike[more].sent.at)}: zoom in`);
  }
  return lines.join("\n") + "\n\n" + message.sent.text;
}

function tellOperation(one) {
  const lines = [`operation ${one.name}: ${one.input}`, `called ${seconds(one.call)}`];
  if (one.end !== null) lines.push(`answered ${seconds(one.end)}: ${one.output}`);
  else if (one.gaveUp !== null) lines.push(`given up ${seconds(one.gaveUp)}: it may have happened`);
  else lines.push("still open at the end of the run");
  if (one.attempts > 1) lines.push(`asked ${one.attempts} times`);
  if (one.broken) lines.push(`this one cannot be explained: ${data.why}`);
  else if (one.witness) lines.push("takes part in the contradiction");
  return lines.join("\n");
}

// ---- What is left out, and what is in view.

function tellWhatIsLeftOut() {
  const notes = [];
  const gone = data.whole - events.length;
  if (gone > 0) {
    notes.push(`${gone} of ${data.whole} events are not on this page, which has room for the `
      + "causal cone and the end of the run; the command `trace` prints them all.");
  }
  if (data.cut > 0) notes.push(`${data.cut} long contents are cut short.`);
  if (left > 0) notes.push(`${left} things are not drawn at this zoom: zoom in to see them.`);
  if (rows.length > FAULT_ROWS_MAX) notes.push("Some faults have no row; the plan below has all.");
  document.getElementById("note").textContent = notes.join(" ");
  // The list may wait until nothing moves.
  clearTimeout(listing);
  listing = setTimeout(listEvents, 120);
}

const LISTED_MAX = 300;
let listing;

function listEvents() {
  const all = events.filter((one) => shows(one.at, one.at) && (!view.cone || one.cone));
  const rowsOf = all.slice(0, LISTED_MAX).map((event) => {
    const row = document.createElement("tr");
    row.dataset.event = event.index;
    if (data.failed && !event.cone) row.className = "faint";
    const peer = event.peer === event.lane ? "" : " " + name(event.peer);
    for (const text of [seconds(event.at), name(event.lane), event.kind + peer, event.text]) {
      row.appendChild(document.createElement("td")).textContent = text;
    }
    return row;
  });
  if (all.length > LISTED_MAX) {
    const row = document.createElement("tr");
    const cell = row.appendChild(document.createElement("td"));
    cell.colSpan = 4;
    cell.textContent = `${all.length - LISTED_MAX} more: zoom in`;
    rowsOf.push(row);
  }
  document.getElementById("list").replaceChildren(...rowsOf);
}

// ---- Moving about.

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

function look(from, to) {
  const span = Math.min(Math.max(to - from, 1e-7), 1.02);
  view.from = Math.min(Math.max(from, -.01), 1.01 - span);
  view.to = view.from + span;
  later();
}

function zoom(factor, middle) {
  const here = middle ?? (view.from + view.to) / 2;
  look(here - (here - view.from) * factor, here + (view.to - here) * factor);
}

const pan = (share) => {
  const by = (view.to - view.from) * share;
  look(view.from + by, view.to + by);
};
const lookAtAll = () => look(-.01, 1.01);

function lookAt(from, to) {
  const [a, b] = [placeOf(from), placeOf(to)];
  const more = Math.max((b - a) * .12, .002);
  look(a - more, b + more);
}

// The operations that contradict each other, or the moment at which it showed.
function lookAtFailure() {
  const core = operations.filter((one) => one.witness);
  if (core.length) {
    lookAt(Math.min(...core.map((one) => one.call)),
      Math.max(...core.map((one) => one.end ?? one.gaveUp ?? one.call)));
    return;
  }
  const before = events.filter((one) => one.cone && one.at <= data.at).slice(-120);
  if (before.length) lookAt(before[0].at, data.at);
}

function placeUnder(pointer) {
  const box = svg.getBoundingClientRect();
  const px = (pointer.clientX - box.left) * width / box.width;
  return view.from + (px - LEFT) / room() * (view.to - view.from);
}

function relay() {
  const [from, to] = [instantOf(view.from), instantOf(view.to)];
  const all = view.from <= 0 && view.to >= 1;
  layTime();
  if (all) lookAtAll(); else look(placeOf(from), placeOf(to));
}

function listen() {
  const on = (id, kind, run) => document.getElementById(id).addEventListener(kind, run);
  on("cone", "change", (change) => {
    view.cone = change.target.checked;
    relay();
  });
  on("scale", "change", (change) => {
    view.scale = change.target.value;
    relay();
  });
  on("in", "click", () => zoom(.5));
  on("out", "click", () => zoom(2));
  on("left", "click", () => pan(-.4));
  on("right", "click", () => pan(.4));
  on("all", "click", lookAtAll);
  on("core", "click", lookAtFailure);
  frame.addEventListener("wheel", (wheel) => {
    const sideways = Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY) || wheel.shiftKey;
    if (!wheel.ctrlKey && !wheel.metaKey && !sideways) return;
    wheel.preventDefault();
    if (sideways) pan((wheel.deltaX || wheel.deltaY) / width);
    else zoom(Math.exp(wheel.deltaY / 300), placeUnder(wheel));
  }, { passive: false });
  frame.addEventListener("dblclick", (pointer) => zoom(.5, placeUnder(pointer)));
  const keys = { "+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), 0: lookAtAll,
    ArrowLeft: () => pan(-.2), ArrowRight: () => pan(.2) };
  frame.addEventListener("keydown", (key) => {
    if (!keys[key.key] || key.ctrlKey || key.metaKey) return;
    key.preventDefault();
    keys[key.key]();
  });
  addEventListener("resize", later);
  drag();
  listenToPointer();
  listenToTables();
}

function drag() {
  let held = null;
  frame.addEventListener("pointerdown", (pointer) => {
    if (pointer.button === 0) held = { at: pointer.clientX, from: view.from, to: view.to };
  });
  addEventListener("pointermove", (pointer) => {
    if (!held || Math.abs(pointer.clientX - held.at) < 3) return;
    frame.classList.add("held");
    const by = (held.at - pointer.clientX) / room() * (held.to - held.from);
    look(held.from + by, held.to + by);
  });
  addEventListener("pointerup", () => {
    held = null;
    frame.classList.remove("held");
  });
}

function listenToTables() {
  document.addEventListener("click", (click) => {
    const row = click.target.closest("tr[data-operation], tr[data-event]");
    if (!row) return;
    if (row.dataset.operation) {
      const one = operations[Number(row.dataset.operation)];
      chosenBox.textContent = tellOperation(one);
      lookAt(one.call, one.end ?? one.gaveUp ?? data.end);
      frame.scrollIntoView({ block: "center" });
      return;
    }
    const event = events[Number(row.dataset.event)];
    chosenBox.textContent = tell(event.message ? { message: event.message } : { event });
  });
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // A page opened from a file may have no clipboard; a selection it has.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

function drawLegend() {
  const line = (style) => ["line", { x1: 1, y1: 7, x2: 25, y2: 7, class: style }];
  const box = (style) => ["rect", { x: 2, y: 2, width: 22, height: 10, class: style }];
  const path = (kind, style) =>
    ["path", { d: SHAPES[kind], transform: `translate(13 ${kind === "append" ? 18 : 8})`,
      class: style }];
  const dot = (style) => ["circle", { cx: 13, cy: 7, r: 4, class: style }];
  const all = [
    [line("arrow"), "message"], [line("arrow request"), "request, answer"],
    [line("arrow dropped"), "lost"], [line("arrow doubled"), "doubled"],
    [box("op"), "operation"], [box("op witness"), "part of the contradiction"],
    [box("op broken"), "cannot be explained"], [box("op unsure"), "no answer"],
    [path("append", "append"), "append, change of a file"], [path("sync", "sync"), "sync"],
    [dot("timer"), "timer"], [dot("ignore"), "ignored"], [path("reach", "mark"), "mark"],
    [path("crash", "cross"), "crash"], [box("down"), "down"], [box("paused"), "frozen"],
    [path("start", "up"), "start"], [box("band"), "cut off or jammed"],
  ];
  const legend = document.getElementById("legend");
  for (const [[shape, attributes], words] of all) {
    const item = legend.appendChild(document.createElement("span"));
    const small = node("svg", { width: 26, height: 15 }, item);
    node(shape, attributes, small);
    item.appendChild(document.createTextNode(words));
  }
}

if (data.failed && events.some((one) => one.cone)) {
  // What led to it, first.
  view.cone = true;
  document.getElementById("cone").checked = true;
} else {
  document.getElementById("coneLabel").hidden = true;
  document.getElementById("core").hidden = true;
}
nameMessages();
layTime();
drawLegend();
listen();
draw();
const pictured = events.filter((one) => !view.cone || one.cone).length;
if (data.failed && pictured > 500) lookAtFailure(); else lookAtAll();
