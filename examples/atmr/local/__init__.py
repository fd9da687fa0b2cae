"""Everything real on one machine: what `run-all` starts, and what the end-to-end tests look at."""
