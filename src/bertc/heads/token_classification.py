"""A label for each token: one dense layer, or two."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext, token_linear


def _outputs(context: HeadContext) -> dict[str, str]:
    return {"logits": token_linear(context, context.options.num_labels)}


HEAD = Head(
    "token_classification",
    "token_classification",
    "ForTokenClassification",
    _outputs,
    {"output": "classifier"},
    has_labels=True,
)
