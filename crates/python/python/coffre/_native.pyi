"""The compiled half; for the modules of this package alone."""

__version__: str
