// What can be tried of each task: the fields of its form, the request that they make, what is shown of the reply.

import { bars, el, marked, matrix, number } from "./draw.js";

const CLIMBING = "Edmund Hillary and Tenzing Norgay reached the top of Mount Everest on 29 May 1953. Hillary came from New Zealand, Norgay from Nepal.";

const lines = (name, label, ...value) => ({ name, label: `${label}, one a line`, lines: true, rows: 5, value: value.join("\n") });
const text = (name, label, value) => ({ name, label, rows: 4, value });
const line = (name, label, value) => ({ name, label, rows: 1, value });

const best = (found) => [...found].sort((a, b) => b.score - a.score);

/** Each: title, fields, path, body of values by their fields' names, show of the reply and the values. */
const embedding = {
  title: "How alike are texts?",
  fields: [lines("inputs", "Texts", "A man is playing a guitar.", "Someone makes music on a stage.", "Stocks fell sharply on Monday.", "Shares lost much of their value this week.", "A dog runs along the beach.")],
  path: "similarity_matrix",
  truncates: true,
  body: ({ inputs }) => ({ inputs }),
  show: (found, { inputs }) => [matrix(inputs, found)],
};

const classifier = {
  title: "Which label fits?",
  fields: [lines("inputs", "Texts", "What a wonderful film.", "I want those two hours back.")],
  path: "predict",
  truncates: true,
  body: ({ inputs }) => ({ inputs: inputs.map((each) => [each]) }),
  show: (found, { inputs }) => found.map((labels, index) => bars(inputs[index], labels.slice(0, 10).map(({ label, score }) => [label, score]))),
};

const zeroShot = {
  title: "Which of your labels fits?",
  fields: [text("inputs", "Text", "Our train was two hours late again."), lines("labels", "Labels", "travel", "sport", "cooking")],
  path: "classify",
  truncates: true,
  body: ({ inputs, labels }) => ({ inputs, candidate_labels: labels }),
  show: (found) => [bars(found.sequence, found.labels.map((label, index) => [label, found.scores[index]]))],
};

const reranker = {
  title: "Which text answers best?",
  fields: [
    line("query", "Query", "How do plants make their food?"),
    lines("texts", "Texts", "Leaves turn light, water and carbon dioxide into sugar.", "Most supermarkets sell plants in spring.", "The food was excellent."),
  ],
  path: "rerank",
  truncates: true,
  body: ({ query, texts }) => ({ query, texts }),
  show: (found, { texts }) => {
    const largest = Math.max(...found.map(({ score }) => Math.abs(score)));
    return [bars("Best first", found.map(({ index, score }) => [texts[index], score]), { most: Math.max(1, largest), spell: (score) => number(score, 4) })];
  },
};

const tagger = {
  title: "Who and what is named?",
  fields: [text("inputs", "Text", CLIMBING)],
  path: "tag",
  body: ({ inputs }) => ({ inputs }),
  show: (found, { inputs }) => [
    marked(inputs, found.map(({ start, end, entity_group: kind, score }) => [start, end, kind, score])),
    found.length ? bars("Found", found.map(({ word, entity_group: kind, score }) => [`${word} (${kind})`, score])) : el("p", {}, "Nothing is named here."),
  ],
};

const answerer = {
  title: "Where is the answer?",
  fields: [line("question", "Question", "Where did Hillary come from?"), text("context", "Text", CLIMBING)],
  path: "answer",
  body: ({ question, context }) => ({ question, context, top_k: 3 }),
  show: (found, { context }) => {
    const answers = best([found].flat());
    return [
      marked(context, answers.slice(0, 1).map(({ start, end, score }) => [start, end, "answer", score])),
      bars("Answers", answers.map(({ answer, score }) => [answer, score])),
    ];
  },
};

const filler = {
  title: "Which word is missing?",
  fields: [text("inputs", "Text", "")],
  path: "fill_mask",
  truncates: true,
  body: ({ inputs }) => ({ inputs }),
  show: (found) => [found[0]].flat().length && Array.isArray(found[0])
    ? found.map((each, index) => bars(`Mask ${index + 1}`, each.map(({ token_str: word, score }) => [word, score])))
    : [bars("Words", found.map(({ sequence, score }) => [sequence, score]))],
};

const sparse = {
  title: "Which words does a text weigh?",
  fields: [lines("inputs", "Texts", "Leaves turn light into sugar.", "How do plants make their food?")],
  path: "embed_sparse",
  truncates: true,
  body: ({ inputs }) => ({ inputs }),
  show: async (found, { inputs }, { model, ask }) => {
    const rows = found.map((row) => [...row].sort((a, b) => b.value - a.value).slice(0, 12));
    const ids = rows.flat().map(({ index }) => [index]);
    const words = ids.length ? await ask("decode", { model, ids, skip_special_tokens: false }) : [];
    const largest = Math.max(...rows.flat().map(({ value }) => value));
    return rows.map((row, index) => bars(inputs[index], row.map(({ value }) => [words.shift(), value]), { most: largest, spell: (value) => number(value, 3) }));
  },
};

const BY_TASK = { embedding, token_classification: tagger, question_answering: answerer, masked_lm: filler, pretraining: filler, sparse };

/** What can be tried of a model as /info has it; undefined where no route does its task. */
export function taskOf(model) {
  if (model.model_type.reranker) return reranker;
  if (model.model_type.classifier) {
    const labels = Object.values(model.model_type.classifier.id2label);
    return labels.some((label) => label.toLowerCase().startsWith("entail")) ? zeroShot : classifier;
  }
  const task = BY_TASK[model.task];
  if (task !== filler) return task;
  const mask = model.mask_token ?? "[MASK]";
  return { ...filler, fields: [text("inputs", `Text with ${mask}`, `The capital of France is ${mask}.`)] };
}
