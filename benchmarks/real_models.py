"""Compiles real checkpoints to fp32 and int8, scores both, and writes docs/models.md.

``python benchmarks/real_models.py --shared ../shared`` takes the models and data that are described there.
The figures are kept in ``benchmarks/scores/models.json``: ``--docs`` writes the page from them alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flow_folder
import mpnet
from markdown_tables import table
from minilm import NAME, ROOT, model_folder

import bertc
from bertc.frontends.model_class import ENCODER_HEAD, ModelClass, supported_classes
from bertc.heads import HEADS
from bertc.runtime.machine import processor_name

RESULTS = ROOT / "benchmarks" / "scores" / "models.json"
PAGE = ROOT / "docs" / "models.md"
DTYPES = ("fp32", "int8")
RANDOM_SIZES = {
    "vocab_size": 30522,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
    "initializer_range": 0.1,
}
"""The sizes of the encoders with random weights; their spread is that of trained matrices of such a width."""
RANDOM_OPTIONS: dict[str, dict[str, Any]] = {
    "ModernBertModel": dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id"), 101)
    | dict.fromkeys(("eos_token_id", "sep_token_id"), 102),
    "EuroBertModel": {"pad_token_id": 0, "num_key_value_heads": 4},
    "UltrabertModel": {"pad_token_id": 0, "num_key_value_heads": 4},
    "DebertaModel": {"relative_attention": True, "pos_att_type": "c2p|p2c", "position_biased_input": False},
    "DebertaV2Model": {
        "relative_attention": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "position_buckets": 256,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    },
    "LukeModel": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "XmodModel": {"languages": ["en_XX"], "default_language": "en_XX"},
    "BigBirdModel": {"attention_type": "original_full"},
    "SqueezeBertModel": {"embedding_size": 256},
    "EsmModel": {
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "pad_token_id": 0,
        "mask_token_id": 103,
    },
}
"""What the config of a class has no usable default for: DeBERTa's are those of its v1 and v3 of base size."""


@dataclass(frozen=True)
class RealModel:
    """A checkpoint, and what it is scored on."""

    name: str
    folder: Callable[[Path, Path], Path]
    """From the shared folder and a temporary one to the checkpoint."""
    evaluator: str
    """The module below ``bertc.evaluation``."""
    data: Callable[[Path, Path], Path]
    metric: str


def _assembled(name: str) -> Callable[[Path, Path], Path]:
    def assemble(shared: Path, temporary: Path) -> Path:
        folder = temporary / name
        script = shared / "models" / "assemble.py"
        subprocess.run([sys.executable, str(script), name, str(folder)], check=True)
        return folder

    return assemble


def _xquad(shared: Path, temporary: Path) -> Path:
    flow_folder.write_xquad(shared, temporary)
    return temporary / flow_folder.XQUAD


def _file(name: str) -> Callable[[Path, Path], Path]:
    return lambda shared, _: shared / name


_STS = _file("data/stsbenchmark/sts-test.csv")
MODELS = (
    RealModel(NAME, lambda *_: model_folder(), "sts", _STS, "spearman"),
    RealModel(mpnet.NAME, lambda _, temporary: mpnet.model_folder(temporary), "sts", _STS, "spearman"),
    RealModel(
        "sst2-minilm-l6",
        _file("models/sst2-minilm-l6"),
        "classification",
        _file("data/sst2/dev.tsv"),
        "accuracy",
    ),
    RealModel(
        "ner-zh-small", _file("models/ner-zh-small"), "ner", _file("data/peoples_daily/test.txt"), "f1"
    ),
    RealModel("qa-minilm-l6", _assembled("qa-minilm-l6"), "question_answering", _xquad, "f1"),
    RealModel("ce-minilm-l6", _assembled("ce-minilm-l6"), "sts", _STS, "spearman"),
)


@dataclass(frozen=True)
class Row:
    """The figures of one model in one dtype."""

    model: str
    architecture: str
    task: str
    dtype: str
    megabytes: float
    metric: str
    score: float
    samples: int
    tokens: int
    certificate: str


def measure(model: RealModel, shared: Path, temporary: Path) -> list[Row]:
    """Compile and score a model in every dtype."""
    source, data = model.folder(shared, temporary), model.data(shared, temporary)
    evaluator: Any = importlib.import_module(f"bertc.evaluation.{model.evaluator}")
    rows = []
    for dtype in DTYPES:
        artifact = bertc.compile(source, temporary / f"{model.name}.{dtype}.bertc", dtype=dtype)
        encoder = bertc.load(artifact.path)
        result = evaluator.evaluate(encoder, data)
        row = Row(
            model=model.name,
            architecture=encoder.info.architecture,
            task=encoder.info.task,
            dtype=dtype,
            megabytes=artifact.size / 1e6,
            metric=model.metric,
            score=result.metrics[model.metric],
            samples=result.counts["samples"],
            tokens=result.counts["tokens"],
            certificate=artifact.certificate.summary,
        )
        sys.stderr.write(f"{row}\n")
        rows.append(row)
    return rows


def encoder_classes() -> list[ModelClass]:
    """Return the bare encoder of every model type that ``transformers`` has code of."""
    import transformers

    encoders = [each for each in supported_classes() if each.head.name == ENCODER_HEAD]
    return [each for each in encoders if hasattr(transformers, each.name)]


def random_encoder(model: ModelClass, path: Path, **changes: int) -> Path:
    """Save an encoder of a model type with random weights, and the tokenizer of a real model.

    ``changes`` are sizes that are others than ``RANDOM_SIZES``.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    keys = model.family.config_keys
    sizes: dict[str, Any] = {keys.get(key, key): value for key, value in {**RANDOM_SIZES, **changes}.items()}
    sizes |= RANDOM_OPTIONS.get(model.name, {})
    encoder_class = getattr(transformers, model.name)
    encoder_class(encoder_class.config_class(**sizes)).save_pretrained(path)
    shutil.copy(model_folder() / "tokenizer.json", path)
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', "utf-8")
    return path


def certify_families(temporary: Path, known: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Compile a random encoder of every model type to int8; yield its class and what its certificate says.

    Classes that are ``known`` are passed over.
    """
    for model in encoder_classes():
        if model.name in known:
            continue
        source = random_encoder(model, temporary / model.name)
        artifact = bertc.compile(source, temporary / f"{model.name}.bertc", dtype="int8")
        sys.stderr.write(f"{model.name}: {artifact.certificate.summary}\n")
        yield model.name, artifact.certificate.summary


NOT_SUPPORTED = {
    "not encoders of text alone: decoders, pages, tables, pictures, bytes": (
        *("bart", "mbart", "mvp", "layoutlm", "tapas", "modernvbert", "ultravbert", "neomme", "perceiver"),
    ),
    "attention of another kind, sparse or approximate": ("nystromformer", "mra", "yoso", "reformer", "fnet"),
    "layers of another kind: convolutions, bottlenecks without norms, pooling between layers": (
        *("convbert", "mobilebert", "funnel"),
    ),
    "more than tokens goes in: sounds and shapes": ("roc_bert",),
    "tokenizers that are no rules of the tokenizers library": ("flaubert", "xlm"),
}
"""Why families of the masked LM mapping of ``transformers`` do not compile."""


def masked_lms() -> set[str]:
    """Return the model types that ``transformers`` has a masked LM of, and that compile."""
    found = {each.model_type for each in supported_classes() if each.head.name == "masked_lm"}
    return found - {"jina_bert"}  # whose code is on the hub


def _coverage() -> Iterator[str]:
    """Yield how much of the masked LM mapping of ``transformers`` compiles."""
    compiled, others = len(masked_lms()), [*NOT_SUPPORTED.values()]
    total = compiled + sum(map(len, others))
    yield f"Of the {total} model types for which `transformers` 5.23 has a masked LM, {compiled} compile."
    yield "The others do not:"
    yield ""
    rows = [[why, ", ".join(f"`{each}`" for each in names)] for why, names in NOT_SUPPORTED.items()]
    yield from table(["why", "model types"], rows)
    yield ""


def page(results: dict[str, Any]) -> str:
    """Return docs/models.md: what the registry has, and what was measured."""
    names: dict[str, dict[str, str]] = {}
    for each in supported_classes():
        names.setdefault(each.model_type, {})[each.head.name] = each.name
    heads = [head for head in HEADS.values() if head.suffix]
    matrix = [
        [f"`{model_type}`", f"`{of[ENCODER_HEAD]}`", *("yes" if head.name in of else "-" for head in heads)]
        for model_type, of in names.items()
    ]
    folders = [f"`{head.name}`" for head in HEADS.values() if not head.suffix]
    rows = [
        [
            row["model"],
            f"`{row['architecture']}`",
            row["dtype"],
            f"{row['megabytes']:.1f}",
            f"{row['metric']} {row['score']:.2f}",
            f"{row['samples']:,} samples, {row['tokens']:,} tokens",
            row["certificate"],
        ]
        for row in results["rows"]
    ]
    heading = ["model", "class", "dtype", "MB", "score x 100", "on", "certificate"]
    lines = [
        "# Models",
        "",
        "Made by `benchmarks/real_models.py`; do not edit by hand.",
        "",
        "## Families and heads",
        "By `model_type` of config.json, as `bertc models` prints it. `task=` chooses another head than that",
        "which a checkpoint was saved with. ELECTRA's `ForPreTraining` tells replaced tokens.",
        "",
        *table(["model_type", "encoder", *(head.name.replace("_", " ") for head in heads)], matrix),
        "",
        "Folders of the hub with code of their own are compiled by config and weights, where that code does",
        "what a family does; it is never run. Such are those for Alibaba-NLP/new-impl (GTE, of",
        "`model_type` `new`; also Snowflake's arctic-embed-m-v2.0), for nomic-ai/nomic-bert-2048",
        "(NomicBERT; also arctic-embed-m-long), for jinaai/xlm-roberta-flash-implementation",
        "(jina-embeddings-v3, of `model_type` `xlm-roberta`; `adapter=` chooses one of its adapters) and",
        "for jinaai/jina-bert-implementation and jina-bert-v2-qk-post-norm (jina-embeddings-v2, of",
        "`model_type` `bert` with ALiBi). jina-reranker-v2, which names no `model_type`, is XLM-RoBERTa;",
        "jina-embeddings-v5-text-nano is EuroBERT, whose adapters (folders of peft) `adapter=` chooses, too.",
        "",
        "X-MOD has the adapter of one language: `default_language` of config.json, or `adapter=`. LUKE takes",
        "no entities, Longformer has no tokens with global attention, and BigBird's attention is full: up to",
        "704 tokens, as in `transformers`, or for all with `attention_type` `original_full`. I-BERT is",
        "compiled from floats (`quant_mode` false). ESM's contacts, and values that RoFormer turns",
        "(`rotary_value`), are not supported.",
        "",
        *_coverage(),
        "Folders of sentence-transformers and PyLate make an embedding model, or one for "
        f"{' or '.join(folders)}.",
        "",
        "## Real checkpoints",
        f"Compiled and scored on {results['processor']}, Python {results['python']}. all-MiniLM-L6-v2",
        "and all-mpnet-base-v2 are published; the others are small, to measure what compiling changes.",
        "",
        *table(heading, rows),
        "",
        "## Every family in int8",
        "Encoders of 4 layers with **random weights**: a family compiles and keeps its numbers; it says",
        "nothing of how well a trained model does.",
        "",
        *table(["class", "certificate"], [[f"`{name}`", text] for name, text in results["families"].items()]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure what is there, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--docs", action="store_true", help="only write the page anew")
    parser.add_argument("--new-families", action="store_true", help="only certify families that have no row")
    arguments = parser.parse_args()
    if arguments.new_families:
        results = json.loads(RESULTS.read_text("utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            for name, certificate in certify_families(Path(folder), [*results["families"]]):
                results["families"][name] = certificate
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    elif not arguments.docs:
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder:
            for model in MODELS:
                rows += [asdict(row) for row in measure(model, arguments.shared, Path(folder))]
            families = dict(certify_families(Path(folder)))
        results = {
            "processor": processor_name(),
            "python": platform.python_version(),
            "rows": rows,
            "families": families,
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(json.loads(RESULTS.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
