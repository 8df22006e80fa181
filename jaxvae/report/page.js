"use strict";
const charts = JSON.parse(document.getElementById("charts").textContent);
const root = document.documentElement, mode = document.getElementById("mode");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => root.dataset.mode ? root.dataset.mode === "dark" : system.matches;

// Colors that are chosen for white paper, nearer to white where the paper is dark.
function lighter(color) {
  if (!isDark() || !/^#[0-9a-f]{6}$/i.test(color || "")) return color;
  const parts = [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
  return "#" + parts.map(one => Math.round(one + .4 * (255 - one)).toString(16).padStart(2, "0")).join("");
}

// A ring around the points that have pictures, a thick one around that whose pictures are shown.
const hasPictures = (list, name) => [...list.options].some(one => one.value === name);
const ring = (drawn, list, ink) => !list ? {} : {line: {color: ink, width:
  drawn.customdata.map(name => name === list.value ? 3.5 : hasPictures(list, name) ? 1.5 : 0)}};

function shown(chart, chosen, list, ink) {
  return chart.traces.filter(trace => Object.entries(trace.when).every(([name, value]) => chosen[name] === value))
    .map(({drawn}) => ({...drawn,
      ...(drawn.line ? {line: {...drawn.line, color: lighter(drawn.line.color)}} : {}),
      ...(drawn.marker ? {marker: {...drawn.marker, color: lighter(drawn.marker.color), ...ring(drawn, list, ink)}} : {})}));
}

// Ticks of a logarithmic axis: decimals, three at least among what is drawn. At powers of ten where
// there are so many, else at 1, 2 and 5 times these, at every first digit, or evenly spaced.
function ticks(values) {
  const known = values.filter(value => value > 0), low = Math.min(...known), high = Math.max(...known);
  if (!known.length) return {};
  const [first, last] = [low, high].map(value => Math.floor(Math.log10(value)));
  const powers = [...Array(last - first + 2).keys()].map(at => at + first);
  for (const digits of [[1], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    const tickvals = powers.flatMap(power => digits.map(digit => Number(`${digit}e${power}`)));
    if (tickvals.filter(tick => tick >= low && tick <= high).length >= 3) return {tickvals, ticktext: tickvals.map(String)};
  }
  const tickvals = [0, 1, 2, 3].map(part => Number((low + (high - low) * part / 3).toPrecision(2)));
  return {tickvals, ticktext: tickvals.map(String)};
}

// The range that all values of a chart have at the other choices, with their errors: a slider then
// moves what is drawn and not the axis.
function range(traces, isLog) {
  const values = traces.flatMap(({drawn}) => drawn.type === "heatmap" ? [] : drawn.y.flatMap((value, at) => {
    const error = drawn.error_y?.array?.[at] ?? 0;
    return value === null ? [] : [value - error, value, value + error];
  })).filter(value => Number.isFinite(value) && (!isLog || value > 0)).map(value => isLog ? Math.log10(value) : value);
  const low = Math.min(...values), high = Math.max(...values), room = .05 * (high - low);
  return high > low ? {range: [low - room, high + room]} : {};
}

function draw(section) {
  const chart = charts[section.dataset.chart], chosen = {}, sliders = [];
  for (const control of section.querySelectorAll("[data-choice]")) {
    const values = control.dataset.values && JSON.parse(control.dataset.values);
    chosen[control.dataset.choice] = values ? values[control.value] : control.value;
    if (values) {
      sliders.push(control.dataset.choice);
      control.nextElementSibling.textContent = values[control.value];
      control.setAttribute("aria-valuetext", values[control.value]);
    }
  }
  const style = getComputedStyle(root), ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  const axis = {gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true};
  const traces = shown(chart, chosen, section.querySelector("[data-pictures]"), ink), given = chart.layout.yaxis;
  const yaxis = {...given, title: {...given.title, text: chosen[given.title.text] ?? given.title.text}}, isLog = given.type === "log";
  const any = chart.traces.filter(({when}) => Object.entries(when).every(([name, value]) => sliders.includes(name) || chosen[name] === value));
  if (sliders.length && !given.range && any.some(({drawn}) => drawn.type !== "heatmap")) Object.assign(yaxis, range(any, isLog));
  if (isLog && !given.tickvals) Object.assign(yaxis, ticks(any.flatMap(({drawn}) => drawn.y)));
  const layout = {...chart.layout,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true, hovermode: "closest",
    font: {family: "system-ui, sans-serif", size: 13, color: ink}, margin: {l: 10, r: 10, t: 10, b: 10},
    legend: {orientation: "h", yanchor: "bottom", y: 1.02, x: 0},
    xaxis: {...axis, ...chart.layout.xaxis}, yaxis: {...axis, ...yaxis}};
  Plotly.react(section.querySelector(".plot"), traces, layout, {responsive: true, displaylogo: false, displayModeBar: false});
}

const sections = [...document.querySelectorAll(".chart")];
function drawAll() { mode.textContent = isDark() ? "Light" : "Dark"; mode.setAttribute("aria-pressed", isDark()); sections.forEach(draw); }
for (const section of sections)
  section.querySelectorAll("[data-choice]").forEach(control => control.addEventListener("input", () => draw(section)));
mode.addEventListener("click", () => { root.dataset.mode = isDark() ? "light" : "dark"; drawAll(); });
system.addEventListener("change", drawAll);

for (const list of document.querySelectorAll("[data-pictures]")) {
  const section = list.closest(".chart");
  const show = () => {
    section.querySelectorAll("[data-picture]").forEach(one => { one.hidden = one.dataset.picture !== list.value; });
    draw(section);
  };
  list.addEventListener("input", show);
}

const number = text => { const found = parseFloat(text.replace(/,|^[<>] /g, "")); return Number.isNaN(found) ? null : found; };
for (const head of document.querySelectorAll("th"))
  head.firstElementChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending", body = head.closest("table").tBodies[0];
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [row.cells[head.cellIndex].textContent, row]);
    rows.sort(([a], [b]) => {
      const [x, y] = [number(a), number(b)];
      if (x === null && y === null) return up ? a.localeCompare(b) : b.localeCompare(a);
      if (x === null || y === null) return (x === null) - (y === null);
      return up ? x - y : y - x;
    });
    body.append(...rows.map(([, row]) => row));
  });
drawAll();
// After the first drawing: a plot hears clicks only once it is drawn.
for (const list of document.querySelectorAll("[data-pictures]"))
  list.closest(".chart").querySelector(".plot").on("plotly_click", ({points: [point]}) => {
    if (!hasPictures(list, point.customdata)) return;
    list.value = point.customdata;
    list.dispatchEvent(new Event("input"));
  });
