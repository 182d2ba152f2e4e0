"""SGLang plugin: loads the demo model's tokenizer once per process instead of three times.

SGLang considers Transformers' generic tokenizer class a mistake and loads the tokenizer in two more
ways, ending up with the same class. With 200,000 tokens that is half of its boot time on a CPU.
"""


def register() -> None:
    from sglang.srt.utils.hf_transformers import tokenizer

    tokenizer._TOKENIZERS_BACKEND = "(none)"  # the class name that triggers the reloading
