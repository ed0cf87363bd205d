"""Metrics of text against independent implementations and known answers."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from bgan_discrete.errors import InputError
from bgan_discrete.metrics import text as text_metrics
from bgan_discrete.metrics.bleu import bleu, self_bleu
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.ngrams import MarkovModel, ngram_divergences, ngram_entropy
from bgan_discrete.metrics.text import (
    distinct_share,
    evaluate_text,
    validity,
    wgan_gp_divergences,
)
from bgan_discrete.sources.arithmetic import equations

WORDS = ("a", "red", "cat", "sat", "on", "the", "mat")


def sentences(count: int, seed: int, low: int = 1, high: int = 9) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(low, high))) for _ in range(count)]


def naive_divergence(a: list[str], b: list[str], order: int) -> float:
    p, q = (Counter(t[i : i + order] for t in texts for i in range(len(t) - order + 1)) for texts in (a, b))
    if not p or not q:
        return 1.0
    total = 0.0
    for gram in p | q:
        left, right = p[gram] / p.total(), q[gram] / q.total()
        middle = (left + right) / 2
        total += sum(x * math.log2(x / middle) / 2 for x in (left, right) if x)
    return total


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=8), st.lists(st.text("ab\U0001f642", max_size=9), min_size=1)
)
def test_divergences_equal_the_definition(a: list[str], b: list[str]) -> None:
    found = ngram_divergences(a, b)
    expected = [naive_divergence(a, b, order) for order in range(1, 7)]
    assert found == pytest.approx(expected, abs=1e-9)
    assert ngram_divergences(b, a) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_entropies_equal_the_definition(order: int) -> None:
    texts = [*sentences(40, 0), "", "ab", "\U0001f642\U0001f642 cat"]
    counts = Counter(text[i : i + order] for text in texts for i in range(len(text) - order + 1))
    expected = -sum(n / counts.total() * math.log2(n / counts.total()) for n in counts.values())
    assert ngram_entropy(texts, order) == pytest.approx(expected)
    assert ngram_entropy(["abc", "x"], 4) == 0


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_bleu_equals_nltk(order: int) -> None:
    candidates, references = sentences(30, 0), sentences(25, 1)
    weights, smooth = [1 / order] * order, SmoothingFunction().method1
    split = [text.split() for text in references]
    expected = [sentence_bleu(split, text.split(), weights, smooth) for text in candidates]
    assert bleu(candidates, references)[order] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_self_bleu_equals_nltk_without_the_text_itself(order: int) -> None:
    texts = [*sentences(25, 2), "a red cat", "a red cat", "on on on on the mat sat sat sat sat sat sat"]
    weights, smooth = [1 / order] * order, SmoothingFunction().method1
    expected = [
        sentence_bleu([o.split() for j, o in enumerate(texts) if j != i], text.split(), weights, smooth)
        for i, text in enumerate(texts)
    ]
    assert self_bleu(texts)[order] == pytest.approx(np.mean(expected))


def test_a_markov_model_draws_what_it_saw() -> None:
    model = MarkovModel(["ab", "ab", "ac", "b"], 1)
    drawn = Counter(model.sample(8000, 10, seed=0))
    # start -> a (3/4), b (1/4); a -> b (2/3), c (1/3); b -> end; c -> end
    for text, probability in {"ab": 0.5, "ac": 0.25, "b": 0.25}.items():
        assert drawn[text] / 8000 == pytest.approx(probability, abs=0.02)
    assert set(drawn) == {"ab", "ac", "b"}
    assert model.sample(5, 10, seed=3) == model.sample(5, 10, seed=3)
    assert model.sample(50, 10, seed=3) != model.sample(50, 10, seed=4)
    assert {len(text) for text in MarkovModel(["abcd", "bcda"], 2).sample(50, 4, end=False)} == {4}


def test_markov_probabilities_sum_to_one_and_know_the_rule() -> None:
    texts = ["ab", "ab", "ac"]
    model = MarkovModel(texts, 1)
    # Every text up to two characters of the alphabet, plus the mass of longer ones: perplexity over one character.
    alphabet = "abc"
    mass = 0.0
    for length in range(7):
        for parts in itertools.product(alphabet, repeat=length):
            text = "".join(parts)
            mass += model.perplexity([text]) ** -(len(text) + 1)
    assert 0.9 < mass <= 1.0
    # order 0: 4 kinds (a, b, c, end) in 9 symbols; uniform over 3 characters, end and unknown
    zero = (3 + 4 * (1 / 5)) / (9 + 4)
    after_start = (3 + 1 * zero) / (3 + 1)
    zero_end = (3 + 4 * (1 / 5)) / (9 + 4)
    after_a = (0 + 2 * zero_end) / (3 + 2)
    assert model.perplexity(["a"]) == pytest.approx((after_start * after_a) ** -0.5)


@pytest.mark.parametrize(("order", "length"), [(1, 1), (1, 3), (2, 4)])
def test_markov_probabilities_of_texts_of_one_length_sum_to_one(order: int, length: int) -> None:
    model = MarkovModel(["abca", "ab", "bac", "cccc", "a"], order)
    # d was never seen, as any character but a, b and c.
    everything = ["".join(parts) for parts in itertools.product("abcd", repeat=length)]
    found = model.log_prob(everything)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-12)
    assert model.log_prob(["", everything[3]]) == pytest.approx([0, found[3]])
    assert found[everything.index("d" * length)] == min(found)


def test_perplexity_prefers_what_was_seen() -> None:
    model = MarkovModel(sentences(300, 0), 4)
    assert model.perplexity(sentences(50, 5)) < model.perplexity(["zzz qqq", "\U0001f642"])


def test_validity_of_equations() -> None:
    every = equations()
    full = validity(every, every)
    assert full == {"valid": 1.0, "distinct valid": 6480.0, "coverage": 1.0, "KL of valid": pytest.approx(0, abs=1e-9)}
    half = validity([*every[:100], *["10+10=21"] * 100], every)
    assert (half["valid"], half["distinct valid"]) == (0.5, 100.0)
    assert half["KL of valid"] == pytest.approx(math.log(6480 / 100))
    assert "KL of valid" not in validity(["no"], every)


def test_distinct_share() -> None:
    assert distinct_share(["a b a b"], 1) == 0.5
    assert distinct_share(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct_share(["a"], 2) == 0


def values_of(report: Evaluation) -> dict[str, float]:
    return {figure.title: figure.value for figure in report.figures.values()}


def floors_of(report: Evaluation) -> dict[str, float | None]:
    return {figure.title: figure.floor for figure in report.figures.values()}


def test_a_report_has_its_floor_and_markov_models() -> None:
    training, heldout = sentences(400, 0), sentences(300, 1)
    report = evaluate_text(sentences(200, 2), training, heldout, others={"other": sentences(200, 3)})
    names = ["other", *(f"Markov {order}" for order in range(1, 6))]
    assert all(list(figure.baselines) == names for figure in report.figures.values())
    model, floor = values_of(report), floors_of(report)
    assert all(value is not None for value in floor.values())
    for name in ("JSD-1", "JSD-6", "BLEU-2", "Self-BLEU-5", "distinct-2", "unique rate", "copies of training",
                 "forward perplexity", "reverse perplexity", "mean length"):  # fmt: skip
        assert np.isfinite(model[name]), name
    assert model["JSD-4"] == pytest.approx(floor["JSD-4"], rel=0.8)  # all of them are real
    assert evaluate_text(training, training, heldout, markov=False).figures["copies"].value == 1
    assert "JSD-4" in report.format_table()
    assert report.to_dict()["num_samples"] == 200
    with pytest.raises(InputError, match="samples must hold"):
        evaluate_text(["a"], training, heldout)


@pytest.mark.parametrize(("num_heldout", "enough"), [(60, True), (59, False), (20, False)])
def test_each_figure_is_taken_of_the_texts_that_it_says(
    num_heldout: int, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 samples: the floor's are 30 of the held-out texts, and BLEU and reverse perplexity are of the others."""
    training = [f"t{n} t{n} on the mat" for n in range(40)]
    heldout = [f"h{n} sat on the red mat" for n in range(num_heldout)]
    made = [*(f"s{n} on the mat" for n in range(29)), training[3]]
    other = {"other": [*sentences(29, 5), heldout[0]]}
    references: list[list[str]] = []
    judged: list[tuple[list[str], list[str], bool]] = []
    drawn: list[tuple[int, tuple[object, ...]]] = []
    own_bleu, own_divergences = text_metrics.bleu, text_metrics.ngram_divergences
    compared: list[list[str]] = []

    class Watched(MarkovModel):
        def __init__(self, texts: list[str], order: int) -> None:
            super().__init__(texts, order)
            self.texts = texts

        def perplexity(self, texts: list[str], end: bool = True) -> float:  # type: ignore[override]
            judged.append((list(self.texts), list(texts), end))
            return super().perplexity(texts, end)

        def sample(self, *given: object) -> list[str]:  # type: ignore[override]
            drawn.append((self.order, given))
            return super().sample(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(text_metrics, "MarkovModel", Watched)
    monkeypatch.setattr(text_metrics, "bleu", lambda a, b: references.append(list(b)) or own_bleu(a, b))
    monkeypatch.setattr(
        text_metrics, "ngram_divergences", lambda a, b, n: compared.append(list(b)) or own_divergences(a, b, n)
    )
    report = evaluate_text(made, training, heldout, ends=False, others=other, seed=3)
    rows = 2 + len(report.figures["jsd_1"].baselines)
    assert rows == 3 + 5
    forward, backward = judged[::2], judged[1::2]
    floor = forward[1][1]
    count = min(30, num_heldout)
    assert len(set(floor)) == count and set(floor) <= set(heldout) and floor != heldout[:count]
    rest = sorted(set(heldout) - set(floor)) if enough else sorted(heldout)
    assert [sorted(texts) for _, texts, _ in backward] == [rest] * rows
    assert [model for model, _, _ in forward] == [training] * rows
    assert [model for model, _, _ in backward] == [texts for _, texts, _ in forward]
    assert not any(end for *_, end in judged)
    assert forward[0][1] == made and forward[2][1] == other["other"]
    wanted = rest if enough else sorted(training)
    assert [sorted(texts) for texts in references] == [wanted] * rows
    assert compared == [training] * rows
    longest = max(map(len, training))
    assert drawn == [(order, (30, longest, 3, False)) for order in (1, 2, 3, 4, 5)]
    assert [report.facts[name] for name in ("num_samples", "num_training", "num_references")] == [30, 40, len(wanted)]
    assert report.facts["references"] == ("held-out" if enough else "training")
    assert (report.facts["floor_samples"], report.facts["ends"]) == (count, False)
    model, real = values_of(report), floors_of(report)
    assert (model["copies of training"], real["copies of training"]) == (1 / 30, 0)
    assert (model["unique rate"], real["unique rate"]) == (1, 1)
    lengths = np.array([len(text) for text in made])
    assert (model["mean length"], model["length spread"]) == (lengths.mean(), lengths.std())
    for order in (2, 5):
        assert model[f"BLEU-{order}"] == own_bleu(made, wanted)[order]
        assert model[f"Self-BLEU-{order}"] == self_bleu(made)[order]
    assert model["forward perplexity"] == MarkovModel(training, 4).perplexity(made, False)
    entropy = report.figures["entropy_of_4_grams_bits"]
    assert (entropy.value, entropy.floor) == (ngram_entropy(made[:count], 4), ngram_entropy(floor, 4))
    assert entropy.baselines["other"] == ngram_entropy(other["other"][:count], 4)
    again = evaluate_text(made, training, heldout, ends=False, markov=False, seed=4)
    assert judged[-4][1] == made and judged[-2][1] != floor, "which held-out texts is a matter of the seed"
    assert again.figures["jsd_3"].value == model["JSD-3"]


def test_valid_texts_are_counted_among_a_report_and_words_are_not() -> None:
    training, heldout = sentences(40, 0), sentences(40, 1)
    report = evaluate_text(["a", "a", "b", "x"], training, heldout, valid=["a", "b", "c", "d"], markov=False)
    model = values_of(report)
    assert (model["valid"], model["distinct valid"], model["coverage"]) == (0.75, 2, 0.5)
    assert model["KL of valid"] == pytest.approx(2 / 3 * math.log(8 / 3) + 1 / 3 * math.log(4 / 3))
    assert not any("BLEU" in name for name in model)


def test_short_texts_that_repeat() -> None:
    report = evaluate_text(["bat", "tabs"], ["tab", "tab", "bat", "stab"], ["sat", "sat"])
    assert report.facts["training_repeated"] == 0.5
    assert [name for name in values_of(report) if name.startswith("JSD")] == ["JSD-1", "JSD-2", "JSD-3", "JSD-4"]
    assert not any("BLEU" in name or "distinct" in name for name in values_of(report)), "each text is one word"
    assert "BLEU" not in report.format_table()


def test_the_wgan_gp_protocol() -> None:
    training, heldout = sentences(2000, 0, 8, 20), sentences(800, 1, 8, 20)
    rows = wgan_gp_divergences(heldout[:640], training, heldout)
    expected = naive_divergence([t[:32] for t in heldout[:640]], [t[:32] for t in training], 4)
    assert rows["model"]["JSD-4"] == pytest.approx(expected)
    assert rows["floor"]["JSD-4"] == pytest.approx(expected, rel=0.3)
    chosen = np.random.default_rng(5).permutation(800)[:640]
    floor = naive_divergence([heldout[n][:32] for n in chosen], [t[:32] for t in training], 4)
    assert wgan_gp_divergences(heldout[:640], training, heldout, seed=5)["floor"]["JSD-4"] == pytest.approx(floor)
    for few in (600, 639):
        with pytest.raises(InputError, match="640"):
            wgan_gp_divergences(heldout[:few], training, heldout)
        with pytest.raises(InputError, match="640"):
            wgan_gp_divergences(heldout, training, heldout[:few])


def test_empty_sets_are_refused() -> None:
    for call in (lambda: bleu([], ["a"]), lambda: self_bleu(["a"]), lambda: ngram_divergences([], ["a"]),
                 lambda: MarkovModel([], 1), lambda: MarkovModel(["a"], 0)):  # fmt: skip
        with pytest.raises(InputError):
            call()
