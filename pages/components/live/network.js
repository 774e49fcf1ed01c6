// The network: features, neurons and weights; a move changes only what lies between the old and the new cut.
function drawNetwork(svg, data) {
  svg.replaceChildren();
  const box = svg.getBoundingClientRect();
  const width = Math.max(box.width, 240), height = Math.max(box.height, 160);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const { layers, edges } = data.network;
  const top = 14, bottom = height - 10;
  const named = (layer) => (layer === 0 || layer === layers.length - 1) && (bottom - top) / layers[layer].length >= 11;
  const left = named(0) ? 96 : 12, right = width - (named(layers.length - 1) ? 84 : 12);
  const x = (layer) => left + (layer / (layers.length - 1)) * (right - left);
  const y = (layer, place) => layers[layer].length === 1 ? (top + bottom) / 2 : top + (place / (layers[layer].length - 1)) * (bottom - top);
  const parts = []; // [last, element], in the order in which they go
  for (const [layer, from, to, strength, last] of edges) {
    const edge = make("line", {
      class: "mp-edge", x1: x(layer), y1: y(layer, from), x2: x(layer + 1), y2: y(layer + 1, to),
      "stroke-width": (0.3 + 2.2 * strength).toFixed(2), "stroke-opacity": (0.12 + 0.75 * strength).toFixed(2),
    }, svg);
    parts.push([last, edge]);
  }
  layers.forEach((nodes, layer) => nodes.forEach(({ name, last }, place) => {
    const node = make("circle", { class: "mp-node", cx: x(layer), cy: y(layer, place), r: nodes.length > 40 ? 2.5 : 4 }, svg);
    make("title", {}, node, name);
    parts.push([last, node]);
    if (!named(layer)) return;
    const short = name.length > 14 ? name.slice(0, 13) + "…" : name;
    const text = make("text", { x: x(layer) + (layer ? 8 : -8), y: y(layer, place) + 4, "text-anchor": layer ? "start" : "end" }, svg, short);
    make("title", {}, text, name);
    parts.push([last, text]);
  }));
  return fading(parts, data.thresholds.length);
}

// Elements that go one after another: a function that shows those still there at a threshold.
function fading(parts, thresholds) {
  const ending = Array.from({ length: thresholds + 1 }, () => []);
  for (const [last, element] of parts) ending[last].push(element);
  let before = -1;
  return (index) => {
    const [low, high] = index > before ? [before + 1, index] : [index + 1, before];
    for (let at = low; at <= high; at++)
      for (const element of ending[at]) element.classList.toggle("mp-gone", index > before);
    before = index;
  };
}
