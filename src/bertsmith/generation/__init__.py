"""Writing, token by token: a decoder that goes on with a prompt, and an encoder-decoder that answers to a source.

Here is the search, for whatever parts of a model take the steps (`Parts`): the model's own, or such as compute the same faster
(`bertsmith.inference.fused_decoder`).
"""

from bertsmith.generation.options import Generation, published
from bertsmith.generation.running import Parts, PreparedModel
from bertsmith.generation.writing import generate, options_of
from bertsmith.generation.written import Written

__all__ = ["Generation", "Parts", "PreparedModel", "Written", "generate", "options_of", "published"]
