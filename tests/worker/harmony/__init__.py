"""gpt-oss's format."""
