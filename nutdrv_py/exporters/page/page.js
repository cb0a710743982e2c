// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the driver again and again, and counts on by itself when it does not answer.

// Milliseconds: between two questions, the longest such time without an answer, the longest wait for one, between two histories.
const POLL = 2000, SLOWEST = 8000, PATIENCE = 5000, HISTORY = 60000;

let answer = null, heard = null, past = null, askedPast = -Infinity;
const opened = instant();
// The monotonic clock may rest while a tablet sleeps, and the other one may be set: the longer way counts.
function instant() { return { steady: performance.now(), wall: Date.now() }; }
function since(then) { return Math.max(performance.now() - then.steady, Date.now() - then.wall); }

const rows = new Map();

// Drawing

function draw() {
  const silent = since(answer ? heard : opened), waiting = document.getElementById("waiting");
  if (!answer) {
    say(waiting, silent > LATE ? `The driver has not answered for ${duration(silent / 1000)}.` : "Waiting for the driver.");
    return;
  }
  if (waiting) waiting.hidden = true;
  answer.ups.forEach((ups, index) => {
    if (!rows.has(ups.name)) rows.set(ups.name, new Row(ups.name, index));
    rows.get(ups.name).draw(ups, silent);
  });
  for (const [name, row] of rows) {
    if (answer.ups.some(ups => ups.name === name)) continue;
    row.root.remove();
    row.link.parentNode.remove();
    rows.delete(name);
  }
  drawWake(silent > GONE ? [] : (answer.wake || []).filter(machine => machine.waits));
  if (!rows.size) return;
  document.querySelector("nav").hidden = rows.size < 2;
  const worst = [...rows.values()].reduce((a, b) => b.rank > a.rank ? b : a);
  const title = `${worst.headline} \u2013 ${answer.title}`;
  if (document.title !== title) document.title = title;
}

function drawWake(machines) {
  const box = document.getElementById("wake"), list = box.querySelector("ul");
  box.hidden = !machines.length;
  while (list.children.length > machines.length) list.lastChild.remove();
  machines.forEach((machine, index) => {
    const item = list.children[index] || make("li", "", list);
    const sent = machine.sent ? `, ${machine.sent} ${machine.sent === 1 ? "packet" : "packets"} sent` : "";
    say(item, `${machine.name} ${machine.text}${sent}`);
  });
}

function drawPast() {
  for (const day of past.ups) if (rows.has(day.name)) drawDay(rows.get(day.name).root, day);
}

// Asking

async function get(name) {
  const ending = new AbortController(), timer = setTimeout(() => ending.abort(), PATIENCE);
  try {
    const response = await fetch(name, { signal: ending.signal, cache: "no-store" });
    if (!response.ok) throw new Error(String(response.status));
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

function renew(version) {
  if (version === document.documentElement.dataset.version) return;
  try {
    if (sessionStorage.getItem("renewed") === version) return; // somebody between keeps the old page
    sessionStorage.setItem("renewed", version);
  } catch { return; }
  location.reload();
}

let timer = 0, wait = POLL, busy = false, states = "";
async function poll() {
  clearTimeout(timer);
  if (document.hidden || busy) return;
  busy = true;
  try {
    const asked = instant(), found = await get("status.json");
    if (!Array.isArray(found.ups)) throw new Error("not the driver");
    answer = found;
    heard = asked;
    wait = POLL;
    draw();
    renew(found.page);
    const now = found.ups.map(ups => ups.state).join();
    if (performance.now() - askedPast > HISTORY || now !== states) {
      past = await get("history.json");
      askedPast = performance.now();
      states = now;
      drawPast();
    }
  } catch {
    wait = Math.min(wait * 1.5, SLOWEST);
  }
  busy = false;
  timer = setTimeout(poll, wait);
}

const button = document.getElementById("motion");
let still = false;
button.addEventListener("click", () => {
  still = !still;
  button.setAttribute("aria-pressed", String(still));
  for (const picture of main.querySelectorAll(".flow")) picture.classList.toggle("still", still);
});
function look() {
  if (document.hidden) return;
  draw();
  wait = POLL;
  poll();
}
document.addEventListener("visibilitychange", look);
window.addEventListener("pageshow", look);
window.addEventListener("online", look);
setInterval(() => { if (!document.hidden) draw(); }, 1000);
look();
