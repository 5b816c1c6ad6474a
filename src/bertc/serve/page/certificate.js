// The certificate of a model: how far its answers are from those of the fp32 model, as its file states it.

import { bars, cards, el, number, table } from "./draw.js";

const percent = (value, digits = 2) => `${number(100 * value, digits)} %`;

function headline(certificate) {
  const { logits, values, output, vectors, task, data } = certificate;
  const facts = [];
  if (logits) {
    facts.push(["same answers as fp32", percent(logits.same_decisions / Math.max(logits.rows, 1))]);
    facts.push(["mean divergence, nats", logits.mean_kl.toPrecision(2)]);
  } else if (values) {
    facts.push(["correlation with fp32", values.correlation.toFixed(6)]);
    facts.push(["largest difference", values.largest_difference.toPrecision(3)]);
  } else if (vectors[output]) {
    facts.push(["mean cosine to fp32", vectors[output].mean_cosine.toFixed(5)]);
    facts.push(["worst cosine to fp32", vectors[output].worst_cosine.toFixed(5)]);
  }
  for (const [name, score] of Object.entries(task?.compiled ?? {}).slice(0, 1)) {
    facts.push([`${name} (fp32: ${number(task.fp32[name] ?? 0, 2)})`, number(score, 2)]);
  }
  facts.push(["held-out samples", number(data.samples)]);
  return facts;
}

function layers(certificate) {
  if (!certificate.layers.length) return undefined;
  const most = Math.max(...certificate.layers.map((layer) => layer.sqnr_db));
  const rows = certificate.layers.map((layer) => [`${layer.name} · ${layer.precision}`, layer.sqnr_db]);
  const caption = "Signal to quantization noise of each layer's result in decibels, the errors of all layers before it included";
  return el("details", {}, el("summary", {}, `Layer by layer (${rows.length})`), bars(caption, rows, { most, spell: (value) => `${number(value, 1)} dB` }));
}

function budget({ budget: found }) {
  if (!found) return undefined;
  const verb = found.met ? "holds" : "does not hold";
  const more = found.fallbacks.length ? ` Layers with more bits than the recipe says: ${found.fallbacks.length}.` : "";
  return el("p", {}, `The budget ${verb}: ${found.metric} may drop by ${percent(found.max_drop)}, it drops by ${percent(found.drop)}.${more}`);
}

function worst(certificate) {
  if (!certificate.worst.length) return undefined;
  const rows = certificate.worst.map(({ value, tokens, text }) => [value.toPrecision(4), String(tokens), text]);
  const numbers = table(`Held-out samples farthest from fp32, by ${certificate.worst_by}`, [certificate.worst_by, "tokens", "text"], rows, [0, 1]);
  return el("details", {}, el("summary", {}, "The worst samples"), numbers);
}

/** What is shown of an entry of /certificates. */
export function certificate({ summary, certificate: found }) {
  const { data } = found;
  return [
    el("p", {}, "How far this model's answers are from those of the original in 32-bit floating point (fp32), measured when it was compiled."),
    cards(headline(found)),
    el("p", {}, `${summary[0].toUpperCase()}${summary.slice(1)}.`),
    ...found.notes.map((note) => el("p", { class: "note" }, note)),
    budget(found),
    el("p", { class: "soft" }, `Measured on ${data.name}: ${number(data.samples)} samples, ${number(data.tokens)} tokens, none of which it was calibrated on; ${found.processor}, ${found.isa}. Reference: ${found.reference}.`),
    layers(found),
    worst(found),
  ].filter((each) => each !== undefined);
}
