"""Where secrets come from: the package `coffre` if it is installed, else what `coffre run` put into the environment.

Both have the same functions; the rest of the application imports them from here.
"""

import importlib.util

if importlib.util.find_spec("coffre") is not None:
    from .vault_client import (
        NotFound, Settings, VaultError, connect_workers, environment, get_secret, names, open_box, open_engine, open_redis,
        origin, protect_sessions, sign_tokens, source, state,
    )
else:
    from .injected import (
        NotFound, Settings, VaultError, connect_workers, environment, get_secret, names, open_box, open_engine, open_redis,
        origin, protect_sessions, sign_tokens, source, state,
    )

__all__ = [
    "NotFound", "Settings", "VaultError", "connect_workers", "environment", "get_secret", "names", "open_box", "open_engine",
    "open_redis", "origin", "protect_sessions", "sign_tokens", "source", "state",
]
