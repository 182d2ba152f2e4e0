"""The demo model: gpt-oss's architecture and vocabulary, tiny, trained on a few dialogues."""
