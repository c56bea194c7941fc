"""``completion``: the script by which a shell completes commands, options and names."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.names import among
from messaging.common.suggestions import did_you_mean

__all__ = ["complete_if_asked", "completion"]

VARIABLE = "_DRUMBEAT_COMPLETE"
"""Set by the scripts below: what the shell wants, as Typer reads it."""

CHECKOUT = Path(__file__).resolve().parents[1]

# The program is named by its path. Each script defines the command too, where there is none. (zsh would complete an alias as
# what it stands for.)
BASH = """type drumbeat >/dev/null 2>&1 || drumbeat() { PROGRAM "$@"; }
_drumbeat_complete() {
    local IFS=$'\\n'
    COMPREPLY=( $(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _DRUMBEAT_COMPLETE=complete_bash PROGRAM 2>/dev/null) )
}
complete -o default -F _drumbeat_complete drumbeat
"""

ZSH = """#compdef drumbeat
unalias drumbeat 2>/dev/null
whence drumbeat >/dev/null || function drumbeat { PROGRAM "$@" }
_drumbeat_complete() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _DRUMBEAT_COMPLETE=complete_zsh PROGRAM 2>/dev/null)"
}
compdef _drumbeat_complete drumbeat
"""

FISH = """type -q drumbeat; or function drumbeat
    PROGRAM $argv
end
function _drumbeat_complete
    set -l found (_TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) _DRUMBEAT_COMPLETE=complete_fish PROGRAM 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command drumbeat --no-files --arguments '(_drumbeat_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def _read_shell(text: str) -> str:
    if text not in SCRIPTS:
        raise typer.BadParameter(f"{text!r} is not known here; {did_you_mean(text, SCRIPTS)}")
    return text


def completion(
    shell: Annotated[
        str,
        typer.Argument(
            help="bash, zsh or fish.", metavar="SHELL", parser=_read_shell, autocompletion=among(SCRIPTS)
        ),
    ],
) -> None:
    """Print the script by which a shell completes 'drumbeat': commands, options, and names of sequences, campaigns, devices.

    The script also defines the command 'drumbeat', for any directory.

    bash: put  source <(drumbeat completion bash)  into ~/.bashrc.    zsh: the same with zsh, into ~/.zshrc, below 'compinit'.
    fish: drumbeat completion fish > ~/.config/fish/completions/drumbeat.fish
    """
    program = f"{shlex.quote(sys.executable)} {shlex.quote(str(CHECKOUT / 'starter.py'))}"
    sys.stdout.write(SCRIPTS[shell].replace("PROGRAM", program))


def complete_if_asked(command: Any) -> None:
    """Answers the shell and ends the process, if it is the shell that asks."""
    if VARIABLE not in os.environ:
        return
    from typer._completion_classes import completion_init

    completion_init()
    command(prog_name="drumbeat", complete_var=VARIABLE)
