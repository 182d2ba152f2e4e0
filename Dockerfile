# The worker for GPUs: SGLang's own image (CUDA 13.0, torch, SGLang 0.5.23 and its kernels) plus
# what the worker needs. It contains no models. Build: docker build -t gpt-oss-worker .
ARG BASE_IMAGE=lmsysorg/sglang:v0.5.23-cu130
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# SGLang's images have their Python in /opt/sglang. In an older image it is the system's Python,
# which pip considers externally managed.
ENV PATH=/opt/sglang/bin:${PATH} \
    PIP_BREAK_SYSTEM_PACKAGES=1

# The package's host keys would be the same on every pod; builder/sshd.sh generates new ones.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-server tini \
    && rm -rf /etc/ssh/ssh_host_* /var/lib/apt/lists/*

WORKDIR /app
COPY builder/requirements.txt builder/
RUN python3 -m pip install --no-cache-dir --no-deps -r builder/requirements.txt

COPY builder/check_image.py builder/sshd.sh builder/sshd_config builder/start.sh builder/
COPY handler.py test_input.json ./
# Includes Harmony's vocabulary, so that it is not downloaded at start.
COPY worker/ worker/
RUN python3 builder/check_image.py

EXPOSE 8000 22
ENTRYPOINT []
CMD ["/app/builder/start.sh"]
