"""Where an answer starts and ends: two numbers for each token, by one dense layer, or two."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext, token_linear


def _outputs(context: HeadContext) -> dict[str, str]:
    return {"logits": token_linear(context, 2)}


HEAD = Head(
    "question_answering",
    "question_answering",
    "ForQuestionAnswering",
    _outputs,
    {"output": "qa_outputs"},
)
