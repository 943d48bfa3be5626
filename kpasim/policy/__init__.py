"""What Knative decides."""
