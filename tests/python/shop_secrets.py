"""The secrets of the application under test, in its process."""

import os

import coffre


def open_secrets(environ=None) -> coffre.Secrets:
    return coffre.Secrets(dict(os.environ if environ is None else environ))
