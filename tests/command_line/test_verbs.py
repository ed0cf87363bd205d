"""The program: its verbs, the help that comes first, the kind that is found, and completion in a shell."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bgan_discrete.command_line.calls import Call, kind_of_data, kind_of_training, options_of
from bgan_discrete.command_line.verbs import COMMON, VERBS, call_verb
from bgan_discrete.config import CONFIGS
from bgan_discrete.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a call prints that asks for help."""
    try:
        call_verb(argv)
    except SystemExit as ended:
        assert ended.code in (0, None)
    return " ".join(capsys.readouterr().out.split())


def test_the_program_tells_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ((), ("--help",), ("-h",)):
        text = shown(capsys, *argv)
        assert all(f" {name} {verb.purpose}" in text for name, verb in VERBS.items())
    assert "bgan_discrete 0" in shown(capsys, "--version")
    with pytest.raises(InputError, match=r"verb 'trian' is unknown; did you mean train\?"):
        call_verb(["trian"])
    with pytest.raises(InputError, match="known are train, prepare"):
        call_verb(["fly"])


def test_training_shows_twenty_options_first_and_all_of_a_kind_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    first = shown(capsys, "train", "--help")
    assert len(COMMON) + 2 == 20
    for name in COMMON:
        assert f"--{name.replace('_', '-')} " in first or f"--{name.replace('_', '-')}," in first
    assert "bgan train --kind text --help" in first
    assert "--kind {images,text,arrays}" in first and "--config" in first
    assert "--generator-lr" not in first
    for argv in (("--kind", "text", "--help"), ("--help-all", "--dataset", "arithmetic")):
        text = shown(capsys, "train", *argv)
        for name, (entry, _) in options_of("text").items():
            is_shown = "text" in entry.metadata["kinds"]
            assert (f"--{name.replace('_', '-')} " in text or f"--{name.replace('_', '-')}," in text) == is_shown, name
    with pytest.raises(InputError, match="--dataset must be given"):
        call_verb(["train", "--help-all"])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, verb, "--help")
    assert f"usage: bgan {verb}" in text and VERBS[verb].purpose in text
    assert f"example: bgan {verb} " in text


def test_help_answers_without_large_libraries() -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'datasets', 'pyarrow', 'PIL', 'huggingface_hub'}"
    program = f"import sys, runpy\ntry:\n    runpy.run_module('bgan_discrete', run_name='__main__')\n" \
              f"finally:\n    assert not {heavy} & set(sys.modules)\n"  # fmt: skip
    for argv in (["--help"], ["train", "--help"], ["train", "--kind", "images", "--help"], ["generate", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *argv], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr


def call(*argv: str, verb: str = "train") -> Call:
    return Call(verb, argv)


def test_the_kind_is_found(tmp_path: Path) -> None:
    assert kind_of_training(call("--dataset", "digits")) == "images"
    assert kind_of_training(call("--dataset=table", "--max-steps", "3")) == "arrays"
    assert kind_of_training(call("--tokenizer", "char")) == "text", "by an option that no other kind has"
    (tmp_path / "recipe.yaml").write_text("dataset: arithmetic\nmax-steps: 3\n", encoding="utf-8")
    assert kind_of_data(call("--config", str(tmp_path / "recipe.yaml"))) == "text"
    assert kind_of_data(call("--config", str(tmp_path / "recipe.yaml"), "--dataset", "motifs")) == "arrays"
    CONFIGS["text"]().save(tmp_path / "config.yaml")
    assert kind_of_training(call("--output-dir", str(tmp_path), "--resume", "latest")) == "text"
    assert kind_of_training(call("--start-from", str(tmp_path))) == "text"
    assert call("--dataset", "digits", "--kind=text").given_kind == "text"
    with pytest.raises(InputError, match="--kind must be one of images, text, arrays, got 'sound'"):
        call_verb(["train", "--kind", "sound"])
    for argv, words in (
        (("--max-steps", "3"), "--dataset must be given"),
        (("--resume", "latest"), "--resume needs --output-dir"),
        (("--dataset", "none.csv"), "is neither embedded"),
    ):
        with pytest.raises(InputError, match=words):
            kind_of_training(call(*argv))


@pytest.mark.parametrize("recipe", sorted((ROOT / "scripts" / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_kind_of_a_recipe_is_found_without_its_data(recipe: Path) -> None:
    if "dataset" in call("--config", str(recipe)).options() or "tokenizer" in recipe.read_text(encoding="utf-8"):
        kind = kind_of_data(call("--config", str(recipe)))
        script = {"images": "train_images", "text": "train_text", "arrays": "train_array"}[kind]
        others = {"train_images", "train_text", "train_array"} - {script}
        assert not any(other in recipe.read_text(encoding="utf-8") for other in others)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("train", "--dataset", "digits", "--num-drawz", "3"), "--num-drawz 3; did you mean --num-draws?"),
        (("train", "--dataset", "digits", "--tempering", "3"), "this option is no more: leave it out"),
        (("generate",), "--model must be given"),
        (("generate", "--model", "absent"), "absent"),
        (("evaluate", "--model", "absent/model/here"), "is not a folder that exists"),
        (("report",), "the following arguments are required: RUN"),
        (("push", "--model", "m"), "the following arguments are required: --repo-id"),
        (("completion", "tcsh"), "invalid choice: 'tcsh'"),
    ],
)
def test_bad_input_is_one_line(argv: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError) as caught:
        call_verb(argv)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def completed(*words: str) -> list[str]:
    """What bash proposes for the last of the words."""
    script = (
        f'eval "$({shlex.quote(sys.executable)} -m bgan_discrete completion bash)"\n'
        f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}\n"
        '_bgan\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def test_bash_completes_verbs_flags_and_choices() -> None:
    assert completed("bgan", "") == [*VERBS]
    assert completed("bgan", "pre") == ["prepare"]
    assert sorted(completed("bgan", "train", "--max")) == ["--max-categories", "--max-seconds", "--max-steps"]
    assert completed("bgan", "train", "--codec", "") == ["levels", "binary", "palette"]
    assert completed("bgan", "generate", "--top") == ["--top-k", "--top-p"]
    assert completed("bgan", "train", "--dataset", "x") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_knows_every_verb_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_verb(["completion", shell])
    text = capsys.readouterr().out
    dashes = "-l " if shell == "fish" else "--"
    for kind in CONFIGS:
        assert all(f"{dashes}{name.replace('_', '-')}" in text for name in options_of(kind))
    assert all(verb in text for verb in VERBS)


def test_a_mistyped_option_is_named_before_the_kind_is_known() -> None:
    with pytest.raises(InputError, match=r"unrecognized arguments: --datset; did you mean --dataset\?"):
        call_verb(["train", "--datset", "digits"])


def test_the_folder_of_a_run_is_told_from_its_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "codec.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"is the folder of a run; give the model in it, '.*model'"):
        call_verb(["generate", "--model", str(tmp_path)])


def test_kinds_of_columns_mean_a_table_and_a_column_means_texts_or_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("age,text\n" + "".join(f"{n % 40},word {n % 3}\n" for n in range(90)))
    for argv, kind in (
        (("--column", "age=integer:5"), "arrays"),
        (("--column=age=integer:5",), "arrays"),
        (("--column", "text"), "text"),
    ):
        assert kind_of_data(Call("prepare", ("--dataset", str(path), *argv))) == kind
    said = shown(capsys, "prepare", "--dataset", str(path), "--column", "age=integer:5")
    assert "2 columns of categories: age 5 bins, text 3" in said
