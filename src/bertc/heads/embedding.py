"""The bare encoder: hidden states, pooler, and the vector that sentence-transformers makes of them."""

from __future__ import annotations

from bertc.architectures.model_builder import ModelBuilder
from bertc.heads.head import Head, HeadContext, SentenceModule, first_token

_EPSILON = 1e-5
"""The epsilon of PyTorch's layer norm, which the module of sentence-transformers leaves as it is."""


def _outputs(context: HeadContext) -> dict[str, str]:
    builder, modules = context.builder, context.options.modules
    outputs = {"last_hidden_state": context.hidden}
    pooler = context.spelling["pooler"]
    # One that nobody needs may hold anything: training left it as it was.
    if builder.is_sound(pooler) or any("pooler" in module.modes for module in modules):
        dense = builder.linear(pooler, first_token(builder, context.hidden), context.config.hidden_size)
        outputs["pooler_output"] = builder.activation("tanh", "pooler.activation", dense)
    before = next(index for index, module in enumerate(modules) if module.kind == "pooling")
    tokens = append_modules(builder, context.hidden, modules[:before])
    if before:
        outputs["token_embeddings"] = tokens
    sentence = append_modules(builder, tokens, modules[before:], outputs.get("pooler_output", ""))
    return {**outputs, "sentence_embedding": sentence}


def append_modules(
    builder: ModelBuilder, value: str, modules: tuple[SentenceModule, ...], pooler_output: str = ""
) -> str:
    """Append modules of sentence-transformers to a hidden state; return the last one's value."""
    for module in modules:
        name = builder.unused(f"sentence.{module.kind}")
        if module.kind == "pooling":
            value = _pool(builder, name, value, module, pooler_output)
        elif module.kind == "dense":
            value = _dense(builder, value, module)
        elif module.kind == "layer_norm":
            value = builder.layer_norm(f"{module.tensors}norm", value, _EPSILON)
        else:
            value = builder.op(module.kind, name, {"x": value})
    return value


def _dense(builder: ModelBuilder, x: str, module: SentenceModule) -> str:
    name, size = module.tensors, module.out_features
    out = builder.linear(f"{name}linear", x, size, bias=module.bias)
    if module.activation != "none":
        out = builder.activation(module.activation, f"{name}activation_function", out)
    if not module.residual:
        return out
    same_width = builder.columns(x) == size
    added = x if same_width else builder.linear(f"{name}residual", x, size, bias=False)
    return builder.add(f"{name}add", out, added)


def _pool(builder: ModelBuilder, name: str, hidden: str, module: SentenceModule, pooler_output: str) -> str:
    modes, partial = module.modes, not module.include_prompt
    first, *others = (
        pooler_output
        if mode == "pooler"
        else builder.pool(name if len(modes) == 1 else f"{name}.{mode}", hidden, mode, partial=partial)
        for mode in modes
    )
    for mode, other in zip(modes[1:], others, strict=True):
        first = builder.concat(f"{name}.and_{mode}", first, other)
    return first


HEAD = Head("embedding", "embedding", "Model", _outputs, {"pooler": "pooler.dense"})
