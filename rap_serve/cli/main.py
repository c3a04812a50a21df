"""``rap``: start the service, show it things, ask about pictures, measure it."""

import typer

from rap_serve.cli import admin, ask, concepts, doctor, jobs, service, shares
from rap_serve.cli.console import friendly
from rap_serve.cli.eval import commands as evaluation

app = typer.Typer(
    help="Retrieval-augmented personalization: show the service your things, then ask about pictures of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("up")(friendly(service.up))
app.command("down")(friendly(service.down))
app.command("remember")(friendly(concepts.remember))
app.command("concepts")(friendly(concepts.concepts))
app.command("forget")(friendly(concepts.forget))
app.command("import")(friendly(concepts.import_database))
app.command("export")(friendly(jobs.export))
app.command("erase")(friendly(jobs.erase))
app.command("ask")(friendly(ask.ask))
app.command("doctor")(friendly(doctor.doctor))
app.add_typer(shares.app, name="shares")
app.add_typer(admin.app, name="admin")
app.add_typer(evaluation.app, name="eval")

if __name__ == "__main__":
    app()
