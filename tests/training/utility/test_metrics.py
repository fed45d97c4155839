"""Every metric against its definition, a row at a time."""

import inspect
import math
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from trl import SFTTrainer

from hf_datasel.functional.losses import label_log_probs
from hf_datasel.training.utility import EvaluateMetric, FineTuneUtility, FunctionMetric, generate_answers
from hf_datasel.training.utility.metrics import ExactMatch, ValidationLoss
from tests.training.reference import reference_losses, tokens_and_labels
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer
from tests.training.utility.coalitions import TOLERANCE, dev_rows, make_utility, mask
from tests.training.utility.evaluate_scripts import SCRIPT, modules_apart

NONE = np.zeros((1, 1), dtype=bool)


@pytest.fixture(scope="module")
def schooled(tmp_path_factory):
    """A trainer that has learned some answers, and the rows: some it knows, some it does not."""
    torch.set_num_threads(1)
    rows = make_dataset(num_rows=12, seed=3)
    trainer = SFTTrainer(
        tiny_model(),
        args=sft_args(tmp_path_factory.mktemp("schooled"), max_steps=60, learning_rate=2e-2),
        train_dataset=rows.select(range(6)),
        processing_class=word_tokenizer(),
    )
    trainer.train()
    prepared = trainer._prepare_dataset(rows, word_tokenizer(), trainer.args, False, None, "dev")
    return trainer, rows, prepared


def greedy(model, question, most):
    """Greedy decoding by its definition: the most likely token behind all before it, until the end or ``most``."""
    tokens = list(question)
    model.eval()
    with torch.no_grad():
        while len(tokens) < len(question) + most:
            tokens.append(int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
            if tokens[-1] == word_tokenizer().eos_token_id:
                break
    return tokens[len(question) :]


def test_exact_match_is_greedy_decoding_by_its_definition(schooled):
    trainer, rows, prepared = schooled
    answered = []
    for row in rows:
        tokens, labels = tokens_and_labels(row, word_tokenizer())
        answer = [label for label in labels if label != -100]
        answered.append(greedy(trainer.model, tokens[: -len(answer)], len(answer)) == answer)
    assert 2 <= sum(answered) <= 10, "some right and some wrong, or there is nothing to tell apart"
    each = [np.array([row]) for row in range(12)]
    for tokens_per_batch in (1, 64, 8192):
        assert ExactMatch(tokens_per_batch).measure(trainer, prepared, each) == [float(one) for one in answered]


@pytest.mark.parametrize(("batch_size", "most"), [(1, 4), (5, 16)])
def test_generated_answers_are_greedy_decoding_by_its_definition(schooled, batch_size, most):
    trainer, rows, prepared = schooled
    tokenizer = word_tokenizer()
    answers, references = generate_answers(
        trainer.model, tokenizer, prepared, max_new_tokens=most, batch_size=batch_size
    )
    expected = [
        greedy(trainer.model, tokens_and_labels(row, tokenizer)[0][: len(row["prompt"].split())], most) for row in rows
    ]
    assert answers == tokenizer.batch_decode(expected, skip_special_tokens=True)
    assert references == [row["completion"].strip() for row in rows]
    assert answers[0] != answers[1]


def test_the_loss_is_that_of_all_label_tokens(schooled):
    trainer, rows, prepared = schooled
    losses = np.array(reference_losses(trainer.model, rows, word_tokenizer()))
    counts = np.array([len(row["completion"].split()) + 1 for row in rows])
    groups = [np.array([0, 3, 4]), np.arange(12)]
    expected = [-(losses[rows] * counts[rows]).sum() / counts[rows].sum() for rows in groups]
    np.testing.assert_allclose(ValidationLoss().measure(trainer, prepared, groups), expected, rtol=TOLERANCE)
    assert len(set(counts[:5])) > 1


@pytest.fixture
def modules_of_evaluate(tmp_path):
    with modules_apart(tmp_path / "modules"):
        yield


def test_a_metric_of_the_evaluate_library(tmp_path, modules_of_evaluate):
    script = tmp_path / "overlap.py"
    script.write_text(SCRIPT)
    with_entry = EvaluateMetric(str(script), entry="wrong", greater_is_better=False, max_new_tokens=3)
    values = make_utility(tmp_path, metric=with_entry, groups="source").game([0])(NONE)
    assert values.tolist() == [-1.0], "an untrained model answers nothing"
    several = make_utility(tmp_path / "several", metric=str(script))
    with pytest.raises(RuntimeError, match=r"returns \['right', 'wrong'\]: choose one, as in EvaluateMetric\("):
        several.game([0])(NONE)


def test_a_metric_that_cannot_be_loaded_says_what_would_help(tmp_path, modules_of_evaluate):
    missing = Path(tmp_path / "missing.py")
    with pytest.raises(
        ValueError, match=r"evaluate cannot load it .*Without a network, give the path of the metric's"
    ):
        EvaluateMetric(str(missing))


def test_rows_without_a_question_cannot_be_generated_for(tmp_path):
    data = {"train_dataset": make_dataset("text", 4), "validation_dataset": make_dataset("text", 3, seed=100)}

    def generated(model, rows):
        return float(len(generate_answers(model, word_tokenizer(), rows)))

    with pytest.raises(RuntimeError, match="Dev row 0 has no question before its answer"):
        make_utility(tmp_path, metric=generated, **data).game([0])(NONE)


def test_the_metric_of_the_documentation_is_what_it_says(schooled):
    trainer, rows, prepared = schooled
    block = inspect.getdoc(FineTuneUtility).split("more than a half::\n\n")[1].split("FineTuneUtility(")[0]
    names = {"torch": torch, "math": math, "label_log_probs": label_log_probs}
    exec(textwrap.dedent(block), names)
    names["confident"].key = "documented"
    each = [np.array([row]) for row in range(12)]
    shares = FunctionMetric(names["confident"]).measure(trainer, prepared, each)
    expected = []
    for row in rows:
        tokens, labels = (torch.tensor([part]) for part in tokens_and_labels(row, word_tokenizer()))
        with torch.no_grad():
            probabilities = trainer.model(tokens).logits[0, :-1].softmax(-1)
        kept = labels[0, 1:] != -100
        chosen = probabilities[kept].gather(1, labels[0, 1:][kept][:, None])
        expected.append(float((chosen > 0.5).double().mean()))
    np.testing.assert_allclose(shares, expected, rtol=1e-6)
    assert len(set(expected)) > 1


def words_of(model, rows):
    return [float(len(prompt.split())) for prompt in rows["prompt"]]


def test_a_function_sees_the_rows_in_their_order_with_all_their_columns(tmp_path):
    lengths = np.array([len(row["prompt"].split()) for row in dev_rows()])
    whole = make_utility(tmp_path / "whole", metric=words_of).game([0])(NONE)
    worst = make_utility(tmp_path / "worst", metric=words_of, groups="source", objective="worst_group")
    assert whole.tolist() == [lengths.mean()]
    assert worst.game([0])(NONE).tolist() == [min(lengths[::2].mean(), lengths[1::2].mean())]
    (record,) = (worst.ledger.get(worst.ledger.coalition_key([])),)
    assert record["groups"] == {"even": lengths[::2].mean(), "odd": lengths[1::2].mean()}


def test_a_function_has_a_model_in_eval_mode_and_moves_no_generator(tmp_path):
    seen = []

    def noisy(model, rows):
        seen.append((model.training, torch.is_grad_enabled()))
        return float(torch.rand(()))

    before = torch.get_rng_state()
    make_utility(tmp_path, metric=noisy).game([0])(mask([0], [0]))
    assert seen == [(False, False)]
    assert torch.equal(before, torch.get_rng_state())


def test_functions_are_told_apart_by_their_source_or_key():
    def first(model, rows):
        return 1.0

    def second(model, rows):
        return 2.0

    keys = [FunctionMetric(function).describe()["key"] for function in (first, second)]
    assert keys[0] != keys[1]
    second.key = "v2"
    assert FunctionMetric(second).describe() == {"name": second.__qualname__, "key": "v2"}
    with pytest.raises(
        ValueError, match=r"metric 'len' has no source that a ledger could know it by: give .* len.key = "
    ):
        FunctionMetric(len)


@pytest.mark.parametrize("values", [[1.0], [[1.0]] * 5, [1.0] * 6])
def test_a_function_that_returns_something_else_is_refused(tmp_path, values):
    def odd(model, rows):
        return values

    odd.key = str(values)
    with pytest.raises(RuntimeError, match=r"returned values of shape \[.*\]: one number for each of the 5 dev rows"):
        make_utility(tmp_path, metric=odd).game([0])(NONE)


def test_groups_need_a_value_for_each_row(tmp_path):
    def one(model, rows):
        return 1.0

    with pytest.raises(
        RuntimeError, match=r"of shape \[\]: one number for each of the 5 dev rows is needed for groups"
    ):
        make_utility(tmp_path, metric=one, groups="source").game([0])(NONE)
