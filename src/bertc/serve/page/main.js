// The page: asks for the key where there is one, lists the models, and shows one of them.

import { ask, curl, hasKey, reach, useKey } from "./api.js";
import { certificate } from "./certificate.js";
import { el, number, tokens } from "./draw.js";
import { Load } from "./load.js";
import { taskOf } from "./tasks.js";

const byId = (id) => document.getElementById(id);
let load;
let certificates;

function tell(state) {
  byId("state").textContent = state;
  byId("state").dataset.state = state === "ready" ? "ready" : "not";
}

async function begin() {
  try {
    const info = await ask("info");
    byId("key").hidden = true;
    byId("forget").hidden = !hasKey();
    byId("links").hidden = hasKey(); // they would be asked for without the key
    byId("board").hidden = false;
    certificates = undefined;
    list(info.models);
    load ??= new Load(byId("figures"), tell);
  } catch (problem) {
    if (problem.status === 401) askForKey(hasKey() ? "The server takes another key." : "");
    else {
      tell(problem.status ? problem.message : "unreachable");
      setTimeout(begin, 1000);
    }
  }
}

function askForKey(problem) {
  tell("asks for a key");
  byId("links").hidden = true;
  byId("key").hidden = false;
  byId("key-problem").hidden = !problem;
  byId("key-problem").textContent = problem;
  byId("secret").focus();
}

byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("secret").value);
  byId("secret").value = "";
  begin();
});
byId("forget").addEventListener("click", () => location.reload());

function list(models) {
  const choices = models.map((model, index) => el(
    "label", {},
    el("input", { type: "radio", name: "model", value: model.name, checked: index === 0, change: () => show(model) }),
    el("b", {}, model.name),
    el("small", {}, `${model.task.replaceAll("_", " ")} · ${model.model_dtype}`),
  ));
  byId("models").replaceChildren(el("fieldset", {}, el("legend", {}, models.length === 1 ? "Model" : "Models"), ...choices));
  show(models[0]);
}

function show(model) {
  const task = taskOf(model);
  const tabs = [
    ["Try", () => (task ? [trial(model, task)] : [el("p", {}, "No route does this model's task yet. Its tokens and its certificate are here.")])],
    ["Tokens", () => [tokenizer(model, task)]],
    ["Certificate", () => [certified(model)]],
  ];
  byId("main").replaceChildren(
    el("h2", {}, model.name),
    el("p", { class: "soft" }, `${model.task.replaceAll("_", " ")} · ${model.model_dtype} · ${model.isa} · at most ${number(model.max_input_length)} tokens a text`),
    ...tabbed(tabs),
  );
}

/** A list of tabs and their panels, which are made when they are first looked at. */
function tabbed(tabs) {
  const buttons = tabs.map(([name], index) => el("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": `panel-${index}`, click: () => choose(index), keydown: move }, name));
  const panels = tabs.map((_, index) => el("section", { role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}` }));
  const made = new Set();

  function choose(chosen) {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === chosen));
      button.tabIndex = index === chosen ? 0 : -1;
      panels[index].hidden = index !== chosen;
    });
    if (made.has(chosen)) return;
    made.add(chosen);
    panels[chosen].append(...tabs[chosen][1]());
  }

  function move(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.length, End: tabs.length };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = buttons.indexOf(event.currentTarget);
    const next = Math.abs(step) === 1 ? (at + step + tabs.length) % tabs.length : step < 0 ? 0 : tabs.length - 1;
    choose(next);
    buttons[next].focus();
  }

  choose(0);
  return [el("div", { role: "tablist", "aria-label": "Views" }, ...buttons), ...panels];
}

/** A form, and below it what `work` makes of the values of its fields: elements, and a line about them. */
function asking(fields, more, button, work) {
  let running;
  const inputs = fields.map((field) => {
    const input = el(field.rows === 1 ? "input" : "textarea", { name: field.name, rows: field.rows === 1 ? undefined : field.rows, spellcheck: "false", autocomplete: "off" });
    input.value = field.value;
    return el("label", {}, field.label, input);
  });
  const line = el("p", { class: "soft", role: "status" });
  const place = el("div", { class: "result" });
  const form = el("form", { submit, keydown }, ...inputs, el("div", { class: "row" }, el("button", {}, button), ...more));

  function values() {
    return Object.fromEntries(fields.map(({ name, lines }) => {
      const value = form.elements.namedItem(name).value;
      return [name, lines ? value.split("\n").map((each) => each.trim()).filter(Boolean) : value];
    }));
  }

  function keydown(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  }

  async function submit(event) {
    event.preventDefault();
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    place.setAttribute("aria-busy", "true");
    try {
      const [told, ...nodes] = await work(values(), signal, form);
      line.textContent = told;
      place.replaceChildren(...nodes);
    } catch (problem) {
      if (signal.aborted) return;
      line.textContent = "";
      place.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.status ? `${problem.message} (${problem.status})` : "The server does not answer."));
    }
    place.removeAttribute("aria-busy");
  }

  return el("div", {}, form, line, place);
}

function trial(model, task) {
  const cut = el("input", { type: "checkbox", name: "cut" });
  const more = task.truncates ? [el("label", { class: "check" }, cut, "Cut what is too long")] : [];
  more.push(el("span", { class: "soft hint" }, "or Ctrl + Enter"));
  return el("div", {}, el("h3", {}, task.title), asking(task.fields, more, "Run", async (values, signal) => {
    const body = { model: model.name, ...task.body(values), ...(cut.checked ? { truncate: true } : {}) };
    const reply = await reach(task.path, body, signal);
    const shown = await task.show(await reply.json(), values, { model: model.name, ask });
    const command = el("details", {}, el("summary", {}, "The same request without this page"), el("pre", { tabindex: 0 }, curl(task.path, body)));
    return [took(reply.headers), ...shown, command];
  }));
}

function took(headers) {
  const milliseconds = (name) => `${number(Number(headers.get(`x-${name}-time`)), 2)} ms`;
  const cut = Number(headers.get("x-truncated-inputs"));
  const parts = `${milliseconds("total")}: ${milliseconds("tokenization")} tokenizing, ${milliseconds("queue")} waiting, ${milliseconds("inference")} in the model`;
  return `${number(Number(headers.get("x-compute-tokens")))} tokens in ${parts}.${cut ? ` ${cut} cut.` : ""}`;
}

function tokenizer(model, task) {
  const first = task?.fields.at(-1).value.split("\n")[0] ?? "A sentence of a few words.";
  const field = { name: "inputs", label: "Text", rows: 3, value: first };
  return asking([field], [], "Show tokens", async ({ inputs }, signal) => {
    const [found] = await ask("tokenize", { model: model.name, inputs }, signal);
    const limit = model.max_input_length;
    const over = found.length > limit ? " More than the model takes: the rest would be cut or refused." : "";
    return [`${number(found.length)} tokens of at most ${number(limit)}, special ones included.${over}`, tokens(found)];
  });
}

function certified(model) {
  const place = el("div", { "aria-busy": "true" }, el("p", {}, "Reading ..."));
  certificates ??= ask("certificates");
  certificates.then(
    ({ models }) => place.replaceChildren(...certificate(models.find(({ name }) => name === model.name))),
    (problem) => {
      certificates = undefined;
      place.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message));
    },
  ).finally(() => place.removeAttribute("aria-busy"));
  return place;
}

begin();
