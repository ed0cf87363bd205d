"""Judges for a training: a figure of samples against data, with its noise, within about a second of one core.

    judge = trees_judge(space)
    judge.measure(samples, data)  # Verdict(value=0.63, noise=0.015); lower is better

Each is deterministic, and its noise is the standard error over new samples of the same model. Real samples do not
reach 0: the floor is the verdict on as many training samples.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, visible
from bgan_discrete.metrics.frechet import frechet_distance
from bgan_discrete.metrics.frozen import FrozenFeatures
from bgan_discrete.metrics.ngrams import jensen_shannon, ngram_divergences, numbered_ngrams
from bgan_discrete.metrics.verdict import Codes, Judge, Verdict
from bgan_discrete.space import SampleSpace

NUM_SAMPLES = 1000
"""Samples at a look."""

MIN_ROWS = 20
"""Samples, and data, that a judge must be given."""

MAX_ROWS = 2000
"""Of more samples or data, so many are compared, evenly spaced."""

Floats = NDArray[np.floating]


def _checked(name: str, codes: Codes, most: int = MAX_ROWS) -> Codes:
    """At most so many of the codes, evenly spaced; InputError if they are too few."""
    if len(codes) < MIN_ROWS:
        raise InputError(f"{name} must be at least {MIN_ROWS} for a judge, got {len(codes)}")
    return _evenly(codes, most)


def _evenly(codes: Codes, most: int) -> Codes:
    return np.asarray(codes[np.linspace(0, len(codes) - 1, min(len(codes), most)).astype(np.int64)])


JACKKNIFE_GROUPS = 20


def jackknife(statistic: Callable[[NDArray[np.bool_]], float], count: int) -> Verdict:
    """A statistic of samples, and its standard error by leaving out one group of samples after the other.

    Unlike with the bootstrap no sample is there twice, which would count as lost variety.

    Args:
        statistic: Of the samples that are kept, a mask ``[count]``.
        count: Of the samples, at least 2.

    Returns:
        The statistic of all samples, and ``sqrt((G - 1)/G sum_g (t_g - mean t)^2)`` of the G that leave out a group.

    Source:
        Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 11.

    Examples:
        >>> draws = np.random.default_rng(0).normal(size=1000)
        >>> verdict = jackknife(lambda is_kept: float(draws[is_kept].mean()), len(draws))
        >>> 0.02 < verdict.noise < 0.05  # 1/sqrt(1000) is .032
        True
    """
    num_groups = min(JACKKNIFE_GROUPS, count)
    groups = np.arange(count) % num_groups
    left = np.array([statistic(groups != group) for group in range(num_groups)])
    noise = math.sqrt((num_groups - 1) * left.var())
    return Verdict(statistic(np.ones(count, bool)), noise)


# Tables, arrays, and codes of any other kind.

FOLDS = 3
BOOSTED_TREES, RANDOM_TREES = 50, 20
BEST_AUC = 0.5
MAX_BOOSTED = 100
"""Features up to which trees are boosted; with more, boosting takes too long, and trees are drawn at random."""

MAX_COUNTED = 64
"""Different runs of neighbouring codes that are counted, at most."""


def trees_judge(space: SampleSpace) -> Judge:
    """AUC of decision trees that tell samples from data by their codes, from 0.5, the best, to 1.

    Trees are boosted for up to `MAX_BOOSTED` features, else drawn at random; each fold is scored by trees of the
    others. They see the codes as numbers: with some hundred rows, sets of categories fit chance. Splits at single
    positions see neither counts nor patterns that move. So where all positions have the same few categories, the
    features are also how often a sample has each of them, and each run of neighbours along each axis.

    Args:
        space: Of one sample.

    Returns:
        The judge, of codes of any event shape. With fewer than 20 samples or data it raises InputError.

    Source:
        Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017); Friedman, "Greedy function approximation"
        (2001); Geurts et al., "Extremely randomized trees" (2006).
    """
    longest = 0 if space.sizes else int(math.log(MAX_COUNTED + 0.5, space.num_categories))

    def measure(samples: Codes, data: Codes) -> Verdict:
        sides = _checked("samples", samples), _checked("data", data)
        features = np.concatenate([_features_of_codes(side, space.num_categories, longest) for side in sides])
        is_data = np.arange(len(features)) >= len(sides[0])
        scores = _held_out_scores(features, is_data)
        return _auc(scores[~is_data], scores[is_data])

    return Judge("AUC of trees that tell samples from data", measure, NUM_SAMPLES)


def _features_of_codes(codes: Codes, num_categories: int, longest: int) -> NDArray[np.float32]:
    """Codes ``[n, *event_shape]`` as numbers, and how often each run of 1 and of ``longest`` neighbours is there."""
    columns = [codes.reshape(len(codes), -1)]
    if longest:
        columns.append(_counts(codes.reshape(len(codes), -1), num_categories))
    for axis in range(1, codes.ndim) if longest > 1 else ():
        if codes.shape[axis] >= longest:
            windows = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), longest, axis)
            runs = windows @ num_categories ** np.arange(longest)
            columns.append(_counts(runs.reshape(len(codes), -1), num_categories**longest))
    return np.concatenate(columns, axis=1).astype(np.float32)


def _counts(numbers: Codes, size: int) -> NDArray[np.int64]:
    """How often each of ``size`` numbers is in each row, ``[n, size]``."""
    flat = numbers + np.arange(len(numbers))[:, None] * size
    return np.bincount(flat.ravel(), minlength=len(numbers) * size).reshape(len(numbers), size)


def _held_out_scores(features: NDArray[np.float32], is_data: NDArray[np.bool_]) -> Floats:
    """How likely each row is of the data, by trees that have not seen it."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    scores = np.empty(len(features))
    for seen, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, is_data):
        if features.shape[1] <= MAX_BOOSTED:
            trees: Any = HistGradientBoostingClassifier(
                max_iter=BOOSTED_TREES, early_stopping=False, class_weight="balanced", random_state=0
            )
        else:
            trees = ExtraTreesClassifier(RANDOM_TREES, min_samples_leaf=3, class_weight="balanced", random_state=0)
        scores[unseen] = trees.fit(features[seen], is_data[seen]).predict_proba(features[unseen])[:, 1]
    return scores


def _auc(of_samples: Floats, of_data: Floats) -> Verdict:
    """``P(score of data > score of a sample)``, a tie for half, and at least 0.5: below it is chance.

    For fixed scores the variance is the sum of those of two means (DeLong et al., "Comparing the areas under two or
    more correlated ROC curves", 1988). With new samples other trees are learnt: they score the fixed data anew, and
    what two folds have in common by chance counts twice, once as learnt from each of them. Both matter where trees
    learn little else, at 0.5, and not at 1; between them the variance is interpolated.
    """
    above = 1 - _shares_below(of_data, of_samples)
    below = _shares_below(of_samples, of_data)
    value = float(above.mean())
    learnt_by_chance = min(2 * (1 - value), 1.0)
    own, other = above.var(ddof=1) / len(above), below.var(ddof=1) / len(below)
    return Verdict(max(value, BEST_AUC), math.sqrt((1 + learnt_by_chance) * own + 2 * learnt_by_chance * other))


def _shares_below(scores: Floats, of: Floats) -> Floats:
    """The share of ``scores`` that are below each of others, ``[len(of)]``; a tie counts half."""
    ordered = np.sort(scores)
    return (np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")) / (2 * len(ordered))


# Text.

MAX_ORDER = 6
"""The longest n-grams that are looked at."""

MAX_FLOOR = 0.5
"""JSD of n-grams between two sets of real texts, in bits, above which they are too rare to say anything."""

MAX_CHARACTERS = 32_000
"""Of longer texts fewer are looked at, so that they are about so many characters."""

MIN_TEXTS = 100
END = "\0"


def text_judge(decode: Callable[[Codes], Sequence[str]], training: Codes, ends: bool) -> Judge:
    """Mean of two figures in bits: JSD of n-grams, and the reverse cross-entropy.

    Both are of characters of decoded texts, so that vocabularies compare. JSD of finitely many texts falls with their
    variety: of two real captions, the more probable one each time has lower JSD-4 and JSD-6 than real captions have.
    The reverse cross-entropy, bits a character of the data under an n-gram model of the samples, rises with lost
    variety, but hardly by typos. Their mean rises with both. n is the largest up to `MAX_ORDER` at which two sets of
    training texts have a JSD of at most `MAX_FLOOR`.

    Args:
        decode: Codes -> texts.
        training: Codes of training texts, ``[n, L]``.
        ends: Whether texts end by themselves, so that their ends count as a character.

    Returns:
        The judge, of codes ``[n, L]``. With fewer than 20 samples or data it raises InputError.

    Source:
        Gulrajani et al., "Improved training of Wasserstein GANs" (2017), for JSD of n-grams; Zhao et al.,
        "Adversarially regularized autoencoders" (2018), for reverse perplexity.
    """
    most = int(np.clip(MAX_CHARACTERS // training.shape[1], MIN_TEXTS, NUM_SAMPLES))

    def texts_of(codes: Codes) -> list[str]:
        return [f"{text}{END}" if ends else text for text in decode(codes)]

    real = texts_of(_evenly(training, 2 * most))
    floors = ngram_divergences(real[::2], real[1::2], MAX_ORDER)
    order = max((n for n, floor in enumerate(floors, 1) if floor <= MAX_FLOOR), default=1)

    def measure(samples: Codes, data: Codes) -> Verdict:
        ours, theirs = (texts_of(_checked(*side, most)) for side in (("samples", samples), ("data", data)))
        return text_verdict(ours, theirs, order)

    return Judge(f"mean of JSD-{order} and reverse cross-entropy (bits)", measure, most)


def text_verdict(samples: Sequence[str], data: Sequence[str], order: int) -> Verdict:
    """What `text_judge` says of texts, at least two of each, some of them not empty, by n-grams of an order."""
    if not any(samples) or not any(data):
        raise InputError("a judge of texts must be given some that are not empty")
    grams = list(numbered_ngrams([*samples, *data], order))
    text_of = np.repeat(np.arange(len(samples) + len(data)), [len(text) for text in (*samples, *data)])
    is_data = text_of >= len(samples)
    of_data = np.bincount(grams[-1].ids[is_data[grams[-1].places]], minlength=grams[-1].count)

    def value(is_kept: NDArray[np.bool_]) -> float:
        is_sample = ~is_data & np.append(is_kept, np.zeros(len(data), bool))[text_of]
        # The rule of Witten and Bell, as in `MarkovModel`: each order is interpolated with the next lower one.
        chance, size = np.full(len(text_of), 1 / grams[0].count), 1
        for gram in grams:
            counts = np.bincount(gram.ids[is_sample[gram.places]], minlength=gram.count)
            context_of = np.empty(gram.count, np.int64)
            context_of[gram.ids] = gram.contexts
            times, kinds = (np.bincount(context_of, of_gram, size) for of_gram in (counts, counts > 0))
            asked = is_data[gram.places]
            asked[asked] = times[gram.contexts[asked]] > 0
            places, ids, contexts = gram.places[asked], gram.ids[asked], gram.contexts[asked]
            chance[places] = (counts[ids] + kinds[contexts] * chance[places]) / (times[contexts] + kinds[contexts])
            size = gram.count
        return float((jensen_shannon(counts, of_data) - np.log2(chance[is_data]).mean()) / 2)

    return jackknife(value, len(samples))


# Images.


def image_judge(decode: Callable[[Codes], NDArray[np.uint8]], training: Codes) -> Judge:
    """Fréchet distance of features of a frozen, random convolutional network, in units of the features' variance.

    64 projections of two layers have a covariance that some hundred images determine well enough, and they see both
    what single pixels do and what is wrong in their neighbourhoods. Nothing is learnt, so that no data set is too
    small, and the distance does not stop at a largest value as that of a classifier does.

    Args:
        decode: Codes -> uint8 images ``[n, H, W]`` or ``[n, H, W, 3]``.
        training: Codes of training images, which set the scale.

    Returns:
        The judge, of codes. With fewer than 20 samples or data it raises InputError.

    Source:
        Heusel et al., "GANs trained by a two time-scale update rule" (2017), for the distance.
    """
    features = FrozenFeatures(decode(_evenly(training, MAX_ROWS)))

    def measure(samples: Codes, data: Codes) -> Verdict:
        of_samples = features(decode(_checked("samples", samples)))
        of_data = features(decode(_checked("data", data)))
        return jackknife(lambda is_kept: frechet_distance(of_samples[is_kept], of_data), len(of_samples))

    return Judge("Fréchet distance of features of a random network", measure, NUM_SAMPLES)


# A user's own.


def judge_of(
    function: Callable[[Any, Any], float | tuple[float, float]],
    decode: Callable[[Codes], Any] = lambda codes: codes,
    title: str | None = None,
) -> Judge:
    """Make a judge of a function of samples and data.

    Args:
        function: (samples, data) -> a number, of which lower is better; or that and its standard error. Without one,
            the function is also asked for each quarter of the samples, and half the quarters' standard deviation is
            the noise.
        decode: Codes -> what the function takes, such as ``codec.decode``.
        title: What it measures; the function's name if None.

    Returns:
        The judge. It raises InputError if the function does not give finite numbers; what the function itself raises,
        passes through.

    Examples:
        >>> judge = judge_of(lambda samples, data: abs(samples.mean() - data.mean()), title="error of the mean")
        >>> judge.measure(np.ones((100, 3), int), np.zeros((100, 3), int))
        Verdict(value=1.0, noise=0.0)
    """
    name = visible(title or str(getattr(function, "__name__", type(function).__name__)))

    def measure(samples: Codes, data: Codes) -> Verdict:
        values = decode(data)
        given = function(decode(samples), values)
        if isinstance(given, tuple) and len(given) == 2:
            return Verdict(_number(name, given[0]), abs(_number(name, given[1])))
        if len(samples) < 4:
            raise InputError(f"samples must be at least 4 for the judge {name!r}, got {len(samples)}")
        quarters = [_number(name, function(decode(samples[start::4]), values)) for start in range(4)]
        return Verdict(_number(name, given), float(np.std(quarters, ddof=1)) / 2)

    return Judge(name, measure, NUM_SAMPLES)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"judge {name!r} must give a finite number, or two, the value and its noise, got {value!r:.60}"
        )
    return number
