"""What a user writes: experiment, workload, model, cluster and cost files."""
