// The decision threshold: missed cases and false alarms of 1,000 patients, and the risk that costs least.
const THOUSAND = 1000;

function perThousand(data, counts, klass) {
  const events = data.events[klass], scale = THOUSAND / data.patients;
  return { missed: (events - counts[0]) * scale, alarms: counts[1] * scale };
}

// counts[d] = [rightly acted on, wrongly acted on] at each risk of the grid.
function costs(data, counts, klass, ratio) {
  return counts.map((at) => {
    const { missed, alarms } = perThousand(data, at, klass);
    return ratio * missed + alarms;
  });
}

// Of equally cheap risks the middle one: the ends of a plateau are its least certain places.
function cheapest(values) {
  const least = Math.min(...values);
  const all = values.map((_, at) => at).filter((at) => values[at] <= least + 1e-9);
  return all[Math.floor((all.length - 1) / 2)];
}

function drawDecisions(svg, data, klass) {
  const grid = data.actGrid;
  const most = Math.max(data.events[klass], data.patients - data.events[klass]) * (THOUSAND / data.patients);
  const at = plane(svg, {
    x: [0, 1], y: [0, 1.02 * most], xTitle: "act at this risk or more",
    xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((value) => [value, percent(value)]),
    yTicks: ticks(0, most, (value) => String(Math.round(value))),
  });
  const missed = make("path", { class: "mp-missed" }, svg), alarms = make("path", { class: "mp-alarms" }, svg);
  const best = make("line", { class: "mp-cost", y1: at.top, y2: at.bottom }, svg);
  const here = make("line", { class: "mp-line", y1: at.top, y2: at.bottom }, svg);
  const names = [make("text", {}, svg, "missed"), make("text", {}, svg, "false alarms")];
  return (counts, risk, optimum) => {
    const shown = counts.map((one) => perThousand(data, one, klass));
    missed.setAttribute("d", line(shown.map((one, d) => [at.x(grid[d]), at.y(one.missed)])));
    alarms.setAttribute("d", line(shown.map((one, d) => [at.x(grid[d]), at.y(one.alarms)])));
    for (const [element, d] of [[here, risk], [best, optimum]]) {
      element.setAttribute("x1", at.x(grid[d]));
      element.setAttribute("x2", at.x(grid[d]));
    }
    const end = shown.length - 1;
    [[end, shown[end].missed, "end"], [0, shown[0].alarms, "start"]].forEach(([d, value, anchor], which) => {
      names[which].setAttribute("x", at.x(grid[d]));
      names[which].setAttribute("y", Math.max(at.y(value) - 5, at.top + 8));
      names[which].setAttribute("text-anchor", anchor);
    });
  };
}
