"""The wheel, as people get it: installed in a clean virtual environment, it runs the README's example."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest
import requests

from application import Application, prepare
from coffre_server import clean_environment, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
FLASK = next(
    line for line in (REPOSITORY / "examples/atmr/requirements.txt").read_text().splitlines() if line.lower().startswith("flask=")
)
EXAMPLE_LINES = 8


@pytest.fixture(scope="module")
def wheel() -> Path:
    """COFFRE_WHEEL, or one that is built now in the development profile: the same files, faster to make."""
    if given := os.environ.get("COFFRE_WHEEL"):
        return Path(given)
    environ = clean_environment(COFFRE_PYTHON=sys.executable)
    done = subprocess.run(
        ["cargo", "xtask", "package", "--dev-wheel"], cwd=REPOSITORY, capture_output=True, text=True, timeout=1200,
        env=environ, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory) -> Path:
    """The interpreter of a new virtual environment with the wheel and Flask, nothing else."""
    directory = tmp_path_factory.mktemp("clean")
    venv.create(directory, with_pip=True)
    interpreter = directory / "bin/python"
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), FLASK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=directory, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return interpreter


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    return Application(vault, tmp_path / "app")


def example() -> str:
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.partition("\n## From Python\n")[2].partition("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    assert re.fullmatch(r"coffre-[0-9.]+-cp39-abi3-\w*linux\w*\.whl", wheel.name), wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert {"coffre/__init__.py", "coffre/_native.abi3.so", "coffre/_native.pyi", "coffre/py.typed"} <= set(names)
    strange = [name for name in names if not re.match(r"coffre/\w+(\.abi3)?\.(py|pyi|so|typed)$|coffre-[\d.]+\.dist-info/", name)]
    assert strange == []
    metadata = next(name for name in names if name.endswith("METADATA"))
    described = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "Requires-Python: >=3.9" in described and "coffre.get_secret" in described
    assert "Requires-Dist" not in re.sub(r"Requires-Dist: .*extra.*", "", described), "needs nothing but itself"


def test_the_readmes_flask_example_runs_with_the_installed_wheel(clean, application):
    code = example()
    assert sum(bool(line.strip()) for line in code.splitlines()) == EXAMPLE_LINES
    (application.directory / "app.py").write_text(code)
    port = free_port()
    log = application.directory / "flask.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(clean), "-m", "flask", "--app", "app", "run", "--port", str(port)], cwd=application.directory,
            env=application.environ(), stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
        )
    try:
        answer = wait_for(process, log, f"http://127.0.0.1:{port}/")
        assert answer == {"source": "vault", "database": "db.internal"}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(15)
    application.assert_no_secret("Flask's log", log.read_bytes())


def test_the_installed_package_is_the_wheels(clean, application):
    command = [str(clean), "-c", "import coffre, json; print(json.dumps([coffre.__file__, coffre.get_secret('JWT_SECRET_KEY')]))"]
    done = subprocess.run(
        command, cwd=application.directory, env=application.environ(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    place, value = json.loads(done.stdout)
    assert place.startswith(str(clean.parents[1])) and value == application.jwt


def wait_for(process, log, url):
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(url, timeout=10).json()
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
