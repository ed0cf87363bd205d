"""Scripts that complete the words of the program in a shell: verbs, their flags, and the values of a choice."""

import argparse
import shlex
from collections.abc import Mapping

Flags = Mapping[str, Mapping[str, argparse.Action]]


def completion_script(shell: str, purposes: Mapping[str, str], flags: Flags) -> str:
    """The script of a shell.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        purposes: The verbs, each with its purpose.
        flags: The flags of each verb.

    Returns:
        Its text, for the folder of the shell's completions.
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](purposes, flags)


def _choices(action: argparse.Action) -> str:
    """The values of a choice, with spaces between them."""
    text = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices is not None:
        return " ".join(action.choices)
    return text[1:-1].replace(",", " ") if text.startswith("{") and text.endswith("}") else ""


def _help(action: argparse.Action) -> str:
    return "" if action.help in (None, argparse.SUPPRESS) else " ".join(str(action.help).replace("%%", "%").split())


def _values(flags: Flags) -> list[str]:
    """A case for each flag of a verb whose values are a choice."""
    return [
        f'    "{verb} {flag}") words="{_choices(action)}" ;;'
        for verb, actions in flags.items()
        for flag, action in actions.items()
        if _choices(action)
    ]


def _bash(purposes: Mapping[str, str], flags: Flags) -> str:
    lines = [
        "_bgan() {",
        "  local words= current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}",
        '  case "${COMP_WORDS[1]} $previous" in',
        *_values(flags),
        "  esac",
        "  if [[ $COMP_CWORD == 1 ]]; then",
        f'    words="{" ".join(purposes)}"',
        "  elif [[ $current == -* ]]; then",
        "    case ${COMP_WORDS[1]} in",
        *(f'      {verb}) words="{" ".join(actions)}" ;;' for verb, actions in flags.items()),
        "    esac",
        "  fi",
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        "complete -o default -F _bgan bgan",
    ]
    return "\n".join(lines) + "\n"


def _zsh(purposes: Mapping[str, str], flags: Flags) -> str:
    def described(words: Mapping[str, str]) -> str:
        return " ".join(shlex.quote(f"{word}:{text.replace(':', ' ')}") for word, text in words.items())

    lines = [
        "#compdef bgan",
        "_bgan() {",
        "  local words_= previous=${words[CURRENT - 1]}",
        "  local -a found",
        '  case "${words[2]} $previous" in',
        *(line.replace("words=", "words_=") for line in _values(flags)),
        "  esac",
        "  if (( CURRENT == 2 )); then",
        f"    found=({described(purposes)})",
        "    _describe verb found",
        "  elif [[ -n $words_ ]]; then",
        "    compadd -- ${=words_}",
        "  elif [[ ${words[CURRENT]} == -* ]]; then",
        "    case ${words[2]} in",
        *(
            f"      {verb}) found=({described({flag: _help(action) for flag, action in actions.items()})}) ;;"
            for verb, actions in flags.items()
        ),
        "    esac",
        "    _describe option found",
        "  else",
        "    _files",
        "  fi",
        "}",
        'if [[ $funcstack[1] == _bgan ]]; then _bgan "$@"; else compdef _bgan bgan; fi',
    ]
    return "\n".join(lines) + "\n"


def _fish(purposes: Mapping[str, str], flags: Flags) -> str:
    lines = [
        f"complete -c bgan -f -n __fish_use_subcommand -a {verb} -d {shlex.quote(purpose)}"
        for verb, purpose in purposes.items()
    ]
    for verb, actions in flags.items():
        for flag, action in actions.items():
            line = f"complete -c bgan -n '__fish_seen_subcommand_from {verb}' -l {flag.removeprefix('--')}"
            line += " -r" if action.nargs != 0 else ""
            line += f" -f -a {shlex.quote(_choices(action))}" if _choices(action) else ""
            lines.append(f"{line} -d {shlex.quote(_help(action))}" if _help(action) else line)
    return "\n".join(lines) + "\n"
