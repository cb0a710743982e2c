// SPDX-License-Identifier: GPL-2.0-or-later
// One UPS as it is now.

// Milliseconds: what was heard LATE ago is shown grey with a sentence; GONE ago it is shown no more.
const LATE = 6000, GONE = 15000;

const STATES = {
  grid: { words: "On the grid", icon: "plug", rank: 0 },
  battery: { words: "On battery", icon: "battery", rank: 3, left: true },
  low: { words: "LOW BATTERY", icon: "warning", rank: 4, left: true },
  off: { words: "The output is off", icon: "off", rank: 2 },
  none: { words: "No data", icon: "none", rank: 1 },
};
const NOTES = {
  CHRG: "charging", DISCHRG: "discharging", OVER: "overloaded", RB: "replace the battery", HB: "battery high",
  CAL: "calibrating", BYPASS: "on bypass", TRIM: "trimming the voltage", BOOST: "boosting the voltage",
  OFF: "output off", FSD: "a shutdown has been ordered",
};

class Row {
  constructor(name, index) {
    const copy = document.getElementById("ups").content.cloneNode(true);
    this.root = copy.querySelector(".ups");
    this.root.id = `ups-${index + 1}`;
    attribute(this.root, "aria-label", name);
    main.append(this.root);
    this.parts = {};
    for (const node of this.root.querySelectorAll("[data-part]")) this.parts[node.dataset.part] = node;
    say(this.parts.name, name);
    const item = document.createElement("li");
    this.link = make("a", name, item);
    this.link.href = `#${this.root.id}`;
    document.querySelector("nav ul").append(item);
    this.key = null;
    this.find(".flow").classList.toggle("still", still);
    this.find("details").addEventListener("toggle", () => this.table());
  }

  find(selector) { return this.root.querySelector(selector); }

  draw(ups, silent) {
    this.ups = ups;
    const gone = silent > GONE, late = silent > LATE, blank = gone || ups.stale, now = Date.now() / 1000;
    const state = STATES[blank ? "none" : ups.state] || STATES.none;
    this.rank = state.rank;
    attribute(this.root, "data-state", blank ? "none" : ups.state);
    this.root.toggleAttribute("data-late", late && !blank);
    attribute(this.find(".hero use"), "href", `#i-${state.icon}`);
    let words = state.words, rest = "";
    if (gone) [words, rest] = ["No answer from the driver", `since ${clock(now - silent / 1000, now)}`];
    else if (ups.stale) rest = ups.at === null ? "yet" : `since ${clock(ups.at, now)}`;
    else if (state.left && ups.runtime !== undefined) [words, rest] = [`${words}:`, `${duration(ups.runtime)} left`];
    say(this.parts.words, words);
    say(this.parts.rest, rest);
    this.headline = `${words} ${rest}`.trim();
    say(this.parts.model, blank ? "" : [ups.variables["device.mfr"], ups.variables["device.model"]].filter(Boolean).join(" "));
    const notes = blank ? [] : ups.status.map(word => NOTES[word]).filter(Boolean);
    say(this.parts.notes, notes.length ? `${notes.join(", ")} \u00b7` : "");
    say(this.parts.age, this.age(ups, silent, late));
    this.alarms(blank ? [] : ups);
    for (const node of this.root.querySelectorAll("[data-now]")) node.hidden = blank;
    this.flow(blank ? {} : ups);
    this.battery(blank ? {} : ups);
    if (blank) drop(this.find("tbody"));
    else this.table();
    say(this.link, `${this.parts.name.textContent}: ${state.words}`);
    this.announce(gone ? "the driver does not answer" : state.words, blank ? [] : ups.alarms);
  }

  age(ups, silent, late) {
    if (late) return `the driver has not answered for ${duration(silent / 1000)}`;
    if (ups.age === null) return "the driver has not reached the device yet";
    const age = duration(ups.age + silent / 1000);
    return ups.stale ? `the last data are ${age} old; nothing is shown until there are new ones` : `data ${age} old`;
  }

  alarms(ups) {
    const texts = (ups.alarms || []).map(text => `Alarm: ${text}`);
    if (/^impossible/.test(ups.outage_detection || "")) texts.push("This system cannot report an outage: do not rely on it for a shutdown");
    const list = this.parts.alarms;
    if (list.dataset.key === texts.join("\n")) return;
    list.dataset.key = texts.join("\n");
    list.hidden = !texts.length;
    drop(list);
    for (const text of texts) {
      const item = document.createElement("li");
      const icon = shape("svg", { class: "icon", "aria-hidden": "true" }, item);
      shape("use", { href: "#i-warning" }, icon);
      make("span", text, item);
      list.append(item);
    }
  }

  // The change of a state is said, not each number that moves.
  announce(words, alarms) {
    const key = [words, ...alarms].join(". ");
    if (this.key !== null && this.key !== key) said.textContent = `${this.parts.name.textContent}: ${key}`;
    this.key = key;
  }

  flow(ups) {
    const power = ups.power || {}, sentence = [];
    for (const [name, node] of Object.entries(NODES)) {
      const there = power[name] !== undefined, value = there ? power[name] : 0;
      const edge = this.find(`[data-edge="${name}"]`), box = this.find(`[data-node="${name}"]`);
      attribute(edge, "visibility", there ? "visible" : "hidden");
      attribute(box, "visibility", there ? "visible" : "hidden");
      const cut = name === "grid" && (ups.state === "battery" || ups.state === "low");
      const way = there ? ups.flow[name] : 0, rest = !way; // 1 above zero, -1 below: the driver knows when nothing flows
      const words = cut ? "cut off" : rest ? node.rest : way > 0 ? node.plus : node.minus;
      say(box.querySelector(".watts"), cut && there ? words : there ? watts(Math.abs(value)) : "");
      say(box.querySelector(".words"), there && !cut ? words : "");
      box.classList.toggle("cut", cut);
      const inward = (way > 0) === node.into;
      edge.classList.toggle("resting", rest || cut);
      edge.classList.toggle("away", !inward);
      const [x, y] = { grid: [144, 182], pv: [200, 127], battery: [200, 237], house: [256, 182] }[name];
      const toward = { grid: 0, pv: 90, battery: 270, house: 180 }[name];
      attribute(edge.querySelector(".arrow"), "transform", `translate(${x} ${y}) rotate(${toward + (inward ? 0 : 180)})`);
      const dots = edge.querySelector(".dots"), seconds = `${SPEEDS.find(([most]) => Math.abs(value) <= most)[1]}s`;
      if (dots.style.animationDuration !== seconds) dots.style.animationDuration = seconds;
      if (there) sentence.push(cut ? "grid cut off" : `${node.name} ${words}${rest ? "" : ` ${watts(Math.abs(value))}`}`);
    }
    attribute(this.find(".flow"), "aria-label", `Power flow: ${sentence.join(", ")}`);
    if (!sentence.length) this.find('[data-now="flow"]').hidden = true;
  }

  battery(ups) {
    const known = ups.charge !== undefined, low = ups.charge_low;
    this.parts.charge.hidden = !known;
    say(this.parts.percent, known ? percent(ups.charge) : "");
    say(this.parts.low, known && low !== undefined ? `The line marks ${percent(low)}: low battery` : "");
    const bar = this.find(".bar"), fill = this.find(".fill"), mark = this.find(".mark");
    fill.style.width = `${known ? Math.min(100, Math.max(0, ups.charge)) : 0}%`;
    fill.classList.toggle("below", known && low !== undefined && ups.charge <= low);
    mark.hidden = low === undefined;
    mark.style.left = `${low || 0}%`;
    if (known) {
      attribute(bar, "aria-valuenow", String(ups.charge));
      attribute(bar, "aria-valuetext", percent(ups.charge) + (low === undefined ? "" : `, low at ${percent(low)}`));
    } else for (const name of ["aria-valuenow", "aria-valuetext"]) bar.removeAttribute(name);
    const facts = FACTS.map(([title, text]) => [title, text(ups)]).filter(([, text]) => text);
    const list = this.parts.facts;
    while (list.children.length > facts.length) list.lastChild.remove();
    facts.forEach(([title, text], index) => {
      const pair = list.children[index] || make("div", "", list);
      say(pair.children[0] || make("dt", "", pair), title);
      say(pair.children[1] || make("dd", "", pair), text);
    });
    if (!known && !facts.length) this.find('[data-now="battery"]').hidden = true;
  }

  table() {
    const variables = Object.entries(this.ups ? this.ups.variables : {}), body = this.find("tbody");
    say(this.parts.count, `(${variables.length})`);
    if (!this.find("details").open || this.root.dataset.state === "none") return drop(body);
    while (body.rows.length > variables.length) body.lastChild.remove();
    variables.forEach(([name, value], index) => {
      let row = body.rows[index];
      if (!row) {
        row = body.insertRow();
        make("th", "", row).scope = "row";
        make("td", "", row);
      }
      say(row.children[0], name);
      say(row.children[1], value);
    });
  }
}
