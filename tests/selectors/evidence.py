"""Evidence as each selector reads it: a Trace of its metric, learning rates, companions; or a Valuation."""

from dataclasses import replace

import numpy as np

from hf_datasel.clusters import Clusters
from hf_datasel.embeddings import Embeddings
from hf_datasel.selectors import CLUESSelector, OracleSelector
from hf_datasel.trace import Trace
from hf_datasel.valuation import Valuation


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
    """In memory."""
    if selector.reads is Embeddings:
        return Embeddings.from_arrays(ids, values, embedder={"name": "values"}, **options)
    if selector.reads is Valuation:
        rates = rates_of(values)
        return valued(Trace.from_arrays(ids, values, metric="influence", learning_rates=rates, **options))
    also = {
        name: Trace.from_arrays(ids, table, learning_rates=rates_of(table))
        for name, table in beside(selector, values).items()
    }
    return Trace.from_arrays(
        ids,
        fitting(selector, values),
        metric=selector.metrics[0],
        learning_rates=rates_of(values),
        companions={**also, **(companions or {})},
        **options,
    )


def recorded_on_disk(selector, path, ids, values, masked=()):
    """The same on the disk, some of its rows unmeasurable."""
    if selector.reads is Embeddings:
        recorded(selector, ids, values).save(path)
        return Embeddings.load(path)
    if selector.reads is Valuation:
        trace = Trace.create(f"{path}-of-gradients", ids, metric="influence", mode="in_run")
        trace.mark_unmeasurable(masked, "every label is masked")
        write(trace, values)
        valued(trace).save(path)
        return Valuation.load(path)
    trace = Trace.create(path, ids, metric=selector.metrics[0])
    trace.mark_unmeasurable(masked, "every label is masked")
    write(trace, fitting(selector, values))
    for name, table in beside(selector, values).items():
        write(trace.create_companion(name, metric=name), table)
    return trace


def valued(trace):
    """A Valuation of a Trace's rows, dozens to a cluster; a row with an unmeasured value is alone and has none."""
    lost = np.isnan(trace.values).any(axis=1) & np.isin(np.arange(trace.num_examples), trace.selectable)
    table = np.nan_to_num(trace.values)
    labels = np.where(lost, 10 + np.cumsum(lost), np.digitize(table[:, 0], [0.5, 1.0, 1.5, 2.0, 2.8, 4.1]))
    source = trace.fingerprint
    vectors = Embeddings.from_arrays(trace.ids, table, embedder={"name": "values", "hash": "0"}, fingerprint=source)
    if lost.any():
        rates = trace.learning_rates
        trace = Trace.from_arrays(trace.ids, table, metric="influence", learning_rates=rates, fingerprint=source)
    valuation = Valuation.from_trace(trace, Clusters.from_labels(vectors, labels))
    values = valuation.values.copy()
    values[valuation.clusters[lost]] = np.nan
    return replace(valuation, values=values)


def unmeasured(selector, example, step):
    """What the refusal of a value that was not measured says."""
    if selector.reads is Valuation:
        return f"example {example} is in, has no value"
    return f"example {example} was not measured at step {step}"


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
