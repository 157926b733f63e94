"""What a user may choose about a publication; the names are those of the command line and of the KFP component."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.options import check_options, option
from traffic_yolo.registry.gates.rules import ANY, GATES, METRICS, NO_WORSE, GateRules, parse_minimum
from traffic_yolo.registry.statement import Statement

STOP, KEEP = ON_FAILED_GATE = ("stop", "keep")


@dataclass(frozen=True)
class PublishOptions:
    """Where a bundle goes, and what it must pass to be used. Raises `OptionsError` for values that make no sense."""

    zoo: str = option(
        dataclasses.MISSING, "Folder of the model zoo: a path, nas:// or s3://.", headline=True, location="keep"
    )
    model_name: str = option("traffic-small", "Name under which the zoo keeps the model's versions.", headline=True)
    gate: str = option(
        NO_WORSE,
        "What the new version must be shown to be, against the one in use and the best ever in use: no-worse (by more "
        "than .01), better, or any.",
        choices=GATES,
        headline=True,
    )
    gate_metric: str = option(
        "map50", "The number that versions are compared by.", choices=tuple(METRICS), headline=True
    )
    minimum: str = option(
        "", "What the new version must reach on the evaluated split: map50=.3,f1=.5 (also map, precision, recall).",
        headline=True,
    )  # fmt: skip
    accept_few: bool = option(False, "Let fewer than 5 recordings in the split decide; recorded.", headline=True)
    on_failed_gate: str = option(
        STOP,
        "What a failed or undecided gate makes of the step; the version is kept either way, and not used. stop: exit "
        "code 1; keep: success.",
        choices=ON_FAILED_GATE,
        headline=True,
    )
    force: bool = option(False, "Use the new version in spite of failed gates; recorded.", headline=True)
    force_reason: str = option("", "Why, for the record: of force and accept_few.", headline=True)
    author: str = option("", "Who made the model and answers for it, for its card.")
    weights_licence: str = option("", "Licence of the weights, for the card; best an SPDX identifier.")
    data_licence: str = option("", "Licence of the data that the weights were trained on, for the card.")
    intended_use: str = option("", "What the model is for, and what not, for its card.")
    limitations: str = option("", "What is known of where it fails, for its card, besides what its numbers tell.")
    published_by: str = option("", "Who, for the record; by default the user who runs it.")
    earlier_detections: tuple[str, ...] = option(
        (),
        "Folder of evaluate of another version on the same pictures, which is then not inferred again.",
        location="read",
    )

    def __post_init__(self) -> None:
        check_options(self)
        parse_minimum(self.minimum)
        _ = self.statement  # which raises for a text that is too long

    @property
    def statement(self) -> Statement:
        """The options that say something of the model."""
        return Statement(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Statement)})

    @property
    def in_words(self) -> str:
        """What must hold before the new version is used, and what becomes of the run where it does not: one line."""
        if self.force:
            return f"{self.model_name}: the new version is used whatever its gates say (force)"
        wanted = [] if self.gate == ANY else [f"is {self.gate} by {self.gate_metric}"]
        wanted += [f"reaches {self.minimum}"] if self.minimum else []
        rule = f"a version that {' and '.join(wanted)}" if wanted else "any version"
        ends = "failed" if self.on_failed_gate == STOP else "succeeded"
        return f"{self.model_name}: {rule} comes into use; where gates are against it, the run ends as {ends}"

    @property
    def rules(self) -> GateRules:
        """The options that gates are asked by."""
        return GateRules(
            gate=self.gate,
            metric=self.gate_metric,
            minimum=parse_minimum(self.minimum),
            accept_few=self.accept_few,
            force=self.force,
            reason=self.force_reason,
            by=self.published_by,
            earlier_detections=self.earlier_detections,
        )
