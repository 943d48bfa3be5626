"""What a run leaves behind: tables, summary, cost, hey's report, provenance."""
