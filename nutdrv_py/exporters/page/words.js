// SPDX-License-Identifier: GPL-2.0-or-later
// Words and elements.

// Words for a power above and below zero; into: whether a power above zero flows into the hub.
const NODES = {
  grid: { name: "grid", plus: "importing", minus: "feeding in", rest: "resting", into: true },
  pv: { name: "sun", plus: "producing", minus: "drawing", rest: "resting", into: true },
  battery: { name: "battery", plus: "discharging", minus: "charging", rest: "resting", into: true },
  house: { name: "house", plus: "using", minus: "giving", rest: "resting", into: false },
};
const SPEEDS = [[200, 2.2], [1000, 1.5], [3000, 1], [6000, .65], [Infinity, .4]]; // up to W: seconds a dot takes to the next
const FACTS = [
  ["Time left on battery", ups => ups.runtime === undefined ? "" : duration(ups.runtime)],
  ["Load", ups => ups.load === undefined ? "" : percent(ups.load)],
  ["Last transfer to battery", ups => ups.reason || ""],
];
const two = value => String(value).padStart(2, "0");
function percent(value) { return `${Math.round(value * 10) / 10} %`; }
function watts(value) {
  const size = Math.abs(value), sign = value < 0 && Math.round(size) > 0 ? "\u2212" : "";
  return sign + (size < 999.5 ? `${Math.round(size)} W` : `${(size / 1000).toFixed(size < 9995 ? 2 : 1)} kW`);
}
function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${Math.max(0, Math.floor(seconds))} s`;
  if (hours < 1) return `${minutes} min`;
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days ${hours % 24} h`;
}
// The time of day, with the day where that is not plain; neither when it is the day of ``before``.
function clock(seconds, now, before = now) {
  const at = new Date(seconds * 1000), text = `${two(at.getHours())}:${two(at.getMinutes())}`;
  const day = at.toDateString(), yesterday = new Date(now * 1000);
  if (day === new Date(before * 1000).toDateString()) return text;
  yesterday.setDate(yesterday.getDate() - 1);
  if (day === new Date(now * 1000).toDateString()) return `today ${text}`;
  if (day === yesterday.toDateString()) return `yesterday ${text}`;
  return `${at.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })}, ${text}`;
}

// Elements

const SVG = "http://www.w3.org/2000/svg";
const main = document.getElementById("main"), said = document.getElementById("said");
function say(node, text) { if (node.textContent !== text) node.textContent = text; }
function attribute(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }
function make(tag, text, parent) {
  const node = document.createElement(tag);
  node.textContent = text;
  parent.append(node);
  return node;
}
function shape(kind, attributes, parent) {
  const node = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}
function drop(node) { while (node.firstChild) node.firstChild.remove(); }
