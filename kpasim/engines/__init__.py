"""Two ways to run the same experiment."""
