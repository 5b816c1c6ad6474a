"""What a certificate states: frozen dataclasses, and their JSON form in the manifest.

Loading a model does not read it: ``Artifact.certificate`` does, for those who ask. How the figures
are measured is written in ``docs/certificate.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bertc.artifact.json_form import from_json_value, to_json_value
from bertc.errors import ArtifactError

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Texts that something was measured on."""

    name: str
    sha256: str
    """Of the texts, each followed by a newline; of the numbers, where they were prepared."""
    samples: int
    tokens: int
    """Special tokens included, after truncation."""
    truncated: int
    seed: int | None = None
    """Of the choice of samples, where there was one."""


@dataclass(frozen=True, kw_only=True)
class VectorFidelity:
    """How close one vector output is to that of the fp32 model, by cosine of rows."""

    rows: int
    mean_cosine: float
    worst_cosine: float


@dataclass(frozen=True, kw_only=True)
class LogitFidelity:
    """How close the logits are to those of the fp32 model."""

    rows: int
    """Samples, or tokens where each token has a label."""
    same_decisions: int
    """Rows with the same label; with independent labels, the same set of them."""
    mean_kl: float
    """Divergence of the answer's probabilities from those of the fp32 model, in nats."""
    worst_kl: float
    largest_difference: float
    """Of two logits."""

    @property
    def agreement(self) -> float:
        """The share of rows with the same label: 0 to 1."""
        return self.same_decisions / max(self.rows, 1)


@dataclass(frozen=True, kw_only=True)
class ValueFidelity:
    """How close the numbers that a regression gives are to those of the fp32 model."""

    rows: int
    correlation: float
    """Pearson's."""
    mean_difference: float
    largest_difference: float


@dataclass(frozen=True, kw_only=True)
class LayerFidelity:
    """The error of one node's result in the compiled program, errors of all nodes before it included."""

    name: str
    op: str
    """``embed``, ``linear``, ``attention`` or ``layer_norm``."""
    precision: str
    """What it computes in: ``int8``, ``bf16``, ``fp32``; a table: ``int8``, ``fp16``, ``fp32``."""
    sqnr_db: float
    """Signal to quantization noise in decibels; at most ``fidelity.LARGEST_DB``."""


@dataclass(frozen=True, kw_only=True)
class WorstSample:
    """One of the samples that the compiled model answers worst."""

    text: str
    """At most ``TEXT_CHARACTERS`` characters of it."""
    tokens: int
    value: float
    """What ``Certificate.worst_by`` says, against the fp32 model; of a sample's worst token."""


TEXT_CHARACTERS = 80
"""Of a worst sample, so that a certificate does not publish whole texts of somebody's data."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Pairs of numbers, one by the fp32 model and one by this, for a scatter plot."""

    what: str
    expected: tuple[float, ...]
    found: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class EdgeRange:
    """What calibration saw at the input of 8-bit layers, what was done to it, and what 8 bits cover."""

    name: str
    """Of the value."""
    low: float
    high: float
    """Ends of what is quantized."""
    low_before: float
    high_before: float
    """Ends of the value before its channels were scaled and shifted."""
    migration: float | None = None
    """The alpha by which scales moved into the weights; None where they stayed."""
    largest_shift: float = 0.0
    """Of a channel, in the value's own unit."""
    gain_db: float = 0.0
    """By how much both lower the layers' error, by estimate."""
    clip_low: float | None = None
    """With ``clip_high``: the range of a static scale; None where each token has its own."""
    clip_high: float | None = None
    counts: tuple[int, ...] = ()
    """Of equal bins between ``low`` and ``high``."""


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """The score of the fp32 model and of this one on labelled data, by one evaluator."""

    evaluator: str
    """``sts``, ``classification`` or ``ner``."""
    data: str
    """Name of the file."""
    sha256: str
    counts: Mapping[str, int]
    fp32: Mapping[str, float]
    """Metric -> score, 0 to 100."""
    compiled: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What one node alone costs when it alone is as the recipe says, and all else fp32."""

    name: str
    precision: str
    loss: float
    """1 - mean cosine, or mean divergence."""
    sqnr_db: float
    """Of the model's answer."""


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """A node that computes in more bits than the recipe says, to stay inside the budget."""

    name: str
    precision: str
    instead_of: str
    slower: float
    """Estimated share of the model's time that it adds."""


@dataclass(frozen=True, kw_only=True)
class BudgetOutcome:
    """What the accuracy budget was, and what it took to hold it."""

    metric: str
    max_drop: float
    """As a share: 0.001 is 0.1 %."""
    drop_before: float
    """Without a fallback."""
    drop: float
    met: bool
    trials: int
    """Variants of the model that were compiled and measured."""
    fallbacks: tuple[Fallback, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    """Empty where the budget held without a fallback."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The measured fidelity of a compiled model against its fp32 self."""

    version: int = VERSION
    output: str
    """The public output that matters to the task: ``sentence_embedding`` or ``logits``."""
    reference: str
    reference_db: float
    """How close the fp32 kernels, which everything is compared with, are to NumPy: SQNR of ``output``."""
    isa: str
    processor: str
    data: DataFacts
    """Held out: nothing was calibrated on it."""
    vectors: Mapping[str, VectorFidelity] = field(default_factory=lambda: MappingProxyType({}))
    logits: LogitFidelity | None = None
    values: ValueFidelity | None = None
    """In place of ``logits``, of a regression."""
    layers: tuple[LayerFidelity, ...] = ()
    """In the order of the program."""
    worst: tuple[WorstSample, ...] = ()
    worst_by: str = "cosine"
    """What samples are compared by: ``cosine``, ``divergence`` or ``difference``."""
    agreement: Agreement | None = None
    task: TaskScores | None = None
    calibration: DataFacts | None = None
    edges: tuple[EdgeRange, ...] = ()
    methods: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What quantization did, in its own words."""
    budget: BudgetOutcome | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know before trusting the figures."""

    @property
    def summary(self) -> str:
        """One line: the figure that matters, and what it was measured on."""
        samples = "sample" if self.data.samples == 1 else "samples"
        held = f"on {self.data.samples:,} held-out {samples} ({self.data.tokens:,} tokens), {self.isa}"
        if self.logits is not None:
            rows, same = self.logits.rows, self.logits.same_decisions
            share = f"{100 * self.logits.agreement:.2f} % of the labels ({same:,} of {rows:,})"
            return f"same as fp32: {share}, mean divergence {self.logits.mean_kl:.2g} {held}"
        if self.values is not None:
            correlation, largest = self.values.correlation, self.values.largest_difference
            return f"correlation with fp32: {correlation:.6f}, largest difference {largest:.3g} {held}"
        vectors = self.vectors.get(self.output)
        if vectors is None:
            return f"nothing was measured of {self.output!r}"
        cosines = f"{vectors.mean_cosine:.5f} on average, {vectors.worst_cosine:.5f} at worst"
        return f"cosine to fp32: {cosines} {held}"

    def to_json_value(self) -> dict[str, Any]:
        """As the manifest has it."""
        value: dict[str, Any] = to_json_value(self)
        return value

    @classmethod
    def from_json_value(cls, data: Any) -> Certificate:
        """Check and read; raises ``ArtifactError`` that names the first key that is wrong."""
        version = data.get("version") if isinstance(data, Mapping) else None
        if type(version) is int and version > VERSION:
            raise ArtifactError(
                f"manifest.certificate has version {version}, this bertc reads {VERSION}: update bertc"
            )
        return from_json_value(cls, dict(data) if isinstance(data, Mapping) else data, "manifest.certificate")
