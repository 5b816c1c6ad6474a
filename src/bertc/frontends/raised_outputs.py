"""What the outputs of a raised graph are for: hidden states, a sentence's vector, logits; and so its task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from bertc.errors import CheckpointError
from bertc.foreign.raising.meanings import Expression, Pooled, Product, Rows, View
from bertc.foreign.raising.raiser import Raiser
from bertc.foreign.raising.recognize import Activation, Normalize, base_of, recognize
from bertc.frontends.model_class import supported_classes
from bertc.heads import SentenceModule
from bertc.heads.embedding import append_modules
from bertc.heads.head import MEAN_POOLING
from bertc.ir.graph import Graph, Node
from bertc.ir.ops import ACTIVATIONS
from bertc.ports import SELECTED, Port
from bertc.task_table import TASKS

HIDDEN, POOLER, SENTENCE, LOGITS = "last_hidden_state", "pooler_output", "sentence_embedding", "logits"
SPARSE, VECTORS, WORDS, PAIR = (
    "sparse_embedding",
    "token_embeddings",
    "prediction_logits",
    "seq_relationship_logits",
)
SENTENCE_ORDER = "sop_logits"
"""What ALBERT calls the second output of a model for pretraining."""
_NAMES = {HIDDEN: HIDDEN, "token_embeddings": HIDDEN, POOLER: POOLER, SENTENCE: SENTENCE, LOGITS: LOGITS}
"""The usual names of outputs -> what they are; others are told by their rows and widths."""
_START, _END = "start_logits", "end_logits"
_TASK_OF_CLASS = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
    "ForMaskedLM": "masked_lm",
    "ForNextSentencePrediction": "next_sentence",
    "ForMultipleChoice": "multiple_choice",
    "ForPreTraining": "replaced_token",
}
_INSTEAD = {
    "masked_lm": (WORDS, LOGITS),
    "next_sentence": (PAIR, LOGITS),
    "late_interaction": (HIDDEN, VECTORS),
}
"""The task -> the role of an output that serves it too, and the one that it then has."""


class Outputs(NamedTuple):
    """The outputs of the IR's graph by their public names, and what they serve."""

    values: Mapping[str, str]
    task: str
    notes: tuple[str, ...]


def choose_outputs(
    raiser: Raiser,
    config: Mapping[str, Any],
    modules: tuple[SentenceModule, ...] | None,
    chosen: str | None,
    task: str | None = None,
) -> Outputs:
    """Write what the outputs of a raised graph need, and return those that make a model.

    ``chosen`` is the one output that the caller wants, and ``task`` what for. ``modules`` follow hidden
    states to make a vector of a sentence; None if nobody says which. Raises ``CheckpointError``.
    """
    outputs = _choose(raiser, config, modules, chosen, task)
    if task not in (None, outputs.task):
        raise CheckpointError(
            f"task is {task}, but the outputs {', '.join(map(repr, raiser.graph.outputs))} make a model for "
            f"{outputs.task}: leave task out, or name another output"
        )
    return outputs


def _choose(
    raiser: Raiser,
    config: Mapping[str, Any],
    modules: tuple[SentenceModule, ...] | None,
    chosen: str | None,
    task: str | None,
) -> Outputs:
    meanings = {name: raiser.meanings[value] for name, value in raiser.graph.outputs.items()}
    found = {name: each for name, each in meanings.items() if isinstance(each, View)}
    if chosen is not None and chosen not in found:
        raise CheckpointError(f"the output {chosen!r} is ids, a mask or a number: {_list(found)}")
    answer = _span(found)
    if answer is not None:
        return Outputs({LOGITS: raiser.write(answer)}, "question_answering", ())
    rows = {
        name: each
        for name, view in found.items()
        if (each := raiser.rows_of(view) or raiser.whole(view)) is not None
    }
    roles = _for_task(_roles(raiser, rows), task)
    if {WORDS, PAIR} <= {*roles}:
        names = {WORDS: WORDS, PAIR: _pair_name(roles[PAIR], config)}
        values = {name: raiser.write(rows[roles[role]]) for role, name in names.items()}
        return Outputs(values, "pretraining", ())
    for role, own in ((LOGITS, ""), (SPARSE, "sparse"), (VECTORS, "late_interaction")):
        if role in roles:
            only = rows[roles[role]]
            notes = _told(roles[role], role, meanings, chosen)
            return Outputs({role: raiser.write(only)}, own or _task(raiser, only, config, task), notes)
    if not {HIDDEN, SENTENCE} & {*roles}:
        raise CheckpointError(f"no output is hidden states, a sentence's vector or logits: {_list(found)}")
    values = {role: raiser.write(rows[roles[role]]) for role in (HIDDEN, POOLER, SENTENCE) if role in roles}
    notes = _told(roles[SENTENCE], SENTENCE, meanings, chosen) if SENTENCE in roles else ()
    if SENTENCE not in values:
        if modules is None:
            notes += ("the source does not say how to make vectors: the mean over all tokens was taken",)
        made = append_modules(raiser.builder, values[HIDDEN], modules or MEAN_POOLING, values.get(POOLER, ""))
        values[SENTENCE] = made
    return Outputs(values, "embedding", notes)


def _pair_name(output: str, config: Mapping[str, Any]) -> str:
    """Return what the family of config.json calls the second output of pretraining, as its checkpoints do."""
    if output == SENTENCE_ORDER:
        return output
    kinds = (each for each in supported_classes() if each.head.name == "pretraining")
    spelled = (
        each.family.spelling(each.head.name, each.head.spelling)
        for each in kinds
        if each.model_type == config.get("model_type")
    )
    return next(spelled, {}).get("relationship_logits", PAIR)


def _for_task(roles: Mapping[str, str], task: str | None) -> Mapping[str, str]:
    """Return the roles of outputs for a task, where they leave a choice."""
    of_texts = {role: name for role, name in roles.items() if role in (HIDDEN, POOLER, SENTENCE)}
    if task == "embedding" and {HIDDEN, SENTENCE} & {*of_texts}:
        return of_texts
    role, stands_for = _INSTEAD.get(str(task), ("", ""))
    return {stands_for: roles[role]} if role in roles and stands_for not in roles else roles


def _list(found: Mapping[str, Any]) -> str:
    return f"outputs of use are {', '.join(map(repr, found)) or 'none'}"


def _told(name: str, role: str, meanings: Mapping[str, Any], chosen: str | None) -> tuple[str, ...]:
    """Return a note if there were outputs to choose from, and the usual name was not among them."""
    others = [each for each in meanings if each not in (name, *_NAMES)]
    if chosen is not None or name in _NAMES or not others:
        return ()
    return (
        f"of the source's outputs, {name!r} was taken for {role}; others are {', '.join(map(repr, others))}",
    )


def _span(found: Mapping[str, Any]) -> Rows | None:
    """Return the rows [tokens, 2] whose columns are two outputs: where an answer starts and ends."""
    pair = [found[name] for name in (_START, _END) if name in found]
    if len(pair) < 2 and len(found) == 2:
        pair = [*found.values()]
    if len(pair) < 2 or pair[0].rows is not pair[1].rows:
        return None
    columns = [
        atom
        for view in pair
        for axis in view.layout
        for atom in axis
        if atom.kind == "column" and atom.size != 1
    ]
    rows: Rows = pair[0].rows
    return rows if not columns and rows.width == 2 and [view.offset for view in pair] == [0, 1] else None


def _roles(raiser: Raiser, rows: Mapping[str, Rows]) -> dict[str, str]:
    """Return the output for each role: first those that have a usual name, then those that look like one."""
    vectors = rows.get(VECTORS)
    if vectors is not None and (vectors.width != hidden_size(raiser) or _is_normalized(vectors)):
        return {VECTORS: VECTORS}
    roles = {_NAMES[name]: name for name in rows if name in _NAMES}
    pretrained = _pretrained(raiser, rows)
    order = {node.output: index for index, node in enumerate(raiser.graph.nodes)}
    for name in rows:
        if name in _NAMES:
            continue
        role = pretrained.get(name) or _likely(raiser, rows[name], others=len(rows) > 1)
        other = roles.setdefault(role, name)
        if role == HIDDEN and other not in _NAMES:
            roles[role] = max(name, other, key=lambda each: order[raiser.graph.outputs[each]])
    return roles


def _pretrained(raiser: Raiser, rows: Mapping[str, Rows]) -> dict[str, str]:
    """Return the roles of outputs that are the words of tokens, and whether a pair of texts goes together."""
    words = [name for name, each in rows.items() if each.per_token and each.width in _vocabularies(raiser)]
    pairs = [name for name, each in rows.items() if not each.per_token and each.width == 2]
    return {words[0]: WORDS, pairs[0]: PAIR} if len(words) == len(pairs) == 1 else {}


def _vocabularies(raiser: Raiser) -> set[int]:
    return {tensor.shape[0] for name, tensor in raiser.tensors.items() if name.startswith("word.")}


def _likely(raiser: Raiser, rows: Rows, *, others: bool) -> str:
    hidden = hidden_size(raiser)
    if rows.per_token:
        if _is_normalized(rows):
            return VECTORS
        return HIDDEN if rows.width == hidden else LOGITS
    if isinstance(rows, Pooled) and rows.width in _vocabularies(raiser):
        return SPARSE
    if others and _is_pooler(rows):
        return POOLER
    return SENTENCE if rows.width == hidden or isinstance(rows, Pooled) or _is_normalized(rows) else LOGITS


def _is_normalized(rows: Rows) -> bool:
    return isinstance(rows, Expression) and isinstance(recognize(rows), Normalize)


def _is_pooler(rows: Rows) -> bool:
    """Return whether rows are tanh of a linear layer of the first token."""
    if not isinstance(rows, Expression) or recognize(rows) != Activation("tanh"):
        return False
    dense = base_of(rows)
    return isinstance(dense, Product) and isinstance(dense.x, Pooled) and dense.x.mode == "cls"


def hidden_size(raiser: Raiser) -> int:
    """Return the width of hidden states, which is that of attention, or of norms where the host attends."""
    found = [[node for node in raiser.nodes if node.op == op] for op in ("attention", "layer_norm")]
    attention = found[0] or found[1]
    if not attention:
        raise CheckpointError("the model has no attention: only encoders like BERT's can be compiled")
    return raiser.builder.columns(attention[-1].outputs[0])


def _task(raiser: Raiser, logits: Rows, config: Mapping[str, Any], wanted: str | None) -> str:
    """Return the task of logits: as is wanted, or config.json's class says, or by their rows and width."""
    classes = config.get("architectures") or [""]
    named = (task for suffix, task in _TASK_OF_CLASS.items() if str(classes[0]).endswith(suffix))
    said = wanted or next(named, None)
    width = {"next_sentence": 2, "question_answering": 2, "multiple_choice": 1, "replaced_token": 1}
    if logits.per_token and logits.width in _vocabularies(raiser):
        return "masked_lm"
    plain = "token_classification" if logits.per_token else "classification"
    fits = said is not None and width.get(said) == logits.width
    rows = "tokens" if logits.per_token else "sequences"
    return str(said) if fits and TASKS[str(said)].rows == rows else plain


def select_masks(graph: Graph, output: str) -> Graph:
    """Return a masked LM's graph whose head works on the tokens alone that callers select."""
    producers = graph.producers()
    value = graph.outputs[output]
    while (node := producers.get(value)) is not None and _is_of_head(node, producers):
        value = node["x"]
    chosen = "cls.selected"
    select = Node(chosen, "select_rows", {"x": value, "selected": SELECTED}, (chosen,))
    place = next(index for index, node in enumerate(graph.nodes) if value in node.outputs) + 1
    head = _followers(graph, graph.outputs[output], value)
    nodes = [
        node.with_inputs(x=chosen) if node.name in head and node["x"] == value else node
        for node in graph.nodes
    ]
    words = [node for node in nodes[place:] if node.name in head]
    others = [node for node in nodes[place:] if node.name not in head]
    return dataclasses.replace(
        graph,
        nodes=(*nodes[:place], select, *words, *others),
        inputs=(*graph.inputs, Port(SELECTED, "i32", SELECTED)),
    )


def _is_of_head(node: Node, producers: Mapping[str, Node]) -> bool:
    """Return whether a node works on a row by itself and is no layer's last norm."""
    if node.op == "layer_norm":
        before = producers.get(node["x"])
        return before is not None and before.op != "add"
    return node.op in ("linear", *ACTIVATIONS)


def _followers(graph: Graph, last: str, first: str) -> set[str]:
    """Return the names of the nodes of a chain from a value to another."""
    producers, names = graph.producers(), set()
    while last != first:
        names.add(producers[last].name)
        last = producers[last]["x"]
    return names
