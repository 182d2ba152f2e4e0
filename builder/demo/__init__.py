"""The demo model: gpt-oss's architecture and vocabulary, tiny, and trained on four dialogues."""
