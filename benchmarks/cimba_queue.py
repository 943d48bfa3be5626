"""An M/M/10 queue at 80 % load in cimba: `python benchmarks/cimba_queue.py 400000` prints the CPU time of that many.

A process of its own, because cimba and kpasim each teach numba types that the other's compiler stumbles over.
"""

import statistics
import sys
import time

import cimba
from cimba import inputs


class Queue(cimba.Model):  # type: ignore[misc]
    """Customers counted in a container, ten servers that take one each."""

    gap: cimba.Input[float] = inputs.dist.exponential(mean=1.0)
    service: cimba.Input[float] = inputs.dist.exponential(mean=8.0)
    queue: cimba.Container
    mean_queue: cimba.Output[float]

    @cimba.process  # type: ignore[untyped-decorator]
    def arrivals(self) -> None:
        """Put one customer after the other into the queue."""
        while True:
            cimba.hold(self.gap.next())
            self.queue.put(1)

    @cimba.process(copies=10)  # type: ignore[untyped-decorator]
    def server(self) -> None:
        """Serve for ever."""
        while True:
            self.queue.get(1)
            cimba.hold(self.service.next())

    @cimba.on_end  # type: ignore[untyped-decorator]
    def measure(self) -> None:
        """Keep a number, as a user would."""
        self.mean_queue = self.queue.mean_level()


QUEUE = Queue()


def run(requests: int) -> None:
    """Simulate about so many customers."""
    cimba.Experiment(QUEUE, replications=1, window=cimba.Window(warmup=0, duration=requests), seed=1).run()


def main() -> None:
    """Print the median of five runs, after one that compiles."""
    run(1000)
    times = []
    for _ in range(5):
        begun = time.process_time()
        run(int(sys.argv[1]))
        times.append(time.process_time() - begun)
    print(statistics.median(times))


if __name__ == "__main__":
    main()
