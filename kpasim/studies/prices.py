"""What an hour of each instance type costs in an experiment, and how far that can be trusted."""

from typing import Any

from kpasim.errors import RunError
from kpasim.results import cost
from kpasim.results.cost import Price
from kpasim.spec.experiment import Experiment


def given_prices(experiment: Experiment) -> dict[str, Price]:
    """Prices that the experiment gives itself."""
    found = {
        one.name: Price(one.price_per_hour, one.currency)
        for one in experiment.instance_types
        if one.price_per_hour is not None
    }
    if experiment.cost:
        for name, per_hour in experiment.cost.prices.items():
            currency = experiment.cost.currency or (found[name].currency if name in found else "USD")
            found[name] = Price(per_hour, currency)
    return found


def billed_types(experiment: Experiment) -> list[str]:
    """Names of the instance types that a bill is about: that of the nodes where there are nodes.

    Nodes that name no type are of the only type that is listed.
    """
    listed = [one.name for one in experiment.instance_types]
    nodes = experiment.cluster.nodes
    if nodes is None or (not nodes.type and len(listed) == 1):
        return listed
    return [nodes.type] if nodes.type else []


def prices_of(experiment: Experiment) -> dict[str, Price] | None:
    """Price of each instance type: the experiment's own, else the one kpasim brings along; ``None`` where one has none.

    Raises:
        RunError: They are in different currencies, or not in the one that is wanted; or there are prices, but none for
            the type of the nodes.
    """
    given = given_prices(experiment)
    names = billed_types(experiment)
    if not names or any(name not in given and name not in cost.price_list() for name in names):
        if names and given and experiment.cluster.nodes:
            raise RunError(
                f"cluster.nodes.type: no price for {names[0]} (give it a price-per-hour; priced: {', '.join(given)})"
            )
        return None
    found = cost.prices_for(names, given)
    cost.currency_of(found, experiment.cost.currency if experiment.cost else None)
    return found


def prices_to_dict(prices: dict[str, Price] | None) -> dict[str, dict[str, Any]]:
    """Prices for machines: what is known of each, by instance type; ``stale`` where it is too old to rely on."""
    kept = ("region", "date", "source")
    return {
        name: {
            "per_hour": price.per_hour,
            "currency": price.currency,
            **{key: getattr(price, key) for key in kept if getattr(price, key)},
            "stale": price.stale,
            "estimate": price.estimate,
        }
        for name, price in (prices or {}).items()
    }


def remarks(prices: dict[str, Price] | None) -> list[str]:
    """A line about each price that kpasim brings along, louder where it is stale or put together."""
    return [_remark(name, price) for name, price in (prices or {}).items() if price.source != Price(0, "").source]


def assumed(prices: dict[str, Price] | None) -> str:
    """Whose prices are kpasim's own, and how far they can be trusted, in a few words; empty where the user gave all."""
    own = {name: price for name, price in (prices or {}).items() if price.source != Price(0, "").source}
    if not own:
        return ""
    doubted = any(price.stale or price.estimate for price in own.values())
    return (
        f"kpasim's price{'' if len(own) == 1 else 's'} of {', '.join(own)}{', stale or estimated' if doubted else ''}"
    )


def _remark(name: str, price: Price) -> str:
    known = ", ".join(one for one in (price.region, price.date) if one) or "no date"
    line = f"Price of {name}: {price.per_hour:g} {price.currency} an hour ({known})"
    doubts = [word for word, doubted in (("stale", price.stale), ("an estimate", price.estimate)) if doubted]
    return f"{line}, {' and '.join(doubts).upper()}: give its price-per-hour" if doubts else line
