# Ray's head, gateways and, with the tiny family, the models. From the repository's root:
#   docker build -f k8s/images/cpu.Dockerfile -t rap-serve-cpu:0.1.0 .
# A digest pins the base for good: --build-arg BASE=python@sha256:...
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /app
COPY scripts scripts
COPY requirements requirements
RUN scripts/image/install /opt/rap requirements/cpu.lock requirements/s3.lock
COPY pyproject.toml README.md LICENSE ./
COPY rap_serve rap_serve
COPY deployments deployments
RUN scripts/image/project /opt/rap

FROM ${BASE}
WORKDIR /app
COPY scripts scripts
RUN scripts/system_packages libnuma1
COPY --from=build /opt/rap /opt/rap
COPY --from=build /app /app
COPY models models
ENV PATH=/opt/rap/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/home/rap
USER 10001:10001
CMD ["rap", "--help"]
