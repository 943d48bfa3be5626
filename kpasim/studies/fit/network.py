"""A small neural network for regressions in which the spread, too, depends on the inputs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -9.0, 0.5
STEEPEST = 20.0
"""Greatest gradient of one example: a single odd one must not undo what the others taught."""


class Network:
    """Mean and spread of several numbers as a smooth function of others, learned by maximum likelihood.

    Two hidden layers; each output is normal given the inputs, with a mean and a logarithm of its variance of its own.
    Inputs and outputs are to be of unit scale.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, rng: np.random.Generator) -> None:
        sizes = (inputs, hidden, hidden, 2 * outputs)
        self._weights = [rng.standard_normal((a, b)) / np.sqrt(a) for a, b in pairwise(sizes)]
        self._weights[-1] *= 0.1
        self._biases = [np.zeros(size) for size in sizes[1:]]
        self._outputs = outputs

    def __call__(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and logarithm of the variance, shape ``(rows, outputs)`` each."""
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            x = np.tanh(x @ weight + bias)
        out = x @ self._weights[-1] + self._biases[-1]
        return out[:, : self._outputs], np.clip(out[:, self._outputs :], LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)

    def train(
        self, x: Floats, y: Floats, rng: np.random.Generator, steps: int, batch: int = 128, rate: float = 3e-3
    ) -> None:
        """Fit to examples, rows of ``x`` and ``y``, by Adam with a rate that falls to nothing."""
        values = [*self._weights, *self._biases]
        first = [np.zeros_like(value) for value in values]
        second = [np.zeros_like(value) for value in values]
        for step in range(1, steps + 1):
            rows = rng.integers(len(x), size=batch)
            now = rate * 0.5 * (1.0 + np.cos(np.pi * step / steps))
            unbiased = np.sqrt(1.0 - 0.99**step) / (1.0 - 0.9**step)
            for place, gradient in enumerate(self._gradients(x[rows], y[rows])):
                first[place] += 0.1 * (gradient - first[place])
                second[place] += 0.01 * (gradient * gradient - second[place])
                values[place] -= now * unbiased * first[place] / (np.sqrt(second[place]) + 1e-8)

    def _gradients(self, x: Floats, y: Floats) -> list[Floats]:
        """Gradient of the mean negative log likelihood: of the weights, then of the biases."""
        kept = [x]
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            kept.append(np.tanh(kept[-1] @ weight + bias))
        out = kept[-1] @ self._weights[-1] + self._biases[-1]
        mean, raw = out[:, : self._outputs], out[:, self._outputs :]
        log_variance = np.clip(raw, LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)
        left, precision = mean - y, np.exp(-log_variance)
        held = raw == log_variance
        back = np.concatenate([left * precision, 0.5 * (1.0 - left * left * precision) * held], axis=1) / len(x)
        back = np.clip(back, -STEEPEST / len(x), STEEPEST / len(x))
        weights: list[Floats] = []
        biases: list[Floats] = []
        for layer in range(len(self._weights) - 1, -1, -1):
            weights.insert(0, kept[layer].T @ back)
            biases.insert(0, back.sum(axis=0))
            if layer:
                back = (back @ self._weights[layer].T) * (1.0 - kept[layer] ** 2)
        return [*weights, *biases]
