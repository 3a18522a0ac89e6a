"""`s2s tokens`: who may use the service."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.cli.options import Json

if TYPE_CHECKING:
    from s2s.contracts.service import TokenRecord

app = typer.Typer(no_args_is_help=True, help="Who may use the service: create, list and revoke tokens.")
Name = Annotated[str, typer.Argument(help="Who gets it, for instance lab-miller.")]
Tissue = Annotated[
    list[str] | None, typer.Option("--tissue", help="Only this model, for instance breast or human-breast. May be repeated.")
]
Action = Annotated[list[str] | None, typer.Option("--action", help="Only this: impute, jobs or models. May be repeated.")]
Days = Annotated[float | None, typer.Option("--days", min=0.0, help="How long it is good; for ever unless said.")]
TokenId = Annotated[str, typer.Argument(help="Its id, from `s2s tokens list`: the twelve characters after s2s_.")]


@app.command()
def create(name: Name, tissue: Tissue = None, action: Action = None, days: Days = None, json_: Json = False) -> None:
    """Make a token and show it, this once.

    Example: `s2s tokens create lab-miller --tissue breast --days 90`
    """
    import json
    from typing import cast, get_args

    from s2s.contracts.service import Action as Kind
    from s2s.contracts.settings import load_settings
    from s2s.recipes.serving.tokens import create_token

    actions = cast("tuple[Kind, ...]", tuple(action) if action else get_args(Kind))
    token, record = create_token(name, load_settings(is_local=False), tissues=tuple(tissue) if tissue else None, actions=actions, days=days)
    if json_:
        typer.echo(json.dumps({"token": token, **_shown(record)}))
        return
    typer.echo(token)
    typer.echo("keep it: it is not shown again, and only its hash is stored", err=True)


@app.command("list")
def list_(json_: Json = False) -> None:
    """Show every token there is: whose, for what, and whether it is good."""
    import json

    from s2s.contracts.settings import load_settings
    from s2s.recipes.serving.tokens import list_tokens

    records = list_tokens(load_settings(is_local=False))
    if json_:
        typer.echo(json.dumps([_shown(record) for record in records]))
        return
    for record in records:
        models = ", ".join(record.tissues) if record.tissues else "all models"
        typer.echo(f"{record.id}  {_state(record):<9}  {record.name}  {models}  {', '.join(record.actions)}")
    if not records:
        typer.echo("no token yet: s2s tokens create NAME")


@app.command()
def revoke(token_id: TokenId, json_: Json = False) -> None:
    """Shut a token out; the service notices within ten seconds.

    Example: `s2s tokens revoke 0123456789ab`
    """
    import json

    from s2s.contracts.settings import load_settings
    from s2s.recipes.serving.tokens import revoke_token

    record = revoke_token(token_id, load_settings(is_local=False))
    typer.echo(json.dumps(_shown(record)) if json_ else f"{record.id} ({record.name}) is revoked")


def _shown(record: "TokenRecord") -> dict[str, object]:
    return {**record.model_dump(mode="json", exclude={"secret_sha256", "kind", "version"}), "state": _state(record)}


def _state(record: "TokenRecord") -> str:
    if record.revoked_at is not None:
        return "revoked"
    is_over = record.expires_at is not None and record.expires_at <= datetime.now(UTC).timestamp()
    return "expired" if is_over else "good"
