"""Programs that tests start and that certainly end; see the sample application's `local/process.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/atmr"))
from local.process import Missing, RealProcess, until  # noqa: E402

__all__ = ["Missing", "RealProcess", "until"]
