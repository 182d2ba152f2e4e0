"""Imported whenever this environment's Python starts (by a .pth file that `make` writes).

Sets the variables that SGLang needs to run on a CPU, in the worker and in every process that it
spawns. Variables that are already set are kept.
"""

import os
import warnings

for _name, _value in {
    "SGLANG_USE_CPU_ENGINE": "1",  # selects SGLang's CPU platform; there is no other here
    "OMP_NUM_THREADS": "1",  # on busy cores, threads waiting for each other are 20 times slower
    "TORCHDYNAMO_DISABLE": "1",  # otherwise the first request waits about 20 s for a C++ compiler
    "SGLANG_EXTERNAL_MODEL_PACKAGE": "sglang_gpt_oss_alone",  # SGLang imports no other models
}.items():
    os.environ.setdefault(_name, _value)

# SGLang's warnings, at each import, about what a CPU lacks; and about the lock of a killed process.
warnings.filterwarnings("ignore", "Only CUDA|Triton is not supported|resource_tracker", UserWarning)
