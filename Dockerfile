# The worker for GPUs: SGLang's own image (CUDA 13.0, torch, SGLang 0.5.23 and its kernels) plus
# what the worker needs. Build: docker build -t gpt-oss-worker .
# With a model in it: --build-arg MODEL=openai/gpt-oss-20b, and for a gated model also
# --secret id=hf_token,env=HF_TOKEN.
# `-runtime` is half the size of the full image, and has the compilers that SGLang's kernels need.
ARG BASE_IMAGE=lmsysorg/sglang:v0.5.23-cu130-runtime
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# SGLang's images have their Python in /opt/sglang. In an older image it is the system's Python,
# which pip considers externally managed. SGLANG_CACHE_DIR does not hold SGLang's own kernels, so
# both variables are needed (sglang/srt/environ.py).
ENV PATH=/opt/sglang/bin:${PATH} \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    SGLANG_CACHE_DIR=/opt/cache/sglang \
    SGLANG_JIT_CACHE_DIR=/opt/cache/sglang/jit

# The package's host keys would be the same on every pod; builder/sshd.sh generates new ones.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl openssh-server tini \
    && rm -rf /etc/ssh/ssh_host_* /var/lib/apt/lists/*

WORKDIR /app
COPY builder/requirements.txt builder/
RUN python3 -m pip install --no-cache-dir --no-deps -r builder/requirements.txt

# Without bytecode, each of SGLang's three processes compiles it again at every start: 11 s of CPU.
# Some packages have files that Python 3 cannot compile; check_image.py looks at what matters.
RUN python3 -m compileall -q -j 0 /opt/sglang/lib /sgl-workspace/sglang/python || true

# SGLang's kernels, per architecture. Empty: all of them are built at the first request.
ARG CUDA_ARCHITECTURES="8.0 8.6 8.9 9.0 10.0 12.0"
COPY builder/bake_kernels.py builder/
RUN python3 builder/bake_kernels.py ${CUDA_ARCHITECTURES}

# Empty: the image has no model, and the worker finds or downloads one at start.
ARG MODEL=
COPY builder/bake_model.py builder/
RUN --mount=type=secret,id=hf_token python3 builder/bake_model.py "${MODEL}"
ENV MODEL=${MODEL}

COPY builder/check_image.py builder/caches.sh builder/health.sh builder/sshd.sh \
    builder/sshd_config builder/start.sh builder/
COPY handler.py test_input.json ./
# Includes Harmony's vocabulary, so that it is not downloaded at start.
COPY worker/ worker/
RUN python3 -m compileall -q worker handler.py && python3 builder/check_image.py

# Names this build: kernels on a volume are kept for each build and architecture.
ARG VERSION=unknown
ARG REVISION=unknown
ENV IMAGE_BUILD=${VERSION}-${REVISION}
LABEL org.opencontainers.image.title="gpt-oss-worker" \
    org.opencontainers.image.description="OpenAI's gpt-oss on RunPod, by SGLang" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

EXPOSE 8000 22
# RunPod asks /ping itself; this is for `docker run`.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30m --retries=3 \
    CMD ["/app/builder/health.sh"]
ENTRYPOINT []
CMD ["/app/builder/start.sh"]
