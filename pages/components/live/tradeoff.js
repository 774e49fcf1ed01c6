// Performance against size: the sweep as a line, finished models as points, the marker that moves.
function drawTradeoff(svg, data, metric, floor) {
  const name = data.names[metric], values = data.metrics[metric];
  const after = data.finished.map((one) => one.metrics[metric]);
  const known = [...values, ...after, floor].filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known), room = 0.05 * (high - low || 1);
  const y = [low - room, high + room];
  const at = plane(svg, {
    x: [0, 1], y, xTitle: `share of ${data.what} removed`,
    xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((value) => [value, percent(value)]),
    yTicks: ticks(...y, (value) => String(Number(value.toFixed(4)))),
  });
  const place = (index) => [at.x(data.sparsity[index]), at.y(values[index])];
  const [from, to] = data.band.map((threshold) => at.x(data.sparsity[nearest(data.thresholds, threshold)]));
  const band = make("rect", { class: "mp-band", x: from, y: at.top, width: Math.max(to - from, 1), height: at.bottom - at.top }, svg);
  make("title", {}, band, "thresholds 0.01 to 0.1");
  if (metric === "auroc" && data.interval) {
    const edge = (side) => data.interval[side].map((value, index) => [at.x(data.sparsity[index]), at.y(value)]);
    make("path", { class: "mp-interval", d: line([...edge("low"), ...edge("high").reverse()]) + "Z" }, svg);
  }
  const level = (value, className, text) => {
    make("line", { class: className, x1: at.left, x2: at.right, y1: at.y(value), y2: at.y(value) }, svg);
    make("text", { x: at.left + 6, y: at.y(value) - 4 }, svg, text);
  };
  if (values[0] !== null) level(values[0], "mp-dense", "dense");
  if (floor !== null) level(floor, "mp-tolerated", "");
  const drawn = data.thresholds.map((_, index) => index).filter((index) => values[index] !== null);
  make("path", { class: "mp-sweep", d: line(drawn.map(place)) }, svg);
  data.finished.forEach((one, index) => {
    if (after[index] === null) return;
    const point = make("circle", { class: "mp-finished", cx: at.x(one.sparsity), cy: at.y(after[index]), r: 5 }, svg);
    make("title", {}, point, `finished model, ${one.text.sparsity} removed: ${name} ${one.text[metric]}`);
  });
  const near = make("circle", { class: "mp-near", r: 9, visibility: "hidden" }, svg);
  const here = make("path", { class: "mp-here", d: "M0-8L8 0L0 8L-8 0Z" }, svg);
  return (index, closest) => {
    const visible = values[index] !== null;
    here.setAttribute("visibility", visible ? "visible" : "hidden");
    if (visible) here.setAttribute("transform", `translate(${place(index).join(" ")})`);
    const ring = closest !== null && after[closest] !== null;
    near.setAttribute("visibility", ring ? "visible" : "hidden");
    if (!ring) return;
    near.setAttribute("cx", at.x(data.finished[closest].sparsity));
    near.setAttribute("cy", at.y(after[closest]));
  };
}
