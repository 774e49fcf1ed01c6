// How many score how much: all bars in grey and in blue, the blue ones cut off at the line that moves.
function drawHistogram(svg, data) {
  const { edges, counts } = data.histogram;
  const most = Math.max(...counts, 1);
  const at = plane(svg, {
    x: [edges[0], edges[edges.length - 1]], y: [0, 1.05 * most], xTitle: data.scoreTitle,
    xTicks: [[-4, "≤ 0.0001"], [-3, "0.001"], [-2, "0.01"], [-1, "0.1"], [0, "1"]],
    yTicks: ticks(0, most, (value) => value.toLocaleString("en")),
  });
  const [low, high] = data.band.map((threshold) => at.x(Math.log10(threshold)));
  make("rect", { class: "mp-band", x: low, y: at.top, width: high - low, height: at.bottom - at.top }, svg);
  const clip = make("rect", { x: 0, y: 0, width: at.right + 20, height: at.bottom }, make("clipPath", { id: "mp-kept" }, make("defs", {}, svg)));
  const kept = make("g", { "clip-path": "url(#mp-kept)" });
  for (const [group, className] of [[svg, "mp-bar-gone"], [kept, "mp-bar-kept"]])
    counts.forEach((count, bin) => {
      const x = at.x(edges[bin]), width = Math.max(at.x(edges[bin + 1]) - x - 1, 1);
      const bar = make("rect", { class: className, x, width, y: at.y(count), height: at.bottom - at.y(count) }, group);
      make("title", {}, bar, `${count.toLocaleString("en")} ${data.what}`);
    });
  svg.appendChild(kept);
  const cut = make("line", { class: "mp-line", y1: at.top, y2: at.bottom }, svg);
  return (index) => {
    const threshold = data.thresholds[index];
    const x = threshold > 0 ? Math.max(at.x(Math.log10(threshold)), at.left) : at.left;
    cut.setAttribute("x1", x);
    cut.setAttribute("x2", x);
    clip.setAttribute("x", x);
  };
}
