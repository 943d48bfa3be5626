"""The same load under several autoscalers."""
