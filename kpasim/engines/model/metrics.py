"""A metric on its way to an HPA: a scrape of what is there, a window over scrapes, an adapter that answers queries.

Each scrape adds what it reads to a running sum: requests in flight, requests that arrived, or time [ns] at work. The
mean over a window is then a difference of two sums, of a pod or at the gateway.
"""

from kpasim.engines import params as of
from kpasim.engines.model import queueproxy, views
from kpasim.engines.model.clocks import scrape_share
from kpasim.engines.model.state import GONE, NOTHING, Simulation
from kpasim.engines.params import NEVER_NS, SECOND_NS
from kpasim.policy import accounting


def phase_ns(sim: Simulation) -> int:
    """Phase of the scrapes, anywhere within their period."""
    return int(scrape_share(sim) * sim.params.scrape_ns)


def number_at(sim: Simulation, time_ns: int) -> int:
    """Number of the latest scrape at a time."""
    return (time_ns - phase_ns(sim)) // sim.params.scrape_ns


def in_flight(sim: Simulation) -> int:
    """Requests behind the gateway: in pods, and held for want of one."""
    count = 0
    for index in range(views.alive(sim)):
        count += queueproxy.inside(sim, sim.alive_pods[index])
    for index in range(sim.params.activators):
        count += sim.waiting[index].count + sim.activators[index].waking
    return count


def scrape(sim: Simulation) -> None:
    """Read every pod that answers, and the gateway."""
    number = number_at(sim, sim.now_ns)
    size = len(sim.total_samples)
    column, previous = number % size, (number - 1) % size
    total = 0 if sim.autoscaler.first_sample == NOTHING else sim.total_samples[previous]
    if sim.autoscaler.first_sample == NOTHING:
        sim.autoscaler.first_sample = number
    is_gauge = sim.params.metric == of.CONCURRENCY
    if sim.params.data_plane == of.ROUTER:
        sim.total_samples[column] = accounting.lifetime_integral(sim.stats[0], sim.now_ns)
    elif is_gauge:
        sim.total_samples[column] = total + in_flight(sim)
    else:
        sim.total_samples[column] = sim.ingress.age_tail
    if not sim.params.of_pods:
        return
    for index in range(views.alive(sim)):
        which = sim.alive_pods[index]
        pod = sim.pods[which]
        # The kubelet measures cpu of every container; other metrics come from the server inside.
        begun_ns = pod.containers_ns if sim.params.metric == of.CPU else pod.listening_ns
        if begun_ns == NEVER_NS or pod.phase == GONE:
            continue
        if is_gauge:
            before = 0 if pod.first_sample == NOTHING else sim.samples[which][previous]
            sim.samples[which][column] = before + queueproxy.inside(sim, which)
        elif sim.params.metric == of.RATE:
            sim.samples[which][column] = pod.arrivals
        else:
            sim.samples[which][column] = queueproxy.busy_at(sim, which, sim.now_ns)
        if pod.first_sample == NOTHING:
            pod.first_sample = number


def latest(sim: Simulation) -> int:
    """Number of the latest scrape that the adapter shows."""
    return number_at(sim, sim.now_ns - sim.params.adapter_ns)


def scrapes(sim: Simulation, first: int, last: int) -> int:
    """Scrapes that a mean is taken over, from those since ``first``; 0 where there is no mean yet."""
    if first == NOTHING or last < first:
        return 0
    if sim.params.metric == of.CONCURRENCY:
        return min(sim.params.window_scrapes, last - first + 1)
    return min(sim.params.window_scrapes, last - first)


def mean(sim: Simulation, grown: int, count: int) -> float:
    """Mean of a metric by how much its sum has grown over ``count`` scrapes: requests, requests/s or percent."""
    if sim.params.metric == of.CONCURRENCY:
        return grown / count
    if sim.params.metric == of.RATE:
        return grown * SECOND_NS / (count * sim.params.scrape_ns)
    if sim.params.metric == of.ONGOING:
        return grown / (count * sim.params.scrape_ns)
    share = sim.params.busy_cpu if sim.params.metric == of.CPU else 1.0
    return grown * 100.0 * share / (count * sim.params.scrape_ns)


def of_pod(sim: Simulation, which: int) -> float:
    """The metric of one pod, -1 where there is none yet."""
    first, last = sim.pods[which].first_sample, latest(sim)
    count = scrapes(sim, first, last)
    if count == 0:
        return -1.0
    size = len(sim.total_samples)
    begun = 0 if last - count < first else sim.samples[which][(last - count) % size]
    return float(mean(sim, sim.samples[which][last % size] - begun, count))


def window_ns(sim: Simulation, which: int) -> tuple[int, int]:
    """Age of the latest scrape of a pod that can be read, and the length of its window."""
    last = latest(sim)
    age_ns = sim.now_ns - phase_ns(sim) - last * sim.params.scrape_ns
    return int(age_ns), int(scrapes(sim, sim.pods[which].first_sample, last) * sim.params.scrape_ns)


def of_all(sim: Simulation) -> float:
    """The metric at the gateway, 0 where there is none yet (KEDA reads nothing as 0)."""
    first, last = sim.autoscaler.first_sample, latest(sim)
    count = scrapes(sim, first, last)
    if count == 0:
        return 0.0
    size = len(sim.total_samples)
    begun = 0 if last - count < first else sim.total_samples[(last - count) % size]
    return float(mean(sim, sim.total_samples[last % size] - begun, count))
