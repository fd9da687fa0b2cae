"""How many requests the application answers with its secrets from the vault, against from `.env`.

    python -m local.load [--rounds 6] [--seconds 3] [--json]

All sides run at the same time under gunicorn, on one PostgreSQL and one Redis; the load goes to one after the other, in
rounds whose order turns, so that what else the machine does hits all alike; beside the rate stands the processor time that
gunicorn took for a request, which others do not touch. Each request checks a signature: of a session
cookie (SECRET_KEY), or of a token (JWT_SECRET_KEY) with a look into the database. Nothing is asserted here.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from .parts import Web
from .postgres import PostgresServer
from .process import Missing, free_port
from .redis import RedisServer
from .stage import Stage
from .vault import VaultServer, find_binary
from .web import call

CONNECTIONS = 8
WARM_SECONDS = 1.0
# What is asked for: path, and which of the client's credentials goes with it.
WORKLOADS = {"session": ("/preferences", "Cookie"), "token": ("/me", "Authorization")}


@dataclass
class Side:
    name: str
    web: Web
    credentials: dict[str, str] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in WORKLOADS})
    # Processor seconds for a request.
    costs: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in WORKLOADS})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="coffre-load-"))
    try:
        with ExitStack() as stack:
            sides = prepared(Stage(directory), stack)
            measure(sides, options.rounds, options.seconds)
            report(sides, options)
    except (Missing, AssertionError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def prepared(stage: Stage, stack: ExitStack) -> list[Side]:
    """The servers, the migration, and one gunicorn for each side, each with a client that has logged in."""
    ports = stage.ports
    url = stage.url("DATABASE_URL")
    postgres = stack.enter_context(PostgresServer(stage.directory / "postgres", ports["postgres"]))
    postgres.create_role(url.username, url.password)
    postgres.own_database(url.database, url.username)
    stack.enter_context(RedisServer(stage.url("REDIS_URL").password, stage.directory / "redis", ports["redis"]))
    vault = stack.enter_context(VaultServer(find_binary(), stage.directory / "vault", ports["vault"]))
    migrate(stage, vault)
    sides = []
    for name, environment in environments(stage, vault).items():
        log = stage.directory / f"{len(sides)}.log"
        web = stack.enter_context(Web(stage.project, log, environment, port=free_port()).start())
        sides.append(Side(name, web, credentials(web)))
    return sides


def environments(stage: Stage, vault: VaultServer) -> dict[str, dict[str, str]]:
    """As it was before: python-dotenv fills the environment, and no package of ours is there. Then the two other ways."""
    values = {name: value for name, value in dotenv_values(stage.dotenv).items() if value is not None}
    plain = stage.environment(**values, COFFRE_SOURCE="python-dotenv", COFFRE_ENV="dev", package=False)
    return {
        "os.environ (python-dotenv)": plain,
        ".env (coffre)": stage.environment(COFFRE_ENV="dev"),
        "vault (coffre)": stage.environment(COFFRE_ENV="prod", **vault.identity("atmr-api")),
    }


def migrate(stage: Stage, vault: VaultServer) -> None:
    env = stage.environment(
        COFFRE_ENV="prod", VAULT_ADDR=vault.address, VAULT_CACERT=str(vault.ca), VAULT_TOKEN=vault.root,
        XDG_STATE_HOME=str(stage.directory / "state"),
    )
    for step in (["plan"], ["apply", "-yes"]):
        command = [str(vault.binary), "migrate", *step]
        done = subprocess.run(command, cwd=stage.project, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def credentials(web: Web) -> dict[str, str]:
    # Made by the first side, which runs in development.
    body = call("POST", f"{web.base}/auth/login", {"username": "demo", "password": "demo"}).body
    cookie = call("PUT", f"{web.base}/preferences", {"theme": "dark"}).headers["Set-Cookie"].partition(";")[0]
    return {"Authorization": f"Bearer {body['access_token']}", "Cookie": cookie}


def measure(sides: list[Side], rounds: int, seconds: float) -> None:
    for number in range(rounds + 1):
        for workload in WORKLOADS:
            # Each side is first as often as the others.
            turn = number % len(sides)
            for side in sides[turn:] + sides[:turn]:
                before, lasts = processor_seconds(side.web.process.pid), seconds if number else WARM_SECONDS
                rate = load(side, workload, lasts)
                # The first round warms up.
                if number:
                    side.rates[workload].append(rate)
                    side.costs[workload].append((processor_seconds(side.web.process.pid) - before) / (rate * lasts))


def processor_seconds(pid: int) -> float:
    """Of the process and of those that it started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(processor_seconds(int(c)) for c in children)


def load(side: Side, workload: str, seconds: float) -> float:
    """Requests per second; every answer must be a 200."""
    path, header = WORKLOADS[workload]
    if wrk := shutil.which("wrk"):
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-H", f"{header}: {side.credentials[header]}", side.web.base + path]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Non-2xx" not in said and "Socket errors" not in said, f"{side.name}: {said}"
        return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return python_load(side.web.port, path, {header: side.credentials[header]}, seconds)


def python_load(port: int, path: str, headers: dict[str, str], seconds: float) -> float:
    """The same without wrk. It is slower than the server, but equally so for all sides."""
    counts, deadline = [0] * CONNECTIONS, time.monotonic() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while time.monotonic() < deadline:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def report(sides: list[Side], options: argparse.Namespace) -> None:
    """Medians over the rounds; the ratio is the median of the rounds' own ratios, which drift does not touch."""
    rows = []
    for workload in WORKLOADS:
        first = sides[0]
        for side in sides:
            rates, costs = side.rates[workload], side.costs[workload]
            rows.append({
                "workload": workload,
                "side": side.name,
                "requests_per_second": round(statistics.median(rates), 1),
                "ratio": against(rates, first.rates[workload]),
                "processor_us": round(statistics.median(costs) * 1e6, 1),
                "processor_ratio": against(costs, first.costs[workload]),
            })
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'workload':<10} {'secrets from':<28} {'requests/s':>10} {'ratio':>7} {'CPU µs/request':>15} {'ratio':>7}")
    for row in rows:
        rate = f"{row['requests_per_second']:>10} {row['ratio']:>7.3f}"
        print(f"{row['workload']:<10} {row['side']:<28} {rate} {row['processor_us']:>15} {row['processor_ratio']:>7.3f}")


def against(own: list[float], first: list[float]) -> float:
    return round(statistics.median(mine / theirs for mine, theirs in zip(own, first, strict=True)), 4)


if __name__ == "__main__":
    sys.exit(main())
