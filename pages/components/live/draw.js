// Small helpers: elements, a plane with axes, and what a class toggles.
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes, parent, text) {
  const element = document.createElementNS(SVG, tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.appendChild(element);
  return element;
}

function html(tag, className, parent, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text; // never as markup: names come from patients' tables
  if (parent) parent.appendChild(element);
  return element;
}

// An empty plane in an svg: x and y map values to pixels; axes with their ticks are drawn.
function plane(svg, { x, y, xTicks, yTicks, xTitle }) {
  svg.replaceChildren();
  const box = svg.getBoundingClientRect();
  const width = Math.max(box.width, 200), height = Math.max(box.height, 120);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const left = 46, right = width - 12, top = 10, bottom = height - 40;
  const scale = (range, from, to) => (value) =>
    from + ((value - range[0]) / (range[1] - range[0] || 1)) * (to - from);
  const at = { x: scale(x, left, right), y: scale(y, bottom, top), left, right, top, bottom };
  make("path", { class: "mp-axis", d: `M${left} ${top}V${bottom}H${right}` }, svg);
  for (const [value, text] of xTicks)
    make("text", { x: at.x(value), y: bottom + 16, "text-anchor": "middle" }, svg, text);
  for (const [value, text] of yTicks)
    make("text", { x: left - 6, y: at.y(value) + 4, "text-anchor": "end" }, svg, text);
  make("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, svg, xTitle);
  return at;
}

// About four round ticks over a range.
function ticks(low, high, show) {
  const rough = (high - low) / 4 || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push([k * step, show(k * step + 0)]); // + 0: no minus zero
  return found;
}

function line(points) {
  let path = "";
  for (const [x, y] of points) path += `${path ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`;
  return path;
}

function table(element, head, rows) {
  element.replaceChildren();
  const top = html("tr", "", html("thead", "", element));
  for (const cell of head) html("th", "", top, cell).scope = "col";
  const body = html("tbody", "", element);
  for (const [first, ...rest] of rows) {
    const row = html("tr", "", body);
    html("th", "", row, first).scope = "row";
    for (const cell of rest) html("td", "", row, cell);
  }
}

const percent = (value) => `${Math.round(100 * value)} %`;
