"""Everything rotates while the sample serves: `python -m local.rotation --times 100`."""
