# Two images: what M2V itself runs in, and Label Studio with our guard. `docker compose build` makes both.
FROM python:3.11.14-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# A user without rights or a shell, who owns only what is written to: volumes take their owner from these folders.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin m2v \
    && install --directory --owner m2v --group m2v /data /data/media

FROM base AS label-studio
COPY label_studio/constraints.txt /srv/label_studio/constraints.txt
RUN pip install --requirement /srv/label_studio/constraints.txt
COPY label_studio/m2v_* /srv/label_studio/
ENV PYTHONPATH=/srv/label_studio DJANGO_SETTINGS_MODULE=m2v_settings
USER 10001:10001
WORKDIR /data

FROM base AS m2v
# Which PyTorch: cpu, or the CUDA version of the machine's driver, for example cu128.
ARG TORCH=cpu
# What it can do besides: `cluster` adds Ray.
ARG EXTRAS=encoder,team
RUN pip install uv==0.13.9
WORKDIR /srv/m2v
# Libraries first: they change less often than the code does.
COPY pyproject.toml constraints.txt ./
RUN mkdir m2v m2v_assets m2v_cli m2v_resources \
    && touch m2v/__init__.py m2v_assets/__init__.py m2v_cli/__init__.py m2v_resources/__init__.py \
    && uv pip install --system --no-cache --compile-bytecode --torch-backend "$TORCH" --constraints constraints.txt --editable ".[$EXTRAS]"
COPY README.md dagster.yaml workspace.yaml ./
COPY m2v m2v
COPY m2v_assets m2v_assets
COPY m2v_cli m2v_cli
COPY m2v_resources m2v_resources
COPY label_studio label_studio
# Nothing may be written here later, so that what is not compiled now would be at every start.
RUN python -m compileall -q m2v m2v_assets m2v_cli m2v_resources
USER 10001:10001
