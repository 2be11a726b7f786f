"""Beam search and contrastive search, held against plain Python, and what else `generate` searches."""

import json
import shutil

import pytest

import fixture_model
from plain_llama import PlainLlama, beam_search, contrastive_search, exhaustive_search
from service import make_folder, run


@pytest.fixture(scope="module")
def folder():
    folder = make_folder()
    fixture_model.write(folder / "model.gguf")
    fixture_model.write(folder / "tiny.gguf", seed=7, vocabulary=fixture_model.few_pieces())
    yield folder
    shutil.rmtree(folder)


def generate(model, prompt, count, *flags):
    done = run(
        "generate", "--model", model, "--prompt", prompt, "--max-tokens", count, "--json", *flags
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def best(found):
    """The tokens of all outputs."""
    return [found["ids"], *(other["ids"] for other in found.get("alternatives", []))]


@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.5, -1.0])
@pytest.mark.parametrize("prompt", ["abc", "bb", "ca"])
def test_a_wide_beam_finds_what_an_exhaustive_search_finds(folder, prompt, length_penalty):
    # With 64 beginnings none of the 25 of two tokens is ever dropped.
    model = folder / "tiny.gguf"
    found = generate(
        model, prompt, 3, "--beam-width", 64, "--n", 10, "--length-penalty", length_penalty,
        "--logprobs", 0,
    )
    expected = exhaustive_search(
        PlainLlama(model), found["prompt_ids"], 3, vocabulary=6, length_penalty=length_penalty
    )
    assert best(found) == [tokens for _, tokens in expected[:10]]
    sums = [sum(each["logprob"] for each in found["logprobs"])] + [
        sum(each["logprob"] for each in other["logprobs"]) for other in found["alternatives"]
    ]
    scores = [total / len(tokens) ** length_penalty for total, tokens in zip(sums, best(found))]
    assert scores == pytest.approx([score for score, _ in expected[:10]], abs=1e-4)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, -0.5])
@pytest.mark.parametrize("model, width", [("tiny", 2), ("tiny", 3), ("model", 2), ("model", 4)])
def test_a_narrow_beam_finds_what_a_plain_one_does(
    folder, model, width, length_penalty, early_stopping
):
    model = folder / f"{model}.gguf"
    flags = ["--beam-width", width, "--n", width, "--length-penalty", length_penalty]
    found = generate(
        model, "abab", 16, *flags, *(["--early-stopping"] if early_stopping else [])
    )
    expected = beam_search(
        PlainLlama(model), found["prompt_ids"], 16, width, length_penalty, early_stopping
    )
    assert best(found) == [tokens for _, tokens in expected]


def test_early_stopping_ends_with_the_first_texts_that_end(folder):
    model = folder / "tiny.gguf"
    flags = ["--beam-width", 3, "--n", 3, "--length-penalty", 2]
    early, late = (
        [generate(model, prompt, 24, *flags, *more) for prompt in ("abc", "b", "cab", "a")]
        for more in (["--early-stopping"], [])
    )
    assert best(early[0]) != best(late[0]) or early != late
    lengths = [sum(len(tokens) for each in all for tokens in best(each)) for all in (early, late)]
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("top_k, alpha", [(4, 0.6), (2, 0.3), (8, 0.9), (5, 0.0)])
@pytest.mark.parametrize("prompt", ["Hello", "The end", "a b a b a b"])
def test_contrastive_search_is_that_of_the_paper(folder, prompt, top_k, alpha):
    model = folder / "model.gguf"
    found = generate(
        model, prompt, 24, "--contrastive-top-k", top_k, "--contrastive-alpha", alpha
    )
    expected, leads = contrastive_search(
        PlainLlama(model), found["prompt_ids"], 24, top_k, alpha
    )
    # Rounding decides nothing.
    assert min(leads) > 1e-5
    assert found["ids"] == expected


def test_contrastive_search_on_a_trained_model(conformance):
    if not conformance:
        pytest.skip("MILLRACE_CONFORMANCE is not set")
    model = conformance / "stories260K.gguf"
    found = generate(model, "Once upon a time", 60, "--contrastive-alpha", 0.6)
    expected, leads = contrastive_search(PlainLlama(model), found["prompt_ids"], 60, 4, 0.6)
    assert min(leads) > 1e-5
    assert found["ids"] == expected


def test_the_first_sample_is_that_of_a_single_one_and_none_is_another(folder):
    model = folder / "model.gguf"
    flags = ["--seed", 11, "--temperature", 1.2]
    several = best(generate(model, "Hello", 40, "--n", 5, *flags))
    assert several[0] == generate(model, "Hello", 40, *flags)["ids"]
    assert several == best(generate(model, "Hello", 40, "--n", 5, *flags))
    assert len({tuple(tokens) for tokens in several}) == 5


def test_a_beam_writes_the_likeliest_text_of_a_grammar(folder):
    grammar = folder / "word.gbnf"
    grammar.write_text('root ::= ("the" | "that" | "tea") " " [a-c] [a-c]\n')
    found = generate(
        folder / "model.gguf", "Hello", 20, "--beam-width", 40, "--n", 27, "--grammar", grammar,
        "--length-penalty", 0, "--logprobs", 0,
    )
    texts = [found["text"], *(other["text"] for other in found["alternatives"])]
    words = {f"{word} {a}{b}" for word in ("the", "that", "tea") for a in "abc" for b in "abc"}
    assert set(texts) <= words and len(texts) == 27
    logprobs = [found["logprobs"], *(other["logprobs"] for other in found["alternatives"])]
    sums = [sum(each["logprob"] for each in each_text) for each_text in logprobs]
    assert sums == sorted(sums, reverse=True)
    # Of all ways to write all words with the vocabulary's tokens, there is none likelier.
    model = PlainLlama(folder / "model.gguf")
    pieces = {text.replace("\u2581", " "): token for token, (text, _, _) in enumerate(fixture_model.pieces())}
    bytes_ = {chr(byte): 3 + byte for byte in range(128)}

    def spellings(text):
        if not text:
            yield []
        for end in range(1, len(text) + 1):
            for table in (pieces, bytes_):
                if text[:end] in table:
                    for rest in spellings(text[end:]):
                        yield [table[text[:end]], *rest]

    def logprob(tokens):
        all_logprobs = model.logprobs(model.states([*found["prompt_ids"], *tokens]))
        start = len(found["prompt_ids"]) - 1
        return sum(all_logprobs[start + place][token] for place, token in enumerate(tokens))

    likeliest = max(logprob(tokens) for word in words for tokens in spellings(word))
    assert sums[0] == pytest.approx(likeliest, abs=1e-4)


@pytest.mark.parametrize(
    "flags, field",
    [
        (["--n", 3, "--temperature", 0], "n must be 1"),
        (["--n", 65], "--n must be"),
        (["--beam-width", 1], "beam.width"),
        (["--beam-width", 65], "beam.width"),
        (["--beam-width", 0], "beam.width"),
        (["--beam-width", 600], "beam.width"),
        (["--beam-width", 4, "--greedy"], "--greedy"),
        (["--beam-width", 4, "--n", 5], "n must be at most"),
        (["--beam-width", 4, "--length-penalty", 11], "beam.length_penalty"),
        (["--length-penalty", 1], "--beam-width"),
        (["--contrastive-top-k", 1], "contrastive.top_k"),
        (["--contrastive-alpha", 1.5], "contrastive.alpha"),
        (["--contrastive-alpha", 0.5, "--n", 2], "n must be 1"),
        (["--contrastive-alpha", 0.5, "--beam-width", 2], "--beam-width"),
    ],
)
def test_bad_searches_are_refused_by_name(folder, flags, field):
    done = run("generate", "--model", folder / "model.gguf", "--prompt", "Hello", *flags)
    assert done.returncode != 0
    assert field in done.stderr.decode()
