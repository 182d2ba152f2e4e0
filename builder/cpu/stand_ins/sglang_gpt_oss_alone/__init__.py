"""SGLang's own gpt-oss model, as an external package of models (SGLANG_EXTERNAL_MODEL_PACKAGE).

SGLang then does not import its roughly 200 other models, which is half of its boot time on a CPU.
"""
