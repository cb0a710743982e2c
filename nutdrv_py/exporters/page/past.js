// SPDX-License-Identifier: GPL-2.0-or-later
// The last day: how it was, as a row of blocks whose height tells the state, in words, and as curves.

const SPARKS = [
  { name: "charge", title: "Charge", form: percent, least: 0, most: 100, color: "var(--battery)" },
  { name: "load", title: "Load", form: percent, least: 0, most: 10, color: "var(--house)" },
  { name: "grid", title: "Grid (+ importing)", form: watts, least: 0, most: 100, color: "var(--grid)" },
  { name: "pv", title: "Sun", form: watts, least: 0, most: 100, color: "var(--pv)" },
];
const PERIODS = {
  b: { name: "battery", words: "on battery", top: 16 }, l: { name: "low", words: "low battery", top: 0 },
  o: { name: "battery", words: "output off", top: 16 }, g: { name: "grid", words: "on the grid", top: 36 },
  "-": { name: "none", words: "no data" },
};

function drawDay(root, day) {
  const now = day.from + day.states.length * day.step, box = root.querySelector(".timeline");
  const periods = [];
  for (let index = 0; index < day.states.length; index++) {
    const last = periods[periods.length - 1];
    if (last && last.letter === day.states[index]) last.end = index + 1;
    else periods.push({ letter: day.states[index], start: index, end: index + 1 });
  }
  drop(box);
  for (const { letter, start, end } of periods) {
    const kind = PERIODS[letter] || PERIODS["-"];
    if (kind.top === undefined) shape("path", { class: kind.name, d: `M${start} 44H${end}` }, box);
    else {
      const width = Math.max(end - start, letter === "g" ? 1 : 5); // a minute would be too narrow to be seen
      shape("rect", { class: kind.name, x: Math.min(start, 1440 - width), y: kind.top, width, height: 48 - kind.top }, box);
    }
  }
  const telling = periods.filter(({ letter, start, end }) => letter !== "g" && !(letter === "-" && start === 0 && end < 1440));
  const time = index => day.from + index * day.step;
  const lines = telling.slice(-6).reverse().map(({ letter, start, end }) => {
    return `${clock(time(start), now)} to ${clock(time(end), now, time(start))}: ${PERIODS[letter].words} (${duration((end - start) * day.step)})`;
  });
  if (!telling.length) lines.push("Nothing but the grid");
  const list = root.querySelector(".events");
  drop(list);
  for (const line of lines) make("li", line, list);
  attribute(box, "aria-label", `Last 24 hours: ${lines.join("; ")}`);
  drawHours(root.querySelector(".hours"), day, now);
  const sparks = root.querySelector(".sparks");
  drop(sparks);
  for (const spark of SPARKS) drawSpark(sparks, spark, day[spark.name]);
}

function drawHours(box, day, now) {
  drop(box);
  const tick = new Date(day.from * 1000);
  tick.setMinutes(0, 0, 0);
  for (let count = 0; count < 26; count++) {
    tick.setHours(tick.getHours() + 1);
    const place = (tick / 1000 - day.from) / (now - day.from);
    if (tick.getHours() % 6 || place < .05 || place > .86) continue;
    make("span", `${two(tick.getHours())}:00`, box).style.left = `${100 * place}%`;
  }
  const last = make("span", clock(now, now), box); // not "now": nobody may have answered since
  last.style.left = "auto";
  last.style.right = "0";
  last.style.transform = "none";
}

function drawSpark(parent, spark, values) {
  const known = values.filter(value => value !== null);
  if (!known.length) return;
  const low = Math.min(...known), high = Math.max(...known);
  const bottom = Math.min(low, spark.least), top = Math.max(high, spark.most), size = 44;
  const y = value => (size + 2 - size * (value - bottom) / (top - bottom)).toFixed(1);
  let line = "", area = "", start = null;
  values.forEach((value, index) => {
    const open = value !== null && (index === 0 || values[index - 1] === null);
    const close = value !== null && (index + 1 === values.length || values[index + 1] === null);
    if (value === null) return;
    if (open) { start = index; area += `M${index} ${y(0)}`; }
    line += `${open ? "M" : "L"}${index} ${y(value)}`;
    area += `L${index} ${y(value)}`;
    if (close) { line += start === index ? "h.1" : ""; area += `L${index} ${y(0)}Z`; }
  });
  const box = make("div", "", parent), head = make("p", "", box);
  make("b", spark.title, head);
  const range = low === high ? spark.form(low) : `${spark.form(low)} to ${spark.form(high)}`;
  make("span", range, head);
  const svg = shape("svg", { viewBox: "0 0 1440 48", preserveAspectRatio: "none", role: "img", "aria-label": `${spark.title}, last 24 hours: ${range}` }, box);
  svg.style.color = spark.color;
  shape("path", { class: "area", d: area }, svg);
  if (bottom < 0) shape("path", { class: "zero", d: `M0 ${y(0)}H1440` }, svg);
  shape("path", { d: line }, svg);
}
