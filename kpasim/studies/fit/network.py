"""A small neural network for regressions in which the spread, too, depends on the inputs."""

from itertools import pairwise

import numpy as np

from kpasim.arrays import Floats

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
        weights = [rng.standard_normal((a, b)) / np.sqrt(a) for a, b in pairwise(sizes)]
        weights[-1] *= 0.1
        # All numbers lie in one row, so that a step of the training is a few operations and not some for each layer.
        self._values = np.concatenate([*(weight.ravel() for weight in weights), np.zeros(sum(sizes[1:]))])
        self._weights, self._biases = _layers(self._values, sizes)
        self._gradient = np.empty_like(self._values)
        self._gradients = _layers(self._gradient, sizes)
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
        gradient, first, second = self._gradient, np.zeros_like(self._values), np.zeros_like(self._values)
        for step, rows in enumerate(rng.integers(len(x), size=(steps, batch)), 1):
            now = rate * 0.5 * (1.0 + np.cos(np.pi * step / steps))
            unbiased = np.sqrt(1.0 - 0.99**step) / (1.0 - 0.9**step)
            self._descend(x[rows], y[rows])
            first += 0.1 * (gradient - first)
            second += 0.01 * (gradient * gradient - second)
            self._values -= now * unbiased * first / (np.sqrt(second) + 1e-8)

    def _descend(self, x: Floats, y: Floats) -> None:
        """Make ``_gradient`` that of the mean negative log likelihood."""
        kept = [x]
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            out = kept[-1] @ weight
            out += bias
            kept.append(np.tanh(out, out=out))
        out = kept[-1] @ self._weights[-1]
        out += self._biases[-1]
        mean, raw = out[:, : self._outputs], out[:, self._outputs :]
        log_variance = np.minimum(np.maximum(raw, LEAST_LOG_VARIANCE), MOST_LOG_VARIANCE)
        left, precision = mean - y, np.exp(-log_variance)
        held = raw == log_variance
        back = np.concatenate([left * precision, 0.5 * (1.0 - left * left * precision) * held], axis=1)
        back /= len(x)
        np.minimum(np.maximum(back, -STEEPEST / len(x), out=back), STEEPEST / len(x), out=back)
        for layer in range(len(self._weights) - 1, -1, -1):
            weights, biases = (each[layer] for each in self._gradients)
            np.matmul(kept[layer].T, back, out=weights)
            np.add.reduce(back, axis=0, out=biases)
            if layer:
                back = back @ self._weights[layer].T
                back *= 1.0 - kept[layer] ** 2


def _layers(values: Floats, sizes: tuple[int, ...]) -> tuple[list[Floats], list[Floats]]:
    """The weights and the biases of each layer, as views of one row of numbers."""
    shapes = [*pairwise(sizes), *((size,) for size in sizes[1:])]
    parts = np.split(values, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
    views = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    return views[: len(sizes) - 1], views[len(sizes) - 1 :]
