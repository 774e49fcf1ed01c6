// Where a swept threshold lies on the slider, by scale; and which one is nearest to a place.
const STEPS = 1000;
const FLOOR = 1e-4; // everything below shares the left end of the logarithm

const SCALES = {
  logarithmic: {
    title: "logarithm of the threshold", ends: ["0", "1"],
    place: (data, at) => data.thresholds[at] < FLOOR ? 0 : 0.02 + 0.98 * (1 - Math.log10(data.thresholds[at]) / Math.log10(FLOOR)),
  },
  linear: {
    title: "threshold", ends: ["0", "1"],
    place: (data, at) => data.thresholds[at],
  },
  removed: {
    title: "fraction removed", ends: ["0 %", "100 %"],
    place: (data, at) => data.sparsity[at],
  },
};

function places(data, scale) {
  return data.thresholds.map((_, at) => SCALES[scale].place(data, at));
}

// The swept threshold nearest to a place: of equally near ones the largest threshold's mask is the same.
function nearest(values, place) {
  let best = 0;
  for (let at = 1; at < values.length; at++)
    if (Math.abs(values[at] - place) < Math.abs(values[best] - place)) best = at;
  return best;
}

// The document's usual thresholds, and the largest cut within the tolerance, under the slider.
function drawMarks(svg, data, values, fit) {
  svg.replaceChildren();
  const width = svg.getBoundingClientRect().width || 600;
  svg.setAttribute("viewBox", `0 0 ${width} 20`);
  const inset = 8; // half a thumb
  const x = (place) => inset + place * (width - 2 * inset);
  const [low, high] = data.band.map((threshold) => x(values[nearest(data.thresholds, threshold)]));
  make("rect", { class: "mp-band", x: low, y: 0, width: Math.max(high - low, 2), height: 20 }, svg);
  make("text", { x: (low + high) / 2, y: 14, "text-anchor": "middle" }, svg, high - low > 62 ? "0.01 to 0.1" : "");
  if (fit === null) return;
  make("line", { class: "mp-tolerated", x1: x(values[fit]), x2: x(values[fit]), y1: 0, y2: 20 }, svg);
}
