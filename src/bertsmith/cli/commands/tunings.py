"""`bertsmith tunings`: techniques by which a model is fine-tuned."""

from bertsmith.cli.options import AsJson, Name

EXAMPLE = "  bertsmith tunings lora"


def tunings(name: Name = None, as_json: AsJson = False) -> None:
    """List techniques of fine-tuning, or show all about one."""
    from bertsmith.cli.catalogue import show
    from bertsmith.tuning import tunings as registry

    show(registry, name, as_json=as_json)
