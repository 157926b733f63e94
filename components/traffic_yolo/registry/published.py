"""What became of a publication: for people, for the Kubeflow UI, for steps that come after, and as an exit code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.errors import GateError
from traffic_yolo.registry.gates.gate import Gate, number
from traffic_yolo.registry.options import STOP


@dataclass(frozen=True)
class Published:
    """`bundle`: the version's folder; `is_new`: False where the same content lay there already; `is_current`.

    `gates`: what was asked, empty where nothing had to be decided. `forced`: used in spite of them. `problems`: why it
    was not made current. `nothing_new`: why there was nothing to publish, "" where there was. `resumed`: an earlier
    attempt was cut off after it had written the bundle, and this one did the rest. `not_stated`: what people
    state of the new version was not written down, for there is none.
    """

    bundle: Path | str
    name: str
    is_new: bool
    is_current: bool
    gates: tuple[Gate, ...] = ()
    forced: bool = False
    nothing_new: str = ""
    resumed: bool = False
    not_stated: bool = False

    @property
    def version(self) -> str:
        """The version's name."""
        return Path(self.bundle).name

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each gate that kept it out of use."""
        return () if self.forced else self.overruled

    @property
    def overruled(self) -> tuple[str, ...]:
        """A line for each gate that speaks against it, whether it is used or not."""
        return tuple(gate.text for gate in self.gates if gate.blocks)

    @property
    def text(self) -> str:
        """The version, then a line for each gate, then what came of them."""
        if self.nothing_new:
            stays = f"{self.name} {self.version} stays in use: {self.bundle}"
            unsaid = "; what was stated of the new version was not written down" if self.not_stated else ""
            return f"{self.nothing_new}, so there is nothing new to publish; {stays}{unsaid}"
        state = "published" if self.is_new else "was published already"
        if self.resumed:
            state = "published, where an earlier attempt was cut off"
        other = f"not in use (`traffic-yolo zoo set-current {self.name} {self.version}` would use it)"
        current = "in use (current)" if self.is_current else "not in use" if self.problems else other
        lines = [f"{self.name} {self.version} {state}: {self.bundle}; {current}"]
        lines += [f"  {gate.text}" for gate in self.gates]
        if self.problems:
            lines.append(f"NOT MADE CURRENT: {'; '.join(self.problems)}")
        elif self.forced:
            lines.append(f"MADE CURRENT BY FORCE, in spite of: {'; '.join(self.overruled) or 'an earlier roll-back'}")
        return "\n".join(lines)

    @property
    def scalars(self) -> dict[str, float]:
        """What each gate measured, as far as it is a number, and how many gates speak against the version."""
        measured = {gate.name: float(gate.measured) for gate in self.gates if gate.measured is not None}
        return {**measured, "gates_against": float(len(self.overruled))}

    @property
    def markdown(self) -> str:
        """The gates as a table, for the Kubeflow UI."""
        lines = [*self.text.splitlines()[:1], "", "| gate | verdict | measured | limit | |", "|---|---|---|---|---|"]
        for gate in self.gates:
            measured = "" if gate.measured is None else number(gate.measured)
            cells = (gate.name, gate.verdict, measured, gate.limit, gate.sentence)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        return "\n".join([*lines, "", *self.text.splitlines()[1 + len(self.gates) :]]) + "\n"

    def document(self) -> dict[str, Any]:
        """Plain values, for steps that come after."""
        plain = ("name", "version", "is_new", "is_current", "forced", "nothing_new")
        gates = [gate.document() for gate in self.gates]
        return {**{name: getattr(self, name) for name in plain}, "bundle": str(self.bundle), "gates": gates}

    def check(self, on_failed_gate: str) -> None:
        """Raises `GateError` where gates kept the version out of use and `on_failed_gate` is "stop"."""
        if self.problems and on_failed_gate == STOP:
            first, *others = [gate for gate in self.gates if gate.blocks]
            more = f"; also against it: {', '.join(gate.name for gate in others)}" if others else ""
            raise GateError(
                f"{self.name} {self.version} is in the zoo, but not in use: {first.text}{more}. To use it "
                f"nevertheless: publish it again with force, or `traffic-yolo zoo set-current`"
            )
