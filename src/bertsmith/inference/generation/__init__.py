"""Writing: decoders that go on with a prompt, and encoder-decoders that answer to a source."""

from bertsmith.inference.generation.options import Generation, published
from bertsmith.inference.generation.writer import Writer
from bertsmith.inference.generation.writing import generate
from bertsmith.inference.generation.written import Written

__all__ = ["Generation", "Writer", "Written", "generate", "published"]
