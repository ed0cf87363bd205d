"""Arguments of each verb that work, by the kind of data; those of a verb without kinds by ""."""

EXAMPLES: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "images": (
            "--dataset digits --output-dir runs/digits",
            "--dataset photos/ --resize 32 --codec palette --num-categories 16 --output-dir runs/photos",
            "--output-dir runs/digits --resume latest",
        ),
        "text": (
            "--dataset lines.txt --length 32 --layout window --output-dir runs/lines",
            "--dataset lines.txt --tokenizer sentencepiece --length 16 --generator gru --output-dir runs/pieces",
            "--output-dir runs/lines --resume latest",
        ),
        "arrays": (
            "--dataset customers.csv --drop id --bins 20 --output-dir runs/customers",
            "--dataset codes.npy --output-dir runs/codes",
            "--output-dir runs/customers --resume latest",
        ),
    },
    "prepare": {
        "images": ("--dataset digits", "--dataset photos/ --resize 32 --codec palette --num-categories 16"),
        "text": ("--dataset lines.txt --length 32",),
        "arrays": ("--dataset customers.csv --drop id --bins 20",),
    },
    "generate": {
        "images": (
            "--model runs/digits/model --num-samples 64 --seed 0 --output grid.png",
            "--model runs/digits/model --num-samples 5000 --output samples.npz",
            "--model runs/digits/model --num-samples 20 --output pictures",
            "--model runs/classes/model --labels 3,7 --num-samples 20 --output grid.png",
        ),
        "text": (
            "--model runs/lines/model --num-samples 20 --seed 0",
            "--model runs/lines/model --num-samples 1000 --temperature 0.8 --output samples.txt",
            "--model runs/pieces/model --prompt 'a man' --top-p 0.9 --output samples.jsonl",
        ),
        "arrays": (
            "--model runs/customers/model --num-samples 1000 --output samples.csv",
            "--model runs/codes/model --num-samples 1000 --output samples.npy",
            "--model runs/rounds/model --rounds 4 --given 'sex=Female,class=e' --output samples.csv",
        ),
    },
    "evaluate": {
        "images": ("--model runs/digits/model --output report.json",),
        "text": (
            "--model runs/lines/model --num-samples 10000 --output report.json",
            "--model runs/gru/model --against runs/likelihood/model --sweep-temperature --output sweep.json",
        ),
        "arrays": ("--model runs/customers/model --output report.json",),
    },
    "report": {"": ("runs/digits", "runs/digits runs/mnist --output comparison.html")},
    "push": {"": ("--model runs/digits/model --repo-id owner/digits --private",)},
    "completion": {
        "": (
            "bash > ~/.local/share/bash-completion/completions/bgan",
            "zsh > ~/.zfunc/_bgan",
            "fish > ~/.config/fish/completions/bgan.fish",
        )
    },
}
