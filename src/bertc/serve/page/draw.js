// What results look like: elements, bars, matrices, marked texts, tokens. No request is made here.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

/** An element; functions among the attributes listen to events, texts among the children stay texts. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

const share = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A number of at most so many digits behind the point. */
export function number(value, digits = 0) {
  return value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** Rows of a name, a bar and a number: `rows` are [name, value], `most` is the value of a full bar. */
export function bars(caption, rows, { most = 1, spell = (value) => share.format(value) } = {}) {
  const lines = rows.map(([name, value]) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${Math.max(0, Math.min(1, value / most)) * 100}%`;
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "track" }, bar), el("td", { class: "number" }, spell(value)));
  });
  return el("table", { class: "bars" }, el("caption", {}, caption), el("tbody", {}, ...lines));
}

/** A table of texts and numbers; `numeric` are the columns of numbers. */
export function table(caption, columns, rows, numeric = []) {
  const kind = (index) => (numeric.includes(index) ? "number" : undefined);
  return el(
    "div", { class: "wide", tabindex: 0, role: "group", "aria-label": caption },
    el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...columns.map((name, index) => el("th", { scope: "col", class: kind(index) }, name)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, index) => el("td", { class: kind(index) }, cell)))))),
  );
}

/** How alike texts are, a shade and a number for each pair; the texts stand beside it with their numbers. */
export function matrix(texts, values) {
  const head = texts.map((text, index) => el("th", { scope: "col", title: text }, String(index + 1)));
  const rows = values.map((row, index) => {
    const cells = row.map((value, other) => {
      const cell = el("td", { title: `${texts[index]}\n${texts[other]}`, class: value < 0 ? "below" : undefined }, value.toFixed(2));
      cell.style.setProperty("--share", Math.min(1, Math.abs(value)));
      return cell;
    });
    return el("tr", {}, el("th", { scope: "row", title: texts[index] }, String(index + 1)), ...cells);
  });
  return el(
    "div", { class: "matrix" },
    el("ol", {}, ...texts.map((text) => el("li", {}, text))),
    el("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Matrix of similarities" },
      el("table", {}, el("caption", {}, "1 is the same direction, 0 is unrelated"),
        el("thead", {}, el("tr", {}, el("td"), ...head)), el("tbody", {}, ...rows))),
  );
}

/** A text with places marked. Places are [start, end, kind, score] in characters as Python counts them. */
export function marked(text, places) {
  const characters = Array.from(text);
  const kinds = [...new Set(places.map((place) => place[2]))];
  const parts = [];
  let at = 0;
  for (const [start, end, kind, score] of [...places].sort((a, b) => a[0] - b[0])) {
    if (start < at) continue;
    parts.push(characters.slice(at, start).join(""));
    const name = el("span", { class: "kind" }, kind);
    parts.push(el("mark", { class: `kind-${kinds.indexOf(kind) % 6}`, title: share.format(score) }, characters.slice(start, end).join(""), name));
    at = end;
  }
  parts.push(characters.slice(at).join(""));
  return el("p", { class: "marked" }, ...parts);
}

/** The tokens of a text as /tokenize gives them. */
export function tokens(found) {
  return el("ol", { class: "tokens" }, ...found.map((token) => {
    const place = token.special ? "special" : `characters ${token.start} to ${token.stop}`;
    const text = token.special ? "special" : token.text.replaceAll(" ", "␣").replaceAll("\n", "⏎") || "∅";
    return el("li", { class: token.special ? "special" : undefined, title: place }, el("b", {}, text), el("span", {}, String(token.id)));
  }));
}

/** Values with the names of what they are. */
export function cards(facts) {
  return el("dl", { class: "cards" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** A line of the last values, newest on the right; it fills its box. */
export function sparkline(values, count) {
  const most = Math.max(...values, 1e-9);
  const first = count - values.length;
  const points = values.map((value, index) => `${first + index},${(20 - 18 * (value / most)).toFixed(2)}`);
  return svg("svg", { viewBox: `0 0 ${count - 1} 21`, preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" },
    svg("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" }));
}
