"""Many jobs at a time in one test run: most of a rotation is waiting."""

import inspect
import os
import queue
import threading
import time
from pathlib import Path

AT_ONCE = int(os.environ.get("COFFRE_KILL_AT_ONCE", "32"))


def together(jobs: list) -> None:
    """Does all of them, each a function and its arguments. The first failure is raised."""
    waiting, failures = queue.SimpleQueue(), []
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        while not failures:
            try:
                function, arguments = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                function(*arguments)
            except BaseException as error:  # noqa: BLE001: raised by the caller
                failures.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def scene(test):
    """A test that is played beside the other scenes of its module: `play` runs those that were chosen, the fixture `scenes`
    holds what became of them, and the test tells."""
    parameters = inspect.signature(test).parameters

    def told(request, scenes, **_):
        if error := scenes[request.node.nodeid]:
            raise error

    told.scene, told.needs = test, list(parameters)
    told.__name__, told.__doc__ = test.__name__, test.__doc__
    kind = inspect.Parameter.KEYWORD_ONLY
    marks = getattr(test, "pytestmark", [])
    shown = {name for mark in marks if mark.name == "parametrize" for name in names_of(mark.args[0])}
    told.pytestmark = marks
    told.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in ("request", "scenes", *sorted(shown))])
    return told


def names_of(argument) -> list[str]:
    return [name.strip() for name in argument.split(",")] if isinstance(argument, str) else list(argument)


def play(request, notes: Path, **fixtures) -> dict[str, BaseException | None]:
    """All chosen scenes of the module; by the test's id, how it failed. `notes` is a file that says so as they end."""
    chosen = [item for item in request.session.items if item.module is request.module and hasattr(item.function, "scene")]
    results = {}

    def one(item) -> None:
        given = fixtures | (item.callspec.params if hasattr(item, "callspec") else {})
        begun, results[item.nodeid] = time.monotonic(), None
        try:
            item.function.scene(**{name: given[name] for name in item.function.needs})
        except BaseException as error:  # noqa: BLE001: raised by its test
            results[item.nodeid] = error
        with open(notes, "a") as told:
            told.write(f"{time.monotonic() - begun:.0f} s: {item.name}: {results[item.nodeid]!r}\n")

    together([(one, (item,)) for item in chosen])
    return results


def in_acts(scenes: list, between: list) -> None:
    """Generators, all of them side by side up to their first `yield`; then what comes between the acts; and so on."""
    try:
        for pause in (*between, lambda: None):
            together([(next, (each, None)) for each in scenes])
            pause()
    finally:
        together([(each.close, ()) for each in scenes])
