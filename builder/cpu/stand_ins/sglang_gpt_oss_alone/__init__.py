"""SGLang's own gpt-oss model, as an external package of models (SGLANG_EXTERNAL_MODEL_PACKAGE).

SGLang then leaves its some 200 other models unimported, which is half of its boot on a CPU.
"""
