"""Where an answer starts and ends: two numbers for each token, by one dense layer."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext


def _outputs(context: HeadContext) -> dict[str, str]:
    return {"logits": context.builder.linear(context.spelling["output"], context.hidden, 2)}


HEAD = Head(
    "question_answering",
    "question_answering",
    "ForQuestionAnswering",
    _outputs,
    {"output": "qa_outputs"},
)
