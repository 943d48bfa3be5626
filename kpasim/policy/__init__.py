"""What autoscalers decide, Knative's first: plain functions of numbers, NamedTuples and arrays.

Nothing here keeps state, reads a clock or draws a random number.
"""
