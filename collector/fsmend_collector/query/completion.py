"""`fsmend completion SHELL`: the script that makes a shell complete fsmend's words."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  fsmend completion bash > ~/.local/share/bash-completion/completions/fsmend
    zsh:   fsmend completion zsh > "${fpath[1]}/_fsmend"
    fish:  fsmend completion fish > ~/.config/fish/completions/fsmend.fish
    """  # noqa: D301  \b is click's mark for lines to leave alone
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  the choice lists click's own three
    click.echo(found(ctx.find_root().command, {}, "fsmend", "_FSMEND_COMPLETE").source())
