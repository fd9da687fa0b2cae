"""The kill matrix: each kind of secret is rotated by the real `coffre rotate run`, with a real PostgreSQL, Redis and key
rings, and the engine is killed (SIGKILL) at each of its effects: at each write of the vault, each change of a database,
each probe; before it has landed, and when it has and the answer is under way. Another engine goes on. It must end as an
undisturbed rotation does, with nothing left behind, and whatever the document names must work at every moment.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from kill_cells import KINDS, SLOW, AclRedis, Cell, Stage, asked_for
from kill_taps import RENEWED, UNPROVEN
from real_process import Missing
from side_by_side import together

# How many effects of each phase there are at least: a cell that disappears fails. Twice as many cells.
EFFECTS = {
    "signing-key": {"PREPARE": 5, "VERIFY": 3, "PUBLISH": 5, "PROMOTE": 4, "DRAIN": 4, "RETIRE": 4, "DESTROY": 5, "IDLE": 2},
    "encryption-key": {
        "PREPARE": 5, "VERIFY": 3, "PUBLISH": 5, "PROMOTE": 4, "DRAIN": 4, "RETIRE": 4, "REENCRYPT": 5, "DESTROY": 6, "IDLE": 2,
    },
    "pg-alternating": {"PREPARE": 5, "APPLY": 5, "VERIFY": 5, "PROMOTE": 4, "DRAIN": 5, "RETIRE": 6, "IDLE": 2},
    "redis-two-password": {"PREPARE": 5, "APPLY": 5, "VERIFY": 4, "PROMOTE": 4, "DRAIN": 5, "RETIRE": 5, "IDLE": 2},
    "external": {"PREPARE": 5, "VERIFY": 4, "PROMOTE": 4, "DRAIN": 4, "RETIRE": 6, "IDLE": 2},
}


@dataclass
class Result:
    kind: str
    phase: str
    effect: str
    landed: bool
    problems: list[str]

    def __str__(self):
        when = "landed" if self.landed else "not landed"
        return f"{self.kind}, {self.phase}, {self.effect}, {when}: {'; '.join(self.problems)}"


@dataclass
class Matrix:
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    def table(self) -> str:
        """Cells of each kind and phase, those where the effect had not landed and those where it had."""
        counted = Counter((result.kind, result.phase, result.landed) for result in self.results)
        phases = list(dict.fromkeys(phase for kind in EFFECTS.values() for phase in kind))
        phases.sort(key="PREPARE APPLY VERIFY PUBLISH PROMOTE DRAIN RETIRE REENCRYPT DESTROY IDLE".split().index)
        lines = [f"{'not landed + landed':22}" + "".join(f"{phase:>11}" for phase in phases) + f"{'cells':>8}{'bad':>5}"]
        for kind in EFFECTS:
            row = [(counted[kind, phase, False], counted[kind, phase, True]) for phase in phases]
            cells = "".join(f"{f'{lost} + {landed}' if lost or landed else '-':>11}" for lost, landed in row)
            bad = sum(1 for result in self.results if result.kind == kind and result.problems)
            lines.append(f"{kind:22}{cells}{sum(map(sum, row)):>8}{bad:>5}")
        bad = sum(1 for result in self.results if result.problems)
        lines.append(f"{len(self.results)} kills, {bad} bad, in {self.seconds:.0f} s")
        return "\n".join(lines)


@pytest.fixture(scope="module")
def redis():
    try:
        server = AclRedis()
    except Missing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="module")
def matrix(binary, server, postgres, redis, tmp_path_factory):
    stage, begun = Stage(binary, server, postgres, redis, tmp_path_factory.mktemp("cells")), time.monotonic()
    matrix, number = Matrix(), iter(range(100_000))
    asked, undisturbed, todo = {}, {}, []

    def refer(kind: str) -> None:
        asked[kind] = asked_for(stage, KINDS[kind], f"t{next(number)}")
        cell = KINDS[kind](stage, f"r{next(number)}")
        undisturbed[kind] = rotated(cell, asked[kind]), dict(cell.trap.effects)

    def kill(kind: str, wanted: tuple[str, str], landed: bool) -> None:
        problems = killed(KINDS[kind](stage, f"c{next(number)}", wanted, landed=landed), asked[kind], undisturbed[kind][0])
        result = Result(kind, *wanted, landed, problems)
        matrix.results.append(result)
        with open(stage.directory / "results.txt", "a") as results:
            results.write(f"{'bad' if problems else 'good'}: {result}\n")

    together([(refer, (kind,)) for kind in EFFECTS])
    for kind, (_, effects) in undisturbed.items():
        todo += [(kill, (kind, wanted, landed)) for wanted in effects if wanted[1] not in (RENEWED, UNPROVEN) for landed in (False, True)]
    # Those that wait for a database of their own go among the others.
    together(sorted(todo, key=lambda job: hash(job[1])))
    matrix.seconds = time.monotonic() - begun
    return matrix


def rotated(cell: Cell, asked: dict) -> dict:
    """The outcome of an undisturbed rotation."""
    try:
        cell.take_over(asked)
        cell.run()
        assert cell.problems == [], (cell.kind, cell.problems, cell.said())
        return cell.outcome()
    finally:
        cell.close()


def killed(cell: Cell, asked: dict, expected: dict) -> list[str]:
    """What is wrong after a rotation whose engine was killed."""
    try:
        cell.take_over(asked)
        cell.run()
        found = cell.outcome()
        differs = [f"{name} is {found[name]}, not {expected[name]}" for name in expected if found[name] != expected[name]]
        return cell.problems + differs
    except AssertionError as error:
        return [*cell.problems, str(error)]
    finally:
        cell.close()


@pytest.mark.timeout(1200 * SLOW)
@pytest.mark.parametrize("kind", EFFECTS)
def test_n8_wherever_the_engine_is_killed_another_ends_the_rotation_as_if_nothing_had_happened(matrix, kind):
    bad = [str(result) for result in matrix.results if result.kind == kind and result.problems]
    assert bad == [], "\n".join(bad)


def test_n8_the_matrix_is_complete(matrix, capsys):
    with capsys.disabled():
        print(f"\n{matrix.table()}")
    for kind, phases in EFFECTS.items():
        for phase, effects in phases.items():
            for landed in (False, True):
                found = [each for each in matrix.results if (each.kind, each.phase, each.landed) == (kind, phase, landed)]
                assert len(found) >= effects, f"{kind} in {phase}, landed: {landed}: {len(found)} cells, not {effects}"
    assert len(matrix.results) >= 2 * sum(sum(phases.values()) for phases in EFFECTS.values())
