"""Samples and what is said of them."""

import math
import statistics

WARM_UPS = 2


def alternate(subjects, count, warm_ups=WARM_UPS):
    """Runs the subjects A B A B …; returns each one's samples, warm-ups dropped.

    A sample is a dictionary of figures; so is what is returned, with lists for figures.
    """
    samples = {name: [] for name in subjects}
    for turn in range(warm_ups + count):
        for name, subject in subjects.items():
            sample = subject()
            if turn >= warm_ups:
                samples[name].append(sample)
    return {
        name: {figure: [sample[figure] for sample in taken] for figure in taken[0]}
        for name, taken in samples.items()
    }


def summary(values):
    """Returns the median, the tail and the worst of some values."""
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return {"n": 0}

    def rank(share):
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    return {
        "n": len(ordered),
        "p50": statistics.median(ordered),
        "p95": rank(0.95),
        "p99": rank(0.99),
        "max": ordered[-1],
    }
