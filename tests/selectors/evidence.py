"""Traces as each selector reads them: its metric, learning rates, companions."""

import numpy as np

from hf_datasel.selectors import CLUESSelector, OracleSelector
from hf_datasel.trace import Trace


def metric_of(selector):
    return getattr(selector, "metrics", ("loss",))[0]


def fitting(selector, values):
    """The values as the selector may read them: an oracle knows only clean rows."""
    values = np.asarray(values, np.float32)
    return np.where(np.isnan(values), values, np.float32(1)) if selector is OracleSelector else values


def rates_of(values):
    return np.linspace(1.0, 0.5, np.shape(values)[1])


def beside(selector, values):
    """What the selector's default reads beside the Trace, by name: rows that are better by one are so by all."""
    tables = {"loss": -np.asarray(values, np.float32), "pairing": np.asarray(values, np.float32)[:, -1:]}
    names = selector(budget=1).evidence if selector is CLUESSelector else ()
    return {name: tables.get(name, np.asarray(values, np.float32)) for name in names}


def recorded(selector, ids, values, companions=None, **options):
    """A Trace in memory."""
    also = {
        name: Trace.from_arrays(ids, table, learning_rates=rates_of(table))
        for name, table in beside(selector, values).items()
    }
    return Trace.from_arrays(
        ids,
        fitting(selector, values),
        metric=metric_of(selector),
        learning_rates=rates_of(values),
        companions={**also, **(companions or {})},
        **options,
    )


def recorded_on_disk(selector, path, ids, values, masked=()):
    """The same on the disk, some of its rows unmeasurable."""
    trace = Trace.create(path, ids, metric=metric_of(selector))
    trace.mark_unmeasurable(masked, "every label is masked")
    write(trace, fitting(selector, values))
    for name, table in beside(selector, values).items():
        write(trace.create_companion(name, metric=name), table)
    return trace


def write(trace, values):
    for t, rate in enumerate(rates_of(values)):
        trace.write_column(values[:, t], step=t, learning_rate=rate)
    trace.finish()


def influence_trace(ids, dot, *, cosine=None, loss=None, num_labels=None, rates=None, anchors=None, **others):
    """An influence Trace with whichever companions are given; `anchors` is such a Trace itself."""

    def along(values):
        return Trace.from_arrays(ids, values, learning_rates=rates)

    companions = {
        "cosine": None if cosine is None else along(cosine),
        "loss": None if loss is None else along(loss),
        "num_labels": None if num_labels is None else Trace.from_arrays(ids, np.reshape(num_labels, (-1, 1))),
        "anchors": anchors,
        **{
            name: along(values) if np.shape(values)[1] > 1 else Trace.from_arrays(ids, values, steps=[0])
            for name, values in others.items()
        },
    }
    return Trace.from_arrays(
        ids,
        dot,
        metric="influence",
        learning_rates=rates,
        companions={name: trace for name, trace in companions.items() if trace is not None},
    )
