// The chart of a structure function. Belongs here: measured values with errors, the curve of the
// fitted random walk. Doesn't: measuring, the facts of the source.

import { counted, digits, range, withError } from "../numbers.js";
import { chart } from "./chart.js";
import { dots, errorBars, line } from "./marks.js";

const COLUMNS = [
  { name: "Lag (days)", of: (r) => r.x, show: (r) => digits(r.x), number: true },
  { name: "Structure function", of: (r) => r.y, show: (r) => digits(r.y), number: true },
  { name: "Error", of: (r) => r.error, show: (r) => digits(r.error, 2), number: true },
  { name: "Random walk and jitter", of: (r) => r.model, show: (r) => digits(r.model), number: true },
  { name: "Pairs", of: (r) => r.pairs, number: true },
];

/** Make the chart of a structure function of ln S, both axes logarithmic. */
export function structureChart(structure) {
  const rows = structure.lag_days.map((x, i) => ({ x, y: structure.structure[i], error: structure.structure_error[i], model: structure.model[i], pairs: structure.n_pairs[i] }));
  const shown = rows.filter((r) => r.y > 0);
  const below = rows.length - shown.length;
  const model = rows.map((r) => ({ x: r.x, y: r.model }));
  const ys = range([...shown.flatMap((r) => [r.y, r.y + (r.error ?? 0)]), ...model.map((r) => r.y)], { log: true, margin: 0.1 });
  // A bar that reaches zero ends at the edge.
  const bars = shown.flatMap((r) => {
    const low = Math.max(r.y - r.error, ys[0]);
    const middle = (r.y + r.error + low) / 2;
    return [{ x: r.x, y: middle, error: middle - low }];
  });
  return chart({
    id: "structure",
    title: "Structure function of ln S",
    gist: `Mean squared difference of ln S between measurements a lag apart, less that of their errors; ${counted(rows.length, "lags")}${below ? `, ${below} of them not above zero and not drawn` : ""}.`,
    height: 280,
    x: { kind: "log", label: "Lag (days)", domain: range(rows.map((r) => r.x), { log: true }) },
    y: { kind: "log", label: "Structure function", domain: ys },
    draw(plot) {
      line(plot, model, "template");
      errorBars(plot, bars, "main");
      dots(plot, shown, "main", 7);
    },
    points: shown.map((r) => ({ ...r, says: `Lag ${digits(r.x)} days: ${withError(r.y, r.error)}, of the fitted walk ${digits(r.model)}; ${counted(r.pairs, "pairs")}. ` })),
    legend: [["main", "dots", "measured"], ["template", "line", "damped random walk and jitter"]],
    columns: COLUMNS,
    rows,
  });
}
