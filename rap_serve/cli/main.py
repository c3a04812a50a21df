"""``rap``: start the service, show it things, ask about pictures, measure it."""

import typer

from rap_serve.cli import ask, concepts, doctor, evaluate, service
from rap_serve.cli.console import friendly

app = typer.Typer(
    help="Retrieval-augmented personalization: show the service your things, then ask about pictures of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
measuring = typer.Typer(help="Measure the running service.", no_args_is_help=True)

app.command("up")(friendly(service.up))
app.command("down")(friendly(service.down))
app.command("remember")(friendly(concepts.remember))
app.command("concepts")(friendly(concepts.concepts))
app.command("forget")(friendly(concepts.forget))
app.command("import")(friendly(concepts.import_database))
app.command("ask")(friendly(ask.ask))
app.command("doctor")(friendly(doctor.doctor))
measuring.command("retrieval")(friendly(evaluate.retrieval))
measuring.command("world")(friendly(evaluate.world))
app.add_typer(measuring, name="eval")

if __name__ == "__main__":
    app()
