"""Both heads that BERT was trained with: the masked words, and whether a text follows another."""

from __future__ import annotations

import dataclasses

from bertc.heads import masked_lm, next_sentence
from bertc.heads.head import Head, HeadContext


def _outputs(context: HeadContext) -> dict[str, str]:
    # The activation of next sentence's pooler is not that of the masked words' dense layer.
    words = {name: context.spelling[name] for name in masked_lm.SPELLING}
    pair = {"dense": context.spelling["pooler"], "activation": "tanh"}
    pair["seq_relationship"] = context.spelling["seq_relationship"]
    predictions = masked_lm.selected_predictions(dataclasses.replace(context, spelling=words))
    relationship = next_sentence.relationship(dataclasses.replace(context, spelling=pair))
    return {
        "prediction_logits": predictions,
        context.spelling["relationship_logits"]: relationship,
    }


HEAD = Head(
    "pretraining",
    "pretraining",
    "ForPreTraining",
    _outputs,
    {
        **masked_lm.SPELLING,
        "pooler": "pooler.dense",
        "seq_relationship": "cls.seq_relationship",
        "relationship_logits": "seq_relationship_logits",
    },
    everywhere=False,
)
