"""The certificate: frozen dataclasses of what it states, and their JSON form in the manifest.

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
    """The texts, or prepared numbers, that something was measured or calibrated on."""

    name: str
    sha256: str
    """The SHA-256 of the texts, each followed by a newline, or of the numbers of prepared data."""
    samples: int
    tokens: int
    """The number of tokens after truncation, special tokens included."""
    truncated: int
    seed: int | None = None
    """The seed by which the samples were chosen; None if there was no choice."""


@dataclass(frozen=True, kw_only=True)
class VectorFidelity:
    """States how close one vector output is to that of the fp32 model, by the cosines of rows."""

    rows: int
    mean_cosine: float
    worst_cosine: float


@dataclass(frozen=True, kw_only=True)
class LogitFidelity:
    """States how close the logits are to those of the fp32 model."""

    rows: int
    """The number of samples, or of tokens where each token has a label."""
    same_decisions: int
    """The number of rows with the same label; with independent labels, with the same set of them."""
    mean_kl: float
    """The mean Kullback-Leibler divergence of the probabilities from those of the fp32 model, in nats."""
    worst_kl: float
    largest_difference: float
    """The largest absolute difference of a logit from that of the fp32 model."""

    @property
    def agreement(self) -> float:
        """The share of rows with the same label: 0 to 1."""
        return self.same_decisions / max(self.rows, 1)


@dataclass(frozen=True, kw_only=True)
class ValueFidelity:
    """States how close the numbers that a regression gives are to those of the fp32 model."""

    rows: int
    correlation: float
    """Pearson's correlation with the numbers of the fp32 model, the mean over columns."""
    mean_difference: float
    largest_difference: float


@dataclass(frozen=True, kw_only=True)
class LayerFidelity:
    """The error of one node's result in the compiled program, errors of all nodes before it included."""

    name: str
    op: str
    """The op of the node: ``embed``, ``linear``, ``attention`` or ``layer_norm``."""
    precision: str
    """The precision that the node computes in, or that its table is stored in, as recipes name it."""
    sqnr_db: float
    """The signal-to-quantization-noise ratio in decibels, at most ``fidelity.LARGEST_DB``."""


@dataclass(frozen=True, kw_only=True)
class WorstSample:
    """One of the samples that the compiled model answers worst."""

    text: str
    """The start of the sample's text, at most ``TEXT_CHARACTERS`` characters."""
    tokens: int
    value: float
    """The measure that ``Certificate.worst_by`` names; of the worst token, where each token has an answer."""


TEXT_CHARACTERS = 80
"""The length of a worst sample's text, at most: a certificate publishes no whole texts of somebody's data."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Pairs of numbers, one by the fp32 model and one by the compiled model, for a scatter plot."""

    what: str
    expected: tuple[float, ...]
    found: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class EdgeRange:
    """The range of an input of 8-bit layers: as calibration saw it, as it was changed, as 8 bits cover it."""

    name: str
    """The name of the value in the graph."""
    low: float
    high: float
    """With ``low``: the ends of the value as it is quantized, its channels scaled and shifted."""
    low_before: float
    high_before: float
    """With ``low_before``: the ends of the value before its channels were scaled and shifted."""
    migration: float | None = None
    """The alpha by which scales moved into the weights; None where they stayed."""
    largest_shift: float = 0.0
    """The largest shift of a channel, in the value's own unit."""
    gain_db: float = 0.0
    """The estimate of how much scaling and shifting lower the layers' error, in decibels."""
    first_gain_db: float | None = None
    """How much a shift of its own lowers the error of a text's first token, in decibels; None without one."""
    last_gain_db: float | None = None
    """The same of a text's last token."""
    clip_low: float | None = None
    """With ``clip_high``: the range of a static scale; None where each token has its own scale."""
    clip_high: float | None = None
    counts: tuple[int, ...] = ()
    """The numbers of sampled values in equal bins between ``low`` and ``high``."""


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """The scores of the fp32 model and of the compiled one on labeled data, by one evaluator."""

    evaluator: str
    """The name of the evaluator: ``sts``, ``classification``, ``ner`` or ``question_answering``."""
    data: str
    """The name of the file of labeled data."""
    sha256: str
    counts: Mapping[str, int]
    fp32: Mapping[str, float]
    """The scores of the fp32 model by metric, 0 to 100."""
    compiled: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The loss that one node causes when it alone is in the recipe's precision, and all else in fp32."""

    name: str
    precision: str
    loss: float
    """The loss of the answers: 1 - mean cosine, mean divergence, or 1 - correlation, as the task has it."""
    sqnr_db: float
    """The signal-to-quantization-noise ratio of the model's answer, in decibels."""


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """A node that computes in more bits than the recipe says, to stay inside the budget."""

    name: str
    precision: str
    instead_of: str
    slower: float
    """The estimated share of the model's time that the fallback adds."""


@dataclass(frozen=True, kw_only=True)
class BudgetOutcome:
    """The accuracy budget, and what it took to hold it."""

    metric: str
    max_drop: float
    """The drop of the metric that is allowed, as a share: 0.001 is 0.1 %."""
    drop_before: float
    """The drop of the metric without any fallback, as a share."""
    drop: float
    met: bool
    trials: int
    """The number of variants of the model that were compiled and measured."""
    fallbacks: tuple[Fallback, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    """The loss of each node alone; empty where the budget held without a fallback."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The measured fidelity of a compiled model against its fp32 self."""

    version: int = VERSION
    output: str
    """The public output that matters to the task: ``sentence_embedding`` or ``logits``."""
    reference: str
    reference_db: float
    """The signal-to-noise ratio of ``output`` by the fp32 kernels, the reference, to NumPy's, in decibels."""
    isa: str
    processor: str
    data: DataFacts
    """The held-out data that was measured on: nothing was calibrated on it."""
    vectors: Mapping[str, VectorFidelity] = field(default_factory=lambda: MappingProxyType({}))
    logits: LogitFidelity | None = None
    values: ValueFidelity | None = None
    """The fidelity of a regression's numbers, in place of ``logits``."""
    layers: tuple[LayerFidelity, ...] = ()
    """The errors of nodes, in the order of the program."""
    worst: tuple[WorstSample, ...] = ()
    worst_by: str = "cosine"
    """The measure that samples are compared by: ``cosine``, ``divergence`` or ``difference``."""
    agreement: Agreement | None = None
    task: TaskScores | None = None
    calibration: DataFacts | None = None
    edges: tuple[EdgeRange, ...] = ()
    methods: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The methods of quantization that took part, and how often each was chosen, in plain words."""
    budget: BudgetOutcome | None = None
    notes: tuple[str, ...] = ()
    """Notes that a reader should know before trusting the figures."""

    @property
    def summary(self) -> str:
        """One line with the figure that matters to the task, and what it was measured on."""
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
        """Return the certificate as JSON values, as the manifest has it."""
        value: dict[str, Any] = to_json_value(self)
        return value

    @classmethod
    def from_json_value(cls, data: Any) -> Certificate:
        """Return the certificate of JSON values; raises ``ArtifactError`` that names the first wrong key."""
        version = data.get("version") if isinstance(data, Mapping) else None
        if type(version) is int and version > VERSION:
            raise ArtifactError(
                f"manifest.certificate has version {version}, this bertc reads {VERSION}: update bertc"
            )
        return from_json_value(cls, dict(data) if isinstance(data, Mapping) else data, "manifest.certificate")
