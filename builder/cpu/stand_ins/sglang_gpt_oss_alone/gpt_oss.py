"""The model's entry class, where SGLang looks for it."""

from sglang.srt.models.gpt_oss import EntryClass

__all__ = ["EntryClass"]
