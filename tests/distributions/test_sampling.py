"""Samplers: exact shares, each against the others on the same uniforms, dtypes and errors."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from bgan_discrete.distributions import sampling
from bgan_discrete.distributions.sampling import (
    as_index,
    bernoulli_codes,
    code_dtype,
    comparison_codes,
    one_hot_codes,
    sample_by_multinomial,
    sample_categorical,
    search_codes,
)
from bgan_discrete.errors import InputError


def by_comparison(logits: Tensor, draws: int, rng: torch.Generator) -> Tensor:
    return comparison_codes(logits, torch.rand((draws, *logits.shape[:-1]), generator=rng))


def by_search(logits: Tensor, draws: int, rng: torch.Generator) -> Tensor:
    return search_codes(logits, torch.rand((draws, *logits.shape[:-1]), generator=rng))


def by_bernoulli(logits: Tensor, draws: int, rng: torch.Generator) -> Tensor:
    return bernoulli_codes(logits, torch.rand((draws, *logits.shape[:-1]), generator=rng))


CASES = [
    (2, by_bernoulli),
    *[(k, sampler) for k in (2, 3, 17, 64) for sampler in (by_comparison, by_search, sample_by_multinomial)],
    *[(k, sample_categorical) for k in (2, 3, 17, 64, 65, 300)],
]


@pytest.mark.parametrize(("categories", "sampler"), CASES)
def test_chi_square(categories: int, sampler) -> None:
    generator = torch.Generator().manual_seed(categories)
    logits = torch.randn(3, categories, generator=generator)
    codes = sampler(logits, 60_000, generator)
    assert codes.shape == (60_000, 3)
    for position in range(3):
        expected = 60_000 * torch.softmax(logits[position].double(), -1).numpy()
        counts = torch.bincount(codes[:, position].long(), minlength=categories).numpy()
        assert stats.chisquare(counts, expected).pvalue > 1e-4


@pytest.mark.parametrize("categories", [2, 3, 16, 64])
def test_samplers_agree_on_the_same_uniforms(categories: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 5, categories, generator=generator)
    uniforms = torch.rand(200, 4, 5, generator=generator)
    codes = comparison_codes(logits, uniforms)
    assert torch.equal(codes, search_codes(logits, uniforms))
    if categories == 2:
        assert (codes != bernoulli_codes(logits, uniforms)).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("probabilities", "uniforms", "codes"),
    [
        ([0.25, 0.5, 0.25], [0.0, 0.2499, 0.2501, 0.7499, 0.7501, 1 - 2**-24], [0, 0, 1, 1, 2, 2]),
        ([0.25] * 4, [0.25, 0.5, 0.75], [1, 2, 3]),  # a threshold belongs to the category above it
        ([0.0, 0.0, 0.5, 0.5], [0.0], [2]),
        ([0.0, 1.0], [0.0], [1]),
        ([*[0.0] * 3, 0.4, *[0.0] * 36, 0.6, *[0.0] * 59], [0.0, 1 - 2**-24], [3, 40]),
    ],
    ids=["inside", "thresholds", "impossible first", "of two", "of many"],
)
def test_inversion_by_hand(probabilities: list[float], uniforms: list[float], codes: list[int]) -> None:
    logits = torch.tensor([probabilities]).log().clamp_min(-1e30)
    for invert in (comparison_codes, search_codes, *[bernoulli_codes] * (len(probabilities) == 2)):
        assert invert(logits, torch.tensor(uniforms)[:, None])[:, 0].tolist() == codes


def test_a_last_category_that_is_impossible_is_not_the_remainder_of_rounding() -> None:
    # Float32 sums of these often end below 1, and what is missing must not fall to the last category.
    logits = torch.randn(2000, 37, generator=torch.Generator().manual_seed(6))
    logits[:, -1] = -200
    assert (torch.softmax(logits, -1).cumsum(-1)[:, -1] < 1).any()
    uniforms = torch.full((1, 2000), 1 - 2**-24)
    for codes in (comparison_codes(logits, uniforms), search_codes(logits, uniforms)):
        assert int(codes.max()) == 35


def test_draws_are_independent() -> None:
    codes = sample_categorical(torch.zeros(1, 2), 40_000, torch.Generator().manual_seed(3))[:, 0].float()
    pairs = (codes[1:] * codes[:-1]).mean()
    assert pairs == pytest.approx(0.25, abs=0.01)
    # A stratified sampler would give exactly one half.
    means = sample_categorical(torch.zeros(500, 2), 64, torch.Generator().manual_seed(4)).float().mean(0)
    assert means.var() == pytest.approx(0.25 / 64, rel=0.2)


@pytest.mark.parametrize("sampler", [by_comparison, by_search, sample_by_multinomial, sample_categorical])
def test_impossible_categories_are_never_drawn(sampler) -> None:
    logits = torch.tensor([[-200.0, 0.0, -200.0, 0.0, -200.0]])
    codes = sampler(logits, 50_000, torch.Generator().manual_seed(1))
    assert set(codes.flatten().tolist()) == {1, 3}


@pytest.mark.parametrize("categories", [2, 17, 100, 40_000])
def test_a_generator_makes_draws_repeatable_and_leaves_the_global_one_alone(categories: int) -> None:
    logits = torch.randn(3, categories)
    state = torch.get_rng_state()
    first, second = (sample_categorical(logits, 6, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.dtype == code_dtype(categories) and first.shape == (6, 3)
    assert not sample_categorical(logits.requires_grad_(), 6).requires_grad
    assert int(first.max()) < categories


def test_the_dispatch_by_number_of_categories_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("_bernoulli_thresholds", "_thresholds", "search_codes", "sample_by_multinomial"):
        real = getattr(sampling, name)
        monkeypatch.setattr(sampling, name, lambda *a, n=name, f=real: (called.append(n), f(*a))[1])
    for categories, draws in ((2, 2), (3, 1), (64, 2), (65, 1), (65, sampling.SEARCH_MAX_DRAWS + 1)):
        sample_categorical(torch.zeros(1, categories), draws)
    assert called == [
        "_bernoulli_thresholds",
        "_thresholds",
        "_thresholds",
        "search_codes",
        "sample_by_multinomial",
    ]


@pytest.mark.parametrize("categories", [3, 5])
@pytest.mark.parametrize("at_once", [1, 30, 31, 10**6])
def test_draws_do_not_depend_on_how_many_uniforms_are_made_at_once(
    categories: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(2, 5, categories, generator=torch.Generator().manual_seed(0))
    expected = sample_categorical(logits, 7, torch.Generator().manual_seed(1))
    monkeypatch.setitem(sampling.UNIFORMS_AT_ONCE, "cpu", at_once)
    assert torch.equal(sample_categorical(logits, 7, torch.Generator().manual_seed(1)), expected)


@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_draws_of_two_categories_follow_their_probability_wherever_in_a_byte_it_lies(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BYTES_AT_ONCE", at_once)
    # Inside one byte, at the edges of bytes, and near both ends.
    zero = torch.tensor([0.1 / 256, 0.5 / 256, 1 / 256, 0.5, 0.5 + 0.7 / 256, 254.5 / 256, 255 / 256, 255.9 / 256])
    logits = torch.stack([zero.log(), (1 - zero).log()], -1)
    draws = {1: 2000, 30: 20_000}.get(at_once, 200_000)
    codes = sample_categorical(logits, draws, torch.Generator().manual_seed(0))
    assert codes.shape == (draws, 8) and int(codes.max()) == 1
    for found, p in zip((codes == 0).sum(0).tolist(), zero.tolist(), strict=True):
        assert stats.binomtest(found, draws, p).pvalue > 1e-4


@pytest.mark.parametrize(
    "probabilities",
    [
        [0.25, 0.25, 0.5],  # thresholds at the edges of bytes
        [0.1 / 256, 0.3 / 256, 0.2 / 256, 0.0, 1 - 0.6 / 256],  # several in the first byte
        [1 - 1.5 / 256, 0.6 / 256, 0.5 / 256, 0.4 / 256, 0.0],  # and in the last, with none behind them
        [0.0, 0.5, 0.0, 0.5, 0.0, 0.0],
        [1 / 16] * 16,
        [0.001, 0.7, 0.003, 0.01, 0.286],
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
    ],
)
def test_draws_by_bytes_follow_their_probabilities(probabilities: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = torch.tensor(probabilities, dtype=torch.float64)
    logits = wanted.log().clamp_min(-1e30).float().expand(3, sampling.BYTES_MIN_POSITIONS // 2, -1)
    asked = []
    compare = sampling._compare_bytes
    monkeypatch.setattr(sampling, "_compare_bytes", lambda *arguments: asked.append(1) or compare(*arguments))
    # More draws than are made at once.
    codes = sample_categorical(logits, 80, torch.Generator().manual_seed(0))
    assert asked
    assert (codes.shape, codes.dtype) == ((80, *logits.shape[:-1]), torch.uint8)
    counts = torch.bincount(codes.flatten(), minlength=len(wanted))
    assert (counts[wanted == 0] == 0).all()
    possible = wanted > 0
    if int(possible.sum()) > 1:
        expected = wanted[possible] * codes.numel()
        assert stats.chisquare(counts[possible], expected / expected.sum() * codes.numel()).pvalue > 1e-4
    assert torch.equal(codes, sample_categorical(logits, 80, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("num_categories", [9, 16])
def test_every_byte_is_decided_as_its_uniform_would_be(num_categories: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BYTES_AT_ONCE", 10 * 3000)
    monkeypatch.setattr(sampling, "BYTES_MIN_POSITIONS", 3000)
    torch.manual_seed(0)
    logits = 3 * torch.randn(7001, num_categories)
    drawn, rests = [], []
    random_bytes, rand = sampling._random_bytes, torch.rand

    def keep(found: list[Tensor], made: Tensor) -> Tensor:
        found.append(made.clone())
        return made

    monkeypatch.setattr(sampling, "_random_bytes", lambda *arguments: keep(drawn, random_bytes(*arguments)))
    monkeypatch.setattr(torch, "rand", lambda *sizes, **options: keep(rests, rand(*sizes, **options)))
    codes = sample_categorical(logits, 10, torch.Generator().manual_seed(1))
    thresholds = 256 * torch.softmax(logits.double(), -1).cumsum(-1)[:, :-1]
    places = [slice(0, 3000), slice(3000, 6000), slice(6000, 7001)]
    agree = []
    for place, byte, rest in zip(places, drawn, rests, strict=True):
        part, own = codes[:, place], thresholds[place].expand(10, -1, -1)
        least, most = ((own <= byte[..., None].double() + more).sum(-1) for more in (0.0, 1.0))
        assert ((part >= least) & (part <= most)).all()
        is_open = (own.floor() == byte[..., None]).any(-1)
        assert int(is_open.sum()) == len(rest)
        assert torch.equal(part[~is_open].long(), least[~is_open])
        agree.append(part[is_open] == (own[is_open] <= (byte[is_open].double() + rest.double())[:, None]).sum(-1))
    # But for rests within a float's error of a threshold.
    assert float(torch.cat(agree).double().mean()) > 0.999


@pytest.mark.parametrize("byte", [0, 255])
@pytest.mark.parametrize("num_categories", [2, 5, 16])
def test_no_uniform_draws_what_is_impossible_by_bytes(
    byte: int, num_categories: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the least and the largest uniform: the categories before the first possible one, and behind the last."""
    logits = torch.full((sampling.BYTES_MIN_POSITIONS, num_categories), -1e30)
    place = num_categories // 2
    logits[:, place] = 0
    rest = 0.0 if byte == 0 else 1 - 2**-24
    monkeypatch.setattr(sampling, "_random_bytes", lambda shape, _: torch.full(shape, byte, dtype=torch.uint8))
    monkeypatch.setattr(torch, "rand", lambda *sizes, **_: torch.full(sizes, rest))
    assert (sample_categorical(logits, sampling.BYTES_MIN_DRAWS) == place).all()
    flipped = logits.flip(-1)
    assert (sample_categorical(flipped, sampling.BYTES_MIN_DRAWS) == num_categories - 1 - place).all()


def test_places_of_what_is_true() -> None:
    for count in (0, 1, 7, 8, 9, 64, 1003):
        for share in (0.0, 0.05, 1.0):
            flags = torch.rand(count, generator=torch.Generator().manual_seed(count)) < share
            assert torch.equal(sampling._true_places(flags), flags.nonzero().squeeze(1))


def test_codes_have_the_smallest_dtype() -> None:
    small, middle, large = torch.uint8, torch.int16, torch.int32
    assert [code_dtype(k) for k in (2, 256, 257, 32768, 32769)] == [small, small, middle, middle, large]
    for categories, dtype in ((3, small), (300, middle)):
        for invert in (comparison_codes, search_codes):
            assert invert(torch.zeros(2, categories), torch.rand(4, 2)).dtype == dtype


def test_codes_become_an_index_and_not_a_mask() -> None:
    table = torch.tensor([10, 20, 30])
    assert table[as_index(torch.tensor([1, 0, 1], dtype=torch.uint8))].tolist() == [20, 10, 20]
    for wrong in (torch.zeros(2), torch.zeros(2, dtype=torch.bool)):
        with pytest.raises(InputError, match="codes must be integers"):
            as_index(wrong)


def test_errors() -> None:
    with pytest.raises(InputError, match="num_draws must be at least 1, got 0"):
        sample_categorical(torch.zeros(2, 3), 0)
    for wrong in (1, 2**24 + 1):
        with pytest.raises(InputError, match=f"num_categories must be between 2 .* got {wrong}"):
            code_dtype(wrong)
    assert code_dtype(2**24) == torch.int32
    with pytest.raises(InputError, match="num_categories must be between 2"):
        sample_categorical(torch.zeros(2, 1), 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_one_hots_by_comparison_are_one_hots(dtype: torch.dtype) -> None:
    codes = torch.randint(0, 256 if dtype == torch.uint8 else 300, (3, 4)).to(dtype)
    found = one_hot_codes(codes, 256 if dtype == torch.uint8 else 300)
    assert torch.equal(found, torch.nn.functional.one_hot(codes.long(), found.shape[-1]).float())
    with pytest.raises(InputError, match=r"codes must be integers, got dtype torch\.float32"):
        one_hot_codes(codes.float(), 3)


# Small faults that nothing above would notice.


@pytest.mark.parametrize("categories", [2, 3, 64, 65])
@pytest.mark.parametrize("draws", [1, 5])
def test_codes_are_drawn_where_the_logits_are(categories: int, draws: int) -> None:
    """On the device that holds no values, which refuses tensors of another."""
    logits = torch.zeros(2, 3, categories, device="meta")
    for sampler in (sample_categorical, sample_by_multinomial):
        codes = sampler(logits, draws)
        assert codes.shape == (draws, 2, 3) and codes.device.type == "meta"
    for invert in (comparison_codes, search_codes):
        assert invert(logits, torch.zeros(draws, 2, 3, device="meta")).device.type == "meta"
    for kind in ("normal", "binary"):
        assert sampling.sample_latents(4, 3, kind, device="meta").device.type == "meta"
    assert one_hot_codes(codes, categories).device.type == "meta"


def test_latents_of_both_kinds() -> None:
    normal, binary = (
        sampling.sample_latents(4000, 2, kind, torch.Generator().manual_seed(0)) for kind in ("normal", "binary")
    )
    assert stats.kstest(normal.flatten(), "norm").pvalue > 0.001
    assert binary.unique().tolist() == [-1.0, 1.0] and abs(float(binary.mean())) < 0.06
    assert normal.dtype == binary.dtype == torch.float32
    assert torch.equal(sampling.sample_latents(4000, 2, rng=torch.Generator().manual_seed(0)), normal)
    assert [sampling.check_latent_kind(kind) for kind in ("normal", "binary")] == ["normal", "binary"]
    with pytest.raises(InputError, match="latent_kind must be one of normal, binary, got 'gamma'"):
        sampling.sample_latents(1, 1, "gamma")


@pytest.mark.parametrize(("categories", "positions"), [(2, 2000), (3, 2000), (3, 2**13), (12, 2**13), (70, 2000)])
@pytest.mark.parametrize("draws", [1, 8])
def test_logits_of_half_precision_are_those_numbers_in_float32(categories: int, positions: int, draws: int) -> None:
    logits = torch.randn(positions, categories, generator=torch.Generator().manual_seed(0)).bfloat16()
    half, single = (
        sample_categorical(part, draws, torch.Generator().manual_seed(1)) for part in (logits, logits.float())
    )
    assert torch.equal(half, single) and half.dtype == torch.uint8
