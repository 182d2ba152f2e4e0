"""SGLang plugin: loads the demo model's tokenizer once in each process, not three times.

SGLang takes Transformers' generic tokenizer class for a mistake and loads the tokenizer again in
two other ways, to end with the same class. For 200,000 tokens that is half of its boot on a CPU.
"""


def register() -> None:
    from sglang.srt.utils.hf_transformers import tokenizer

    tokenizer._TOKENIZERS_BACKEND = "(none)"  # the class's name that asks for a second look
