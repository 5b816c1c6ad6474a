"""How likely each token was put in the place of another, as ELECTRA is trained to tell (arXiv:2003.10555)."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext


def _outputs(context: HeadContext) -> dict[str, str]:
    builder, spelling, config = context.builder, context.spelling, context.config
    dense = builder.linear(spelling["dense"], context.hidden, config.hidden_size)
    dense = builder.activation(config.activation, f"{spelling['dense']}.activation", dense)
    return {"logits": builder.linear(spelling["output"], dense, 1)}


HEAD = Head(
    "replaced_token",
    "replaced_token",
    "ForPreTraining",
    _outputs,
    {
        "dense": "discriminator_predictions.dense",
        "output": "discriminator_predictions.dense_prediction",
    },
    everywhere=False,
)
