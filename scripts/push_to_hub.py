#!/usr/bin/env python
"""Upload a trained model to the Hugging Face Hub: the model and its card, and nothing else of its run."""

from bgan_discrete.command_line import make_parser, parse, run_script

EXAMPLE = """\
  python scripts/push_to_hub.py --model runs/digits/model --repo-id owner/digits --private"""


def main() -> None:
    """Parse, load, upload, name the address."""
    parser = make_parser(
        "Upload a trained model with its card to the Hugging Face Hub. The token is that of HF_TOKEN or of "
        "'hf auth login'.",
        EXAMPLE,
    )
    parser.add_argument("--model", type=str, required=True, metavar="DIR", help="the 'model' folder of a run")
    parser.add_argument("--repo-id", type=str, required=True, metavar="OWNER/NAME", help="made if there is none")
    parser.add_argument("--private", action="store_true", help="make a repository that only its owner sees")
    parser.add_argument(
        "--commit-message", type=str, default="Upload model", metavar="STR", help="message of the one commit"
    )
    parser.add_argument(
        "--revision", type=str | None, default=None, metavar="STR", help="branch to commit to (default: main)"
    )
    parser.add_argument("--create-pr", action="store_true", help="propose the commit as a pull request")
    options = parse(parser)

    from bgan_discrete.runs.model_card import push_model

    push_model(
        options["model"],
        options["repo_id"],
        private=options["private"] or None,
        commit_message=options["commit_message"],
        revision=options["revision"],
        create_pr=options["create_pr"],
    )


if __name__ == "__main__":
    run_script(main)
