"""The sample under load while everything rotates: signing keys, the encryption key, PostgreSQL, Redis, an outside service.

    python -m local.rotation [--times 100] [--period 8s] [--json]

Everything is real and on this machine: PostgreSQL, Redis, the vault, gunicorn, two Celery workers and beat, and the engine
(`coffre rotate run`). The clock is compressed: keys live for seconds. Meanwhile clients ask, a judge shows tokens, sessions
and passwords of every generation, and a worker opens notes. At the end stands what was seen; exit code 1 if anything that
must be accepted was refused, or the other way round, if one request failed, or if anything is left behind.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from ..process import Missing
from .load import Load
from .stage import EXTERNAL, OWNER, PAIR, ROTATOR, TARGETS, Theatre

ADMINISTRATOR = "coffre_admin"
SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.rotation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="how often each target rotates (%(default)s)")
    parser.add_argument("--period", default="8s", help="how often each begins to (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of gunicorn (%(default)s)")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds after which it is given up (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the directory with logs and data")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="coffre-rotation-"))
    try:
        with Theatre(directory, options.period, options.workers) as theatre:
            figures = play(theatre, options)
    except (Missing, AssertionError) as error:
        print(f"rotation: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"rotation: everything is in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(json.dumps(figures) if options.json else table(figures))
    return 1 if figures["violations"] else 0


def play(theatre: Theatre, options: argparse.Namespace) -> dict:
    theatre.open()
    load = Load(theatre)
    load.start()
    # One request of each kind before anything changes.
    time.sleep(2)
    began = time.monotonic()
    theatre.begin_engine()
    person = threading.Thread(target=load.kept, args=(lambda _: by_hand(theatre, options.times, load), 0), daemon=True)
    person.start()
    problems = until_rotated(theatre, options, load)
    seconds = time.monotonic() - began
    if not problems:
        problems += come_to_rest(theatre, options)
    load.stop()
    person.join(60)
    return figures(theatre, load, options, seconds, problems)


def by_hand(theatre: Theatre, times: int, load: Load) -> None:
    """The person who has keys issued, brings them, and revokes the ones before."""
    present = theatre.dotenv_value(TARGETS[EXTERNAL])
    for _ in range(times):
        key = theatre.issuer.issue()
        theatre.coffre("rotate", "provide", EXTERNAL, stdin=key, code=None)
        if not wait_for(lambda: theatre.document(EXTERNAL).get("value") == key, load):
            return
        if not wait_for(lambda: any(old["phase"] == "RETIRE" for old in theatre.record(EXTERNAL)["retiring"]), load):
            return
        theatre.issuer.revoke(present)
        theatre.coffre("rotate", "confirm-revoked", EXTERNAL, code=None)
        if not wait_for(lambda: not theatre.record(EXTERNAL)["retiring"], load):
            return
        present = key


def wait_for(condition, load: Load) -> bool:
    while not condition():
        if load.over.wait(0.2):
            return False
    return True


def until_rotated(theatre: Theatre, options: argparse.Namespace, load: Load) -> list[str]:
    deadline, said = time.monotonic() + options.timeout, 0.0
    while True:
        done = {target: rotations(theatre, target) for target in TARGETS}
        if min(done.values()) >= options.times:
            return []
        problems = halts(theatre) + load.broken
        if not theatre.engine.running():
            problems.append(f"the engine has ended:\n{theatre.engine.said()[-2000:]}")
        if problems or time.monotonic() > deadline:
            return problems or [f"not done after {options.timeout:.0f} s: {done}"]
        if time.monotonic() - said > 15 and sys.stderr.isatty() or time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"rotation: {done}, {len(load.tally.seconds)} requests, {len(load.tally.failed)} failed", file=sys.stderr, flush=True)
        time.sleep(0.5)


def rotations(theatre: Theatre, target: str) -> int:
    """Completed ones: promoted, and the generation before is accepted no longer."""
    record = theatre.record(target)
    if not record:
        return 0
    accepted = [old for old in record["retiring"] if old["phase"] in ("DRAIN", "RETIRE")]
    return record["active"] - 1 - len(accepted)


def halts(theatre: Theatre) -> list[str]:
    found = ((target, theatre.record(target).get("halt")) for target in TARGETS)
    return [f"{target} stands still: {halt['why']}; {halt['advice']}" for target, halt in found if halt]


def come_to_rest(theatre: Theatre, options: argparse.Namespace) -> list[str]:
    """Nothing new begins; what is under way ends."""
    theatre.coffre("rotate", "disable", *(target for target in TARGETS if target != EXTERNAL))
    deadline, busy = time.monotonic() + 180, list(TARGETS)
    while busy and time.monotonic() < deadline:
        busy = [target for target in busy if theatre.record(target)["phase"] != "IDLE" or theatre.record(target)["retiring"]]
        time.sleep(0.5)
    return [f"{target} does not come to rest: {theatre.record(target)['phase']}" for target in busy]


def figures(theatre: Theatre, load: Load, options: argparse.Namespace, seconds: float, problems: list[str]) -> dict:
    tally = load.tally
    roles = theatre.roles()
    declared = {ADMINISTRATOR, OWNER, ROTATOR, *PAIR}
    left = sorted(set(roles) - declared)
    open_logins = [name for name in PAIR if roles.get(name)]
    problems = problems + load.broken
    if len(open_logins) != 1:
        problems.append(f"{len(open_logins)} of the two logins of PostgreSQL are open")
    if (count := theatre.redis_passwords()) != 1:
        problems.append(f"the user of Redis has {count} passwords")
    targets = [{"target": target, **durations(theatre.history(target))} for target in TARGETS]
    problems += [f"{row['target']} rotated {row['rotations']} times" for row in targets if row["rotations"] < options.times]
    violations = [*problems, *(f"failed: {text}" for text in tally.failed), *(f"refused, but valid: {text}" for text in tally.invalid)]
    violations += [*(f"accepted, but not valid: {text}" for text in tally.valid), *(f"left: {name}" for name in left)]
    return {
        "seconds": round(seconds, 1),
        "targets": targets,
        "requests": len(tally.seconds),
        "failed": len(tally.failed),
        "milliseconds": {"p50": percentile(tally.seconds, 50), "p99": percentile(tally.seconds, 99)},
        "accepted": tally.accepted + tally.logins_accepted,
        "refused": tally.refused + tally.logins_refused,
        "invalid_that_should_be_valid": len(tally.invalid),
        "valid_that_should_not_be": len(tally.valid),
        "notes_opened": tally.notes_opened,
        "jobs": tally.jobs,
        "issuer_asked": theatre.issuer.asked,
        "roles_left": len(left),
        "violations": violations,
    }


def durations(events: list[dict]) -> dict:
    """From the engine's own history: until the new one is used, and until the one before is accepted no longer."""
    began, promoted, retired, waits = {}, [], [], {}
    for event in events:
        at = datetime.fromisoformat(event["at"]).timestamp()
        word = event["event"]
        if word == "started":
            began[event["rotation"]] = at
        elif word == "promoted" and event["rotation"] in began:
            promoted.append(at - began[event["rotation"]])
            waits[event.get("old")] = began[event["rotation"]]
        elif word == "retired" and event.get("gen") in waits:
            retired.append(at - waits[event["gen"]])
    return {"rotations": len(retired), "promoted": spread(promoted), "retired": spread(retired)}


def spread(seconds: list[float]) -> dict:
    return {"p50": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)} if seconds else {"p50": 0, "max": 0}


def percentile(seconds: list[float], part: int) -> float:
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, len(ordered) * part // 100)] * 1000, 1) if ordered else 0.0


def table(figures: dict) -> str:
    lines = [f"{'target':<24}{'rotations':>10}{'to use, s p50':>15}{'max':>8}{'to end, s p50':>15}{'max':>8}"]
    for row in figures["targets"]:
        one, two = row["promoted"], row["retired"]
        lines.append(f"{row['target']:<24}{row['rotations']:>10}{one['p50']:>15}{one['max']:>8}{two['p50']:>15}{two['max']:>8}")
    rows = {
        "seconds": figures["seconds"],
        "requests": figures["requests"],
        "failed requests": figures["failed"],
        "ms p50 / p99": f"{figures['milliseconds']['p50']} / {figures['milliseconds']['p99']}",
        "tokens, sessions, logins accepted": figures["accepted"],
        "… and refused": figures["refused"],
        "invalid that should be valid": figures["invalid_that_should_be_valid"],
        "valid that should not be": figures["valid_that_should_not_be"],
        "notes opened": figures["notes_opened"],
        "jobs of workers": figures["jobs"],
        "database roles left": figures["roles_left"],
    }
    lines += ["", *(f"{name:<36}{value:>16}" for name, value in rows.items())]
    violations = figures["violations"]
    lines += ["", f"{len(violations)} violations" + (":" if violations else "")]
    lines += [f"  {text}" for text in violations[:SHOWN]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
