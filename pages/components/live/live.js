// The live threshold: the whole sweep is here, so that a move needs no server; the server hears of a release.
const PAGE = 10; // thresholds a page key moves
const PAUSE = 250; // milliseconds after the last key before the server is told

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".mp-live");
  if (!root || !data) return;
  const before = root.mpLive;
  if (before) before.leave();
  const view = before && before.view.id === data.id ? before.view : { ...data.view, id: data.id, told: data.view.index, undo: [] };
  root.mpLive = live(root, data, view, setTriggerValue);
  return () => root.mpLive && root.mpLive.leave();
}

function live(root, data, view, setTriggerValue) {
  const find = (name) => root.querySelector(`.mp-${name}`);
  const slider = find("threshold"), risk = find("risk");
  const leaving = new AbortController();
  const on = (element, event, act) => element.addEventListener(event, act, { signal: leaving.signal });
  let where = places(data, view.scale);
  let pending = null;
  let movers = [];

  // --- what moves ------------------------------------------------------------------------------------

  const tiles = layTiles(find("tiles"), data);
  const fadeFeatures = listFeatures(find("features"), data);

  function closest() {
    let best = null;
    data.finished.forEach((one, at) => {
      const gap = Math.abs(one.sparsity - data.sparsity[view.index]);
      if (best === null || gap < Math.abs(data.finished[best].sparsity - data.sparsity[view.index])) best = at;
    });
    return best;
  }

  function show() {
    const at = view.index, near = closest();
    find("now").value = `${data.text.threshold[at]} · ${data.text.sparsity[at]} removed`;
    slider.setAttribute("aria-valuetext", `threshold ${data.text.threshold[at]}, ${data.text.sparsity[at]} of the ${data.what} removed, AUROC ${data.text.auroc[at]}`);
    tiles(at, near);
    for (const move of movers) move(at, near);
    const gone = fadeFeatures(at);
    find("features-title").textContent = `${gone} of ${data.features.length} features no longer needed`;
    decide();
    eachClass(at);
  }

  function moveTo(index, { slide = true } = {}) {
    view.index = Math.min(Math.max(index, 0), data.thresholds.length - 1);
    if (slide) slider.value = Math.round(STEPS * where[view.index]);
    show();
  }

  // --- what is drawn once, and again when the size or the metric changes ------------------------------

  function floor() {
    const dense = data.metrics[view.metric][0];
    return dense === null ? null : dense - data.better[view.metric] * view.tolerance;
  }

  function fit() {
    const least = floor(), sign = data.better[view.metric];
    if (least === null) return null;
    let best = null;
    data.metrics[view.metric].forEach((value, at) => {
      if (value !== null && sign * (value - least) >= -1e-12) best = at;
    });
    return best;
  }

  function draw() {
    drawMarks(find("marks"), data, where, fit());
    movers = [
      drawTradeoff(find("tradeoff"), data, view.metric, floor()),
      drawHistogram(find("histogram"), data),
      drawNetwork(find("network"), data),
    ];
    root.mpDecide = drawDecisions(find("decisions"), data, view.klass);
    find("metric-name").textContent = data.names[view.metric];
    find("ends").firstElementChild.textContent = SCALES[view.scale].ends[0];
    find("ends").lastElementChild.textContent = SCALES[view.scale].ends[1];
    find("histogram-title").textContent = `${data.groups.toLocaleString("en")} ${data.what} by score: grey goes, blue stays`;
    find("network-title").textContent = data.network.title;
    for (const [name, text] of [["tradeoff", `${data.names[view.metric]} on tuning patients against the share removed.`],
      ["histogram", `How many ${data.what} score how much.`], ["network", data.network.title],
      ["decisions", "Missed cases and false alarms of 1,000 patients by the risk acted at."]])
      find(name).setAttribute("aria-label", text);
    show();
  }

  // --- decisions ---------------------------------------------------------------------------------------

  function countsAt(all) {
    return all.map((at) => at[view.klass]);
  }

  function decide() {
    if (!find("decide").open) return;
    const now = countsAt(data.acted[view.index]), near = closest();
    const best = cheapest(costs(data, now, view.klass, view.ratio));
    root.mpDecide(now, view.risk, best);
    const columns = [["dense", countsAt(data.acted[0])], ["one cut", now]];
    if (near !== null) columns.push([`finished, ${data.finished[near].text.sparsity} removed`, countsAt(data.finished[near].acted)]);
    const told = columns.map(([, counts]) => perThousand(data, counts[view.risk], view.klass));
    table(find("per-thousand"), ["of 1,000 patients", ...columns.map(([name]) => name)], [
      ["missed cases", ...told.map(({ missed }) => String(Math.round(missed)))],
      ["false alarms", ...told.map(({ alarms }) => String(Math.round(alarms)))],
    ]);
    const at = percent(data.actGrid[view.risk]);
    const own = told[1];
    find("risk-now").value = at;
    risk.setAttribute("aria-valuetext", `act at a risk of ${at}: ${Math.round(own.missed)} missed cases and ${Math.round(own.alarms)} false alarms of 1,000 patients`);
    find("optimum").textContent = `At this weighing acting at ${percent(data.actGrid[best])} costs least on these patients; ` +
      `risks that are right would be acted on from ${percent(1 / (1 + view.ratio))}.`;
    find("cheapest").mpBest = best;
  }

  function eachClass(at) {
    if (!find("classes").open) return;
    table(find("by-class"), ["class", "sensitivity", "specificity", "AUROC"], data.classes.map((name, k) => [name, ...data.byClass[at][k]]));
    table(find("confusion"), ["truly", ...data.classes.map((name) => `called ${name}`)],
      data.classes.map((name, k) => [name, ...data.confusion[at][k].map((count) => count.toLocaleString("en"))]));
  }

  // --- what the server hears ----------------------------------------------------------------------------

  function tell() {
    clearTimeout(pending);
    pending = null;
    const { id, told, undo, ...shown } = view;
    setTriggerValue("told", shown);
  }

  function release() {
    if (view.index !== view.told) {
      view.undo.push(view.told);
      view.told = view.index;
    }
    find("undo").disabled = view.undo.length === 0;
    find("said").textContent = data.text.said[view.index];
    tell();
  }

  function undo() {
    if (!view.undo.length) return;
    view.told = view.undo.pop();
    moveTo(view.told);
    release();
  }

  function later() {
    clearTimeout(pending);
    pending = setTimeout(release, PAUSE);
  }

  // --- hands -----------------------------------------------------------------------------------------------

  const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -PAGE, PageUp: PAGE, Home: -Infinity, End: Infinity };
  on(slider, "keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    moveTo(view.index + KEYS[event.key]);
    later();
  });
  on(slider, "input", () => moveTo(nearest(where, slider.value / STEPS), { slide: false }));
  on(slider, "change", () => {
    moveTo(view.index);
    release();
  });
  on(root, "keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
  });
  on(find("undo"), "click", undo);
  on(find("fit"), "click", () => {
    if (fit() === null) return;
    moveTo(fit());
    release();
  });
  on(find("tolerance"), "input", () => {
    view.tolerance = Math.max(Number(find("tolerance").value) || 0, 0);
    draw();
  });
  on(find("metric"), "change", () => {
    view.metric = find("metric").value;
    draw();
    tell();
  });
  on(find("scale"), "change", (event) => {
    view.scale = event.target.value;
    where = places(data, view.scale);
    draw();
    moveTo(view.index);
    tell();
  });
  on(find("class"), "change", () => {
    view.klass = Number(find("class").value);
    draw();
    tell();
  });
  on(find("ratio"), "input", () => {
    view.ratio = Math.max(Number(find("ratio").value) || 0.01, 0.01);
    decide();
  });
  on(risk, "input", () => {
    view.risk = Number(risk.value);
    decide();
  });
  for (const name of ["tolerance", "ratio", "risk"]) on(find(name), "change", tell);
  on(find("cheapest"), "click", () => {
    view.risk = find("cheapest").mpBest;
    risk.value = view.risk;
    decide();
    tell();
  });
  on(find("act"), "click", () => setTriggerValue("act", data.actGrid[view.risk]));
  for (const name of ["decide", "classes"]) on(find(name), "toggle", draw);

  // --- set up --------------------------------------------------------------------------------------------------

  find("wait").hidden = true;
  find("body").hidden = false;
  choices(find("metric"), data.names, view.metric);
  choices(find("class"), Object.fromEntries(data.events.map((_, k) => [k, data.acting[k]])), view.klass);
  find("class-label").hidden = data.events.length < 2;
  find("act").hidden = data.events.length > 1;
  radios(find("scale"), view.scale);
  find("tolerance").value = view.tolerance;
  find("ratio").value = Number(view.ratio.toPrecision(3));
  find("undo").disabled = view.undo.length === 0;
  Object.assign(risk, { min: 0, max: data.actGrid.length - 1, value: view.risk });
  find("said").textContent = data.text.said[view.index];
  draw();
  moveTo(view.index);
  let width = root.clientWidth;
  const watch = new ResizeObserver(() => {
    if (root.clientWidth === width || !root.clientWidth) return;
    width = root.clientWidth;
    draw();
  });
  watch.observe(root);
  return {
    view,
    leave() {
      leaving.abort();
      watch.disconnect();
      clearTimeout(pending);
    },
  };
}

// One tile a figure: its value now, the change against dense, and the nearest finished model's.
function layTiles(row, data) {
  row.replaceChildren();
  const laid = data.tiles.map(({ name, label }) => {
    const tile = html("dl", "mp-tile", row);
    tile.dataset.mp = name;
    html("dt", "", tile, label);
    return { name, value: html("dd", "mp-value", tile), change: html("dd", "mp-small", tile), after: html("dd", "mp-small mp-after", tile) };
  });
  return (at, near) => {
    for (const { name, value, change, after } of laid) {
      value.textContent = data.text[name][at];
      change.textContent = data.change[name][at];
      after.textContent = near === null ? "" : `${data.finished[near].text[name]} retrained`;
    }
  };
}

// Feature chips, those that go first at the end; counts how many are gone.
function listFeatures(list, data) {
  list.replaceChildren();
  const order = [...data.features].sort((a, b) => b.last - a.last);
  const fade = fading(order.map(({ name, last }) => [last, html("li", "", list, name)]), data.thresholds.length);
  return (at) => {
    fade(at);
    return data.features.filter(({ last }) => last <= at).length;
  };
}

function choices(select, names, chosen) {
  select.replaceChildren();
  for (const key in names) html("option", "", select, names[key]).value = key;
  select.value = chosen;
}

function radios(group, chosen) {
  group.querySelectorAll("label").forEach((label) => label.remove());
  for (const key in SCALES) {
    const label = html("label", "", group);
    const input = html("input", "", label);
    Object.assign(input, { type: "radio", name: "mp-scale", value: key, checked: key === chosen });
    label.append(` ${SCALES[key].title}`);
  }
}
