// What the server does at the moment, from /metrics, asked for once a second while somebody looks.

import { reach } from "./api.js";
import { el, number, sparkline } from "./draw.js";

const HISTORY = 60;

function parse(text) {
  const totals = new Map();
  const bounds = [];
  for (const found of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const [, name, labels, value] = found;
    totals.set(name, (totals.get(name) ?? 0) + Number(value));
    const bound = name === "te_request_duration_bucket" && /le="([^"]+)"/.exec(labels);
    if (bound) bounds.push([bound[1] === "+Inf" ? Infinity : Number(bound[1]), Number(value)]);
  }
  return { at: performance.now() / 1000, get: (name) => totals.get(name) ?? 0, bounds };
}

/** The median of the durations between two scrapes: the middle of the first bucket with half of them. */
function median(before, now) {
  const counts = now.bounds.map(([bound, count], index) => [bound, count - before.bounds[index][1]]);
  const half = counts.at(-1)[1] / 2;
  if (half <= 0) return "–";
  const index = counts.findIndex(([, count]) => count >= half);
  const [low, below] = index > 0 ? counts[index - 1] : [0, 0];
  const [high, count] = counts[index];
  if (high === Infinity) return `> ${low} s`;
  return `${number(1000 * (low + ((high - low) * (half - below)) / (count - below)), 1)} ms`;
}

/** Shows figures in a box, and says what the server is doing; `told` gets "ready", "not ready" or a problem. */
export class Load {
  constructor(box, told) {
    this.told = told;
    this.before = null;
    this.history = { requests: [], busy: [] };
    this.values = {};
    const names = { requests: "requests / s", busy: "model busy", tokens: "tokens / s", median: "median time", waiting: "tokens waiting", cores: "cores in use" };
    for (const [key, name] of Object.entries(names)) {
      this.values[key] = el("dd", {}, "–");
      box.append(el("div", {}, el("dt", {}, name), this.values[key]));
    }
    document.addEventListener("visibilitychange", () => this.plan());
    this.plan();
  }

  plan() {
    clearTimeout(this.timer);
    if (document.hidden) this.before = null;
    else this.look();
  }

  async look() {
    try {
      const now = parse(await (await reach("metrics")).text());
      this.told(now.get("bertc_ready") ? "ready" : "not ready");
      if (this.before) this.show(this.before, now);
      this.before = now;
    } catch (problem) {
      this.before = null;
      this.told(problem.status ? problem.message : "unreachable");
    }
    clearTimeout(this.timer);
    if (!document.hidden) this.timer = setTimeout(() => this.look(), 1000);
  }

  show(before, now) {
    const seconds = now.at - before.at;
    const rate = (name) => (now.get(name) - before.get(name)) / seconds;
    const requests = rate("te_request_duration_count");
    const busy = Math.min(1, rate("bertc_model_seconds"));
    this.put("requests", number(requests, requests < 10 ? 1 : 0), requests);
    this.put("busy", `${number(100 * busy)} %`, busy);
    this.put("tokens", number(rate("bertc_model_tokens")));
    this.put("median", median(before, now));
    this.put("waiting", number(now.get("bertc_queue_tokens")));
    this.put("cores", number(rate("process_cpu_seconds"), 2));
  }

  put(key, text, value) {
    this.values[key].replaceChildren(text);
    const history = this.history[key];
    if (!history) return;
    history.push(value);
    if (history.length > HISTORY) history.shift();
    this.values[key].append(sparkline(history, HISTORY));
  }
}
