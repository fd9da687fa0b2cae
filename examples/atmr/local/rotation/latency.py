"""What clients feel of rotations: the same load with and without them, in turns.

    python -m local.rotation.latency [--rounds 4] [--seconds 30] [--rate 80] [--period 10s] [--json]

The parts are those of `python -m local.rotation`. Requests come at fixed moments, whatever the application does, and what
one waits for its turn counts. A phase is quiet (nothing is under way, and the engine is not there) or rotating (the engine
is, and every target that rotates by itself does so every `--period`); both take equally long, and each kind is first as
often as the other. At the end stand the percentiles of both, over all phases of a kind, and their ratio; exit code 1 if a
request failed, something valid was refused, or nothing rotated. Speed itself decides nothing here.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..process import Missing
from .__main__ import come_to_rest, halts, percentile, rotations
from .load import CLIENTS, FRESH_SECONDS, USERS, Load, Session
from .stage import EXTERNAL, TARGETS, Theatre

ROTATED = [target for target in TARGETS if target != EXTERNAL]
# Of a phase, before it is measured: connections are there, and the engine has begun.
WARM_SECONDS = 5.0
QUIET, ROTATING = "quiet", "rotating"


@dataclass
class Phase:
    kind: str
    seconds: list[float] = field(default_factory=list)
    # How often each target was promoted meanwhile.
    promoted: dict[str, int] = field(default_factory=dict)


class Paced(Load):
    """As many requests a second as it is told."""

    def __init__(self, theatre: Theatre, rate: float):
        super().__init__(theatre)
        self.between = CLIENTS / rate

    def start(self) -> None:
        self.theatre.users(f"user-{number}" for number in range(USERS))
        for number in range(CLIENTS):
            thread = threading.Thread(target=self.kept, args=(self.client, number), daemon=True)
            self.threads.append(thread)
            thread.start()

    def client(self, number: int) -> None:
        turn, session = number, None
        due = time.monotonic() + self.between * number / CLIENTS
        while not self.over.wait(max(0.0, due - time.monotonic())):
            if session is None or session.age() > FRESH_SECONDS:
                session, turn = Session(self, f"user-{turn % USERS}"), turn + CLIENTS
                session.due = due
                # The login and the first cookie.
                due += 2 * self.between
                if not session.login():
                    session = None
                continue
            session.due = due
            due += self.between
            self.something(session)

    def something(self, session: Session) -> None:
        """One request: no jobs, which are asked about until they are done."""
        choice = random.random()
        if choice < 0.5:
            session.ask("GET", "/me")
        elif choice < 0.65:
            session.theme()
        elif choice < 0.75:
            session.write()
        elif choice < 0.87:
            session.read()
        else:
            session.ask("GET", "/notes/summary")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local.rotation.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4, help="phases of each kind (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="length of each phase (%(default)s)")
    parser.add_argument("--rate", type=float, default=80, help="requests a second (%(default)s)")
    parser.add_argument("--period", default="10s", help="how often each target rotates in a rotating phase (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of gunicorn (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the directory with logs and data")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="coffre-latency-"))
    try:
        with Theatre(directory, options.period, options.workers) as theatre:
            seen = play(theatre, options)
    except (Missing, AssertionError) as error:
        print(f"latency: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"latency: everything is in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(json.dumps(seen) if options.json else table(seen))
    return 1 if seen["violations"] else 0


def play(theatre: Theatre, options: argparse.Namespace) -> dict:
    theatre.open()
    load = Paced(theatre, options.rate)
    load.start()
    # Once, unmeasured: what is loaded, compiled and connected at the first rotation.
    theatre.begin_engine()
    problems = rotated_once(theatre, load) or end_rotations(theatre)
    phases: list[Phase] = []
    for number in range(options.rounds):
        for kind in (QUIET, ROTATING) if number % 2 == 0 else (ROTATING, QUIET):
            if not problems:
                phases.append(Phase(kind))
                problems = measured(theatre, load, phases[-1], options)
                print(f"latency: {said(phases[-1])}", file=sys.stderr, flush=True)
    load.stop()
    return figures(load, phases, problems)


def rotated_once(theatre: Theatre, load: Load) -> list[str]:
    deadline = time.monotonic() + 180
    while min(rotations(theatre, target) for target in ROTATED) < 1:
        if problems := halts(theatre) + load.broken:
            return problems
        if time.monotonic() > deadline:
            return ["not every target has rotated within three minutes"]
        time.sleep(1)
    return []


def end_rotations(theatre: Theatre) -> list[str]:
    """What is under way ends; then the engine does."""
    problems = come_to_rest(theatre, argparse.Namespace())
    theatre.engine.stop()
    return problems


def measured(theatre: Theatre, load: Paced, phase: Phase, options: argparse.Namespace) -> list[str]:
    if phase.kind == ROTATING:
        theatre.coffre("rotate", "enable")
        theatre.engine.start()
    time.sleep(WARM_SECONDS)
    before, first = generations(theatre), len(load.tally.seconds)
    if load.over.wait(options.seconds):
        return []
    last, after = len(load.tally.seconds), generations(theatre)
    phase.seconds = load.tally.seconds[first:last]
    phase.promoted = {target: after[target] - before[target] for target in ROTATED}
    problems = halts(theatre) + load.broken
    if phase.kind == ROTATING:
        problems += [f"{target} did not rotate" for target, count in phase.promoted.items() if count < 1]
        problems += end_rotations(theatre)
    elif any(phase.promoted.values()):
        problems.append(f"a quiet phase was none: {phase.promoted}")
    return problems


def generations(theatre: Theatre) -> dict[str, int]:
    return {target: theatre.record(target)["active"] for target in ROTATED}


def figures(load: Load, phases: list[Phase], problems: list[str]) -> dict:
    tally = load.tally
    kinds = {kind: of_kind([phase for phase in phases if phase.kind == kind]) for kind in (QUIET, ROTATING)}
    quiet, rotating = kinds[QUIET], kinds[ROTATING]
    ratios = {name: round(rotating[name] / quiet[name], 3) if quiet[name] else 0.0 for name in ("p50", "p99")}
    violations = [*problems, *(f"failed: {text}" for text in tally.failed), *(f"refused, but valid: {text}" for text in tally.invalid)]
    promoted = sum(sum(phase.promoted.values()) for phase in phases)
    return {**kinds, "ratio": ratios, "promoted": promoted, "failed": len(tally.failed), "violations": violations}


def of_kind(phases: list[Phase]) -> dict:
    """Milliseconds over all phases, and how far the 99th percentiles of single phases lie from one another."""
    together = [second for phase in phases for second in phase.seconds]
    each = [percentile(phase.seconds, 99) for phase in phases]
    middle = round(statistics.median(each), 1) if each else 0.0
    return {
        "requests": len(together),
        "p50": percentile(together, 50),
        "p99": percentile(together, 99),
        "p99_of_phases": {"min": min(each, default=0.0), "median": middle, "max": max(each, default=0.0)},
    }


def said(phase: Phase) -> str:
    promoted = ", ".join(f"{target} {count}" for target, count in phase.promoted.items() if count)
    p50, p99 = percentile(phase.seconds, 50), percentile(phase.seconds, 99)
    return f"{phase.kind}: {len(phase.seconds)} requests, ms p50 {p50}, p99 {p99}" + (f"; promoted: {promoted}" if promoted else "")


def table(seen: dict) -> str:
    lines = [f"{'phases':<12}{'requests':>10}{'p50, ms':>10}{'p99, ms':>10}{'p99 of single phases, ms':>28}"]
    for kind in (QUIET, ROTATING):
        row = seen[kind]
        single = row["p99_of_phases"]
        each = f"{single['min']} - {single['max']}"
        lines.append(f"{kind:<12}{row['requests']:>10}{row['p50']:>10}{row['p99']:>10}{each:>28}")
    ratio = seen["ratio"]
    lines.append(f"{'ratio':<22}{ratio['p50']:>10}{ratio['p99']:>10}")
    lines += ["", f"{seen['promoted']} promotions, {seen['failed']} failed requests, {len(seen['violations'])} violations"]
    return "\n".join([*lines, *(f"  {text}" for text in seen["violations"][:10])])


if __name__ == "__main__":
    sys.exit(main())
