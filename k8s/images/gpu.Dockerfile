# Detector, embedder and MLLM on GPUs. The CUDA libraries come with the wheels of gpu.lock, the driver with the node.
#   docker build -f k8s/images/gpu.Dockerfile -t rap-serve-gpu:0.1.0 .
# Weights are mounted at /models, or baked in from an image that holds nothing else: --build-arg WEIGHTS=weights:1
ARG BASE=python:3.11.13-slim-bookworm
ARG WEIGHTS=scratch

FROM ${WEIGHTS} AS weights

FROM ${BASE} AS build
WORKDIR /app
COPY scripts scripts
COPY requirements requirements
RUN scripts/image/install /opt/rap requirements/gpu.lock
COPY pyproject.toml README.md LICENSE ./
COPY rap_serve rap_serve
COPY deployments deployments
RUN scripts/image/project /opt/rap

FROM ${BASE}
WORKDIR /app
COPY scripts scripts
# Kernels are compiled when they are first needed, which takes a C compiler.
RUN scripts/system_packages libnuma1 gcc libc6-dev
COPY --from=build /opt/rap /opt/rap
COPY --from=build /app /app
COPY --from=weights / /models
ENV PATH=/opt/rap/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/home/rap \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
CMD ["rap", "--help"]
