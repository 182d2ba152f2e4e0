"""The engine port, and SGLang behind it."""
