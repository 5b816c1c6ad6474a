"""A label for each token: one dense layer."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext


def _outputs(context: HeadContext) -> dict[str, str]:
    spelling, options = context.spelling, context.options
    return {"logits": context.builder.linear(spelling["output"], context.hidden, options.num_labels)}


HEAD = Head(
    "token_classification",
    "token_classification",
    "ForTokenClassification",
    _outputs,
    {"output": "classifier"},
    has_labels=True,
)
