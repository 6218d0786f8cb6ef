"""Using a trained model: many texts through an encoder, as fast as the machine allows."""
