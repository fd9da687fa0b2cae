"""Answers, with the python-dotenv that is installed here, what a .env file means.

One JSON object per line in, one per line out. First line out: {"version": "..."}.

in:  {"file": hex, "env": {name: value}, "override": bool, "interpolate": bool, "stream": bool}
out: {"values": [[key, value or null]...],   dotenv_values
      "lines": [n...],                       lines named in the warnings of dotenv_values
      "environ": {name: value},              the environment after load_dotenv
      "stopped": bool}                       load_dotenv raised ValueError half-way
  or {"not_utf8": offset}
"""

import io
import json
import logging
import os
import sys
import tempfile

from dotenv import dotenv_values, load_dotenv
from dotenv.version import __version__


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.args[0])


def source(path, content, stream):
    if stream:
        return {"stream": io.StringIO(content.decode("utf-8"), newline="")}
    return {"dotenv_path": path, "encoding": "utf-8"}


def answer(request, path, warnings):
    content = bytes.fromhex(request["file"])
    with open(path, "wb") as file:
        file.write(content)
    os.environ.clear()
    os.environ.update(request["env"])
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return {"not_utf8": error.start}
    options = {"interpolate": request["interpolate"]}
    warnings.lines = []
    values = dotenv_values(**source(path, content, request["stream"]), **options)
    lines = list(warnings.lines)
    stopped = False
    try:
        load_dotenv(**source(path, content, request["stream"]), override=request["override"], **options)
    except ValueError:
        stopped = True
    return {"values": list(values.items()), "lines": lines, "environ": dict(os.environ), "stopped": stopped}


def main():
    warnings = Lines()
    logger = logging.getLogger("dotenv.main")
    logger.addHandler(warnings)
    logger.propagate = False
    print(json.dumps({"version": __version__}), flush=True)
    # In memory where the system has such a place: overwriting a file makes some file systems flush it each time.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        path = os.path.join(directory, ".env")
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line), path, warnings)), flush=True)


if __name__ == "__main__":
    main()
