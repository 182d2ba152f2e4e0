"""Imported at every start of this environment's Python (by a .pth file that `make` writes).

Sets what SGLang needs to run on a CPU, in the worker and in every process that it spawns. A value
that is set already wins.
"""

import os
import warnings

for _name, _value in {
    "SGLANG_USE_CPU_ENGINE": "1",  # SGLang's CPU platform; without it there is none here
    "OMP_NUM_THREADS": "1",  # threads that wait for each other make busy cores 20 times slower
    "TORCHDYNAMO_DISABLE": "1",  # else the first request waits some 20 s for a C++ compiler
    "SGLANG_EXTERNAL_MODEL_PACKAGE": "sglang_gpt_oss_alone",  # its other models stay unimported
    "HF_HUB_OFFLINE": "1",  # the demo model is a folder; nothing is ever fetched
}.items():
    os.environ.setdefault(_name, _value)

# What SGLang says at each import of what a CPU lacks, and of a lock in a process that was ended.
warnings.filterwarnings("ignore", "Only CUDA|Triton is not supported|resource_tracker", UserWarning)
