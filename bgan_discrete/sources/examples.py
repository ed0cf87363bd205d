"""Three kinds of data that a program makes, so that what a generator ought to learn is known: records, motifs, a table.

Each is drawn from a fixed seed: the same rows wherever the same NumPy streams are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_choice

RECORD_COLUMNS = 120
NUM_CONDITIONS = 15
CODES_OF_A_CONDITION = 9
BACKGROUND_RATES = (0.004, 0.03)
"""How often a code stands in a record without any reason: between these, another rate for each code."""

BASES = "ACGT"
BASE_SHARES = (0.3, 0.2, 0.2, 0.3)
SEQUENCE_LENGTH = 48
MOTIF = "TGACTCA"
MOTIF_SHARE = 0.9
MOTIF_PLACE = (20.0, 6.0)
"""Mean and standard deviation of where the motif begins, before rounding; what would not fit is drawn again."""

NUM_ROWS = {"records": 12_000, "motifs": 12_000, "table": 12_000}
"""Rows of each, unless fewer are asked for."""

CITIES = {
    "Lyon": "France",
    "Paris": "France",
    "Berlin": "Germany",
    "Köln": "Germany",
    "Kraków": "Poland",
    "Warszawa": "Poland",
    "Osaka": "Japan",
    "Tokyo": "Japan",
    "Boston": "United States",
    "Seattle": "United States",
    "St. Louis": "United States",
}
CITY_SHARES = (0.06, 0.16, 0.13, 0.07, 0.05, 0.08, 0.07, 0.14, 0.08, 0.1, 0.06)
CURRENCIES = {"France": "EUR", "Germany": "EUR", "Poland": "PLN", "Japan": "JPY", "United States": "USD"}
SYSTEMS = {"phone": ("Android", "iOS"), "tablet": ("Android", "iOS"), "computer": ("Linux", "macOS", "Windows")}
VALUES_OF_RULES = {
    "city": set(CITIES),
    "country": set(CITIES.values()),
    "currency": set(CURRENCIES.values()),
    "device": set(SYSTEMS),
    "system": {system for systems in SYSTEMS.values() for system in systems},
}
"""What can stand in the columns that `broken_rules` looks at."""

AGES, PLANS = ("18-29", "30-44", "45-64", "65+"), ("free", "basic", "family", "business")
PAYMENTS = ("card", "invoice", "transfer", "wallet")
DEVICES_OF_AGES = np.array([[0.75, 0.1, 0.15], [0.5, 0.1, 0.4], [0.3, 0.2, 0.5], [0.15, 0.4, 0.45]])
PLANS_OF_AGES = np.array(
    [[0.6, 0.3, 0.05, 0.05], [0.2, 0.3, 0.35, 0.15], [0.2, 0.35, 0.2, 0.25], [0.3, 0.6, 0.08, 0.02]]
)
PAYMENTS_OF_PLANS = np.array(
    [[0.5, 0.02, 0.08, 0.4], [0.6, 0.05, 0.1, 0.25], [0.3, 0.1, 0.5, 0.1], [0.05, 0.8, 0.15, 0.0]]
)

Table = dict[str, list[Any]]


def records(num_rows: int, seed: int = 0) -> NDArray[np.uint8]:
    """Binary records ``[num_rows, 120]`` like codes of health: unseen conditions make codes occur together.

    A record has an age group, which decides how probable each of 15 conditions is; some conditions bring others with
    them. A condition makes each of nine codes probable (0.25 to 0.8); besides, every code has a small rate of its own.
    What belongs to the conditions is the same for every seed.
    """
    world = np.random.default_rng(2018)
    by_age = world.beta(0.8, 11, (4, NUM_CONDITIONS)) * np.linspace(0.5, 1.6, 4)[:, None]
    brings = np.where(world.random((NUM_CONDITIONS, NUM_CONDITIONS)) < 0.12, world.uniform(0.2, 0.6), 0.0)
    makes = np.zeros((NUM_CONDITIONS, RECORD_COLUMNS))
    for condition in range(NUM_CONDITIONS):
        codes = world.choice(RECORD_COLUMNS, CODES_OF_A_CONDITION, replace=False)
        makes[condition, codes] = world.uniform(0.25, 0.8, CODES_OF_A_CONDITION)
    background = world.uniform(*BACKGROUND_RATES, RECORD_COLUMNS)
    rng = np.random.default_rng([2018, seed])
    age = rng.choice(4, num_rows, p=[0.3, 0.3, 0.25, 0.15])
    has = rng.random((num_rows, NUM_CONDITIONS)) < by_age[age]
    has |= rng.random((num_rows, NUM_CONDITIONS)) < 1 - np.exp(has @ np.log1p(-brings))
    absent = np.exp(has @ np.log1p(-makes)) * (1 - background)
    return (rng.random(absent.shape) >= absent).astype(np.uint8)


def motifs(num_rows: int, seed: int = 0) -> NDArray[np.uint8]:
    """Sequences ``[num_rows, 48]`` like DNA, 0 .. 3 for A, C, G, T: random bases, in nine of ten the motif TGACTCA."""
    rng = np.random.default_rng([1997, seed])
    sequences = rng.choice(4, (num_rows, SEQUENCE_LENGTH), p=BASE_SHARES).astype(np.uint8)
    last = SEQUENCE_LENGTH - len(MOTIF)
    places = np.rint(rng.normal(*MOTIF_PLACE, num_rows))
    while (outside := (places < 0) | (places > last)).any():
        places[outside] = np.rint(rng.normal(*MOTIF_PLACE, int(outside.sum())))
    planted = np.flatnonzero(rng.random(num_rows) < MOTIF_SHARE)
    columns = places[planted].astype(np.int64)[:, None] + np.arange(len(MOTIF))
    sequences[planted[:, None], columns] = motif_codes()
    return sequences


def motif_codes() -> NDArray[np.uint8]:
    """The motif as codes."""
    return np.array([BASES.index(base) for base in MOTIF], np.uint8)


def motif_places(sequences: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where the motif first begins in each sequence ``[n, 48]``: ``[n]``, -1 where it does not stand."""
    windows = np.lib.stride_tricks.sliding_window_view(sequences, len(MOTIF), axis=1)
    found = (windows == motif_codes()).all(-1)
    return np.where(found.any(1), found.argmax(1), -1)


def table(num_rows: int, seed: int = 0) -> Table:
    """Customers of a shop, in eleven columns of categories, with dependencies and three rules without exception.

    The city decides the country, the country the currency, and the device which systems are possible. The age group
    shifts device, plan and payment; the plan and the number of tickets shift whether a customer left. Some satisfaction
    grades are missing (None), more often where the customer left.
    """
    rng = np.random.default_rng([1492, seed])

    def draw(shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """One category a row, with the probabilities of its row, up to a factor."""
        cumulated = np.cumsum(shares / shares.sum(1, keepdims=True), axis=1)
        return (rng.random(len(shares))[:, None] >= cumulated[:, :-1]).sum(1)

    names, devices = list(CITIES), tuple(SYSTEMS)
    city = rng.choice(len(names), num_rows, p=CITY_SHARES)
    country = [CITIES[names[place]] for place in city]
    japan = np.array([name == "Japan" for name in country])
    age = draw(np.where(japan[:, None], [[0.2, 0.25, 0.3, 0.25]], [[0.3, 0.35, 0.25, 0.1]]))
    device = draw(DEVICES_OF_AGES[age])
    plan = draw(PLANS_OF_AGES[age])
    payment = draw(PAYMENTS_OF_PLANS[plan])
    system_shares = np.array([[0.65, 0.35, 0.0], [0.4, 0.6, 0.0], [0.1, 0.3, 0.6]])[device]
    # Where phones are Apple's more often, computers are too.
    system = draw(system_shares * np.where(japan[:, None] & (np.arange(3) == 1), 2.5, 1.0))
    tickets = np.minimum(rng.poisson(np.array([0.3, 0.8, 1.0, 2.2])[plan]), 6)
    left_odds = np.array([-0.5, -1.6, -2.2, -2.0])[plan] + 0.55 * tickets
    left = rng.random(num_rows) < 1 / (1 + np.exp(-left_odds))
    grade = draw(np.exp(-0.5 * (np.arange(1, 6) - np.where(left, 1.8, 4.2)[:, None]) ** 2))
    missing = rng.random(num_rows) < np.where(left, 0.5, 0.15)
    return {
        "city": [names[place] for place in city],
        "country": country,
        "currency": [CURRENCIES[name] for name in country],
        "age": [AGES[place] for place in age],
        "device": [devices[place] for place in device],
        "system": [SYSTEMS[devices[kind]][place] for kind, place in zip(device, system, strict=True)],
        "plan": [PLANS[place] for place in plan],
        "payment": [PAYMENTS[place] for place in payment],
        "tickets": [int(count) for count in tickets],
        "satisfaction": [None if gone else int(value) + 1 for gone, value in zip(missing, grade, strict=True)],
        "left": ["yes" if gone else "no" for gone in left],
    }


def broken_rules(rows: Table) -> dict[str, float]:
    """The share of the rows that break each rule of `table`; they have the columns of `VALUES_OF_RULES`."""
    cities = zip(rows["city"], rows["country"], strict=True)
    money = zip(rows["country"], rows["currency"], strict=True)
    systems = zip(rows["device"], rows["system"], strict=True)
    broken = {
        "city decides country": [CITIES[city] != country for city, country in cities],
        "country decides currency": [CURRENCIES[country] != currency for country, currency in money],
        "device allows system": [system not in SYSTEMS[device] for device, system in systems],
    }
    return {rule: float(np.mean(found)) for rule, found in broken.items()}


def example(name: str, num_rows: int | None = None) -> "NDArray[np.uint8] | Table":
    """The rows of an example by its name, ``records``, ``motifs`` or ``table``; only the first ``num_rows``, or all."""
    check_choice("the example", name, NUM_ROWS)
    count = NUM_ROWS[name] if num_rows is None else min(num_rows, NUM_ROWS[name])
    if name == "table":
        return {column: values[:count] for column, values in table(NUM_ROWS[name]).items()}
    return (records if name == "records" else motifs)(NUM_ROWS[name])[:count]
