"""A label, several labels or a value for a sequence: two dense layers on the first token."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext, pooled_linear


def _outputs(context: HeadContext) -> dict[str, str]:
    return {"logits": pooled_linear(context, context.options.num_labels)}


HEAD = Head(
    "classification",
    "classification",
    "ForSequenceClassification",
    _outputs,
    {"dense": "pooler.dense", "activation": "tanh", "output": "classifier"},
    has_labels=True,
)
