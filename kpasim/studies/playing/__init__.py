"""Playing runs: by which engine, in which processes, and how many at a time."""
