#!/usr/bin/env bash
# Pack what a bare GPU machine lacks into archives that can be copied there: see usage below.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT

# One archive must fit, with the tree of this repository, into 64 MiB.
readonly LIMIT=${LIMIT:-62400000}
readonly PYTHON=${PYTHON:-python3}
RTX=${RTX:-1.6.1.120}
ARCH=${ARCH:-90}
OUT=${OUT:-$ROOT/dist/gpu}

readonly ORT_WHEELS=(
  onnxruntime-gpu==1.31.1
  pydantic==2.14.3 pydantic-core==2.50.4 annotated-types==0.8.0 typing-inspection==0.4.5
  typing-extensions==4.16.0
  httptools==0.9.0 multipart==2.0.1 tritonclient==2.73.0
  grpcio-health-checking==1.81.1 grpcio-reflection==1.81.1
)

# What must be in an archive for the checks to begin.
readonly RTX_CONTENT=(
  tensorrt_rtx/__init__.py
  tensorrt_rtx_bindings/__init__.py
  tensorrt_rtx_bindings/tensorrt_rtx.so
  tensorrt_rtx_libs/libtensorrt_rtx.so.1
  tensorrt_rtx_libs/libtensorrt_onnxparser_rtx.so.1
)
readonly ORT_CONTENT=(
  onnxruntime/__init__.py
  onnxruntime/capi/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so
  onnxruntime/capi/libonnxruntime_providers_cuda.so
  onnxruntime/capi/libonnxruntime_providers_shared.so
  pydantic/__init__.py
  pydantic_core/_pydantic_core.cpython-312-x86_64-linux-gnu.so
  annotated_types/__init__.py
  typing_inspection/__init__.py
  typing_extensions.py
  httptools/__init__.py
  multipart.py
  grpc_health/v1/health_pb2.py
  grpc_reflection/v1alpha/reflection_pb2.py
  tritonclient/grpc/service_pb2.py
  rapidjson.py
)

# Room for the wheels, what is in them, and what is written beside them.
readonly NEEDED_KIB=$((3 * 1024 * 1024))

usage() {
  cat <<'EOF'
Usage: scripts/gpu_pack.sh [--rtx VERSION] [--arch NUMBER] [--out FOLDER] [rtx] [ort]

Packs for a GPU machine without internet, with Linux on x86-64 and Python 3.12:
  rtx.tar.xz   TensorRT for RTX
  ort.tar.xz   ONNX Runtime for CUDA 13 with the code of one kind of GPU, pydantic, and what
               the server needs
Both are made unless one is named. Wheels come from pip's index, whatever Python runs pip here.
It takes some 10 minutes on two cores, and 3 GB of memory for each pack.

  --rtx VERSION   of TensorRT for RTX; default 1.6.1.120, the last one that loads on Hopper
  --arch NUMBER   compute capability without its point; default 90, for H100 and H200
  --out FOLDER    default dist/gpu
  --help          this text

RTX, ARCH and OUT in the environment do the same; PYTHON is the Python whose pip is used (default
python3), LIMIT the largest size in bytes of a pack (default 62400000), TMPDIR where it works.

Exit codes: 0, 1 if a pack is incomplete or too large, 2 for wrong usage, 3 if something is missing
on this machine.
EOF
}

say() { printf '%s\n' "$*"; }

fail() { # exit code, sentence
  printf '%s\n' "$2" >&2
  exit "$1"
}

read_options() {
  PACKS=()
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --rtx | --arch | --out)
        (($# > 1)) || fail 2 "$1 needs a value; see scripts/gpu_pack.sh --help."
        case $1 in
          --rtx) RTX=$2 ;;
          --arch) ARCH=$2 ;;
          --out) OUT=$2 ;;
        esac
        shift 2
        ;;
      rtx | ort) PACKS+=("$1") && shift ;;
      *) fail 2 "There is no option '$1'; see scripts/gpu_pack.sh --help." ;;
    esac
  done
  ((${#PACKS[@]})) || PACKS=(rtx ort)
}

check_machine() {
  # The filter that makes machine code smaller, and the wheels, are for this processor.
  [[ $(uname -sm) == "Linux x86_64" ]] ||
    fail 3 "Packs are made on Linux on x86-64, and this is $(uname -sm)."
  local tool
  for tool in xz tar df; do
    command -v "$tool" >/dev/null || fail 3 "'$tool' is not installed; install it and try again."
  done
  command -v "$PYTHON" >/dev/null || fail 3 "There is no '$PYTHON'; name a Python with PYTHON=."
  "$PYTHON" -m pip --version >/dev/null 2>&1 ||
    fail 3 "'$PYTHON' has no pip; name another Python with PYTHON=."
  mkdir -p "$OUT" 2>/dev/null || fail 3 "Cannot make the folder '$OUT'."
  local free
  free=$(df -Pk "${TMPDIR:-/tmp}" | awk 'NR == 2 { print $4 }')
  ((free >= NEEDED_KIB)) ||
    fail 3 "'${TMPDIR:-/tmp}' has $((free / 1024)) MiB free, and $((NEEDED_KIB / 1024)) are needed; name another folder with TMPDIR=."
}

# Unpack wheels for the GPU machine's Python into a folder, without what they depend on.
install_into() { # folder, requirements
  local site=$1 platforms=() glibc
  shift
  for glibc in 35 34 31 28 27 24 17 5; do
    platforms+=(--platform "manylinux_2_${glibc}_x86_64")
  done
  platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64 --platform any)
  "$PYTHON" -m pip --disable-pip-version-check -qq install --no-deps --no-compile \
    --only-binary=:all: --implementation cp --python-version 3.12 --abi cp312 --abi none \
    "${platforms[@]}" --target "$site" "$@" ||
    fail 3 "pip could not get $*; its message stands above."
  rm -rf "${site:?}/bin" # start scripts with this machine's paths
}

make_rtx_site() { # folder
  install_into "$1" "tensorrt-rtx-cu13-libs==$RTX" "tensorrt-rtx-cu13-bindings==$RTX"
  # The package that only ties these two together is no wheel. Its name is how versions are told.
  mkdir -p "$1/tensorrt_rtx" "$1/tensorrt_rtx-$RTX.dist-info"
  printf '%s\n' 'from tensorrt_rtx_bindings import *' \
    'from tensorrt_rtx_bindings import __version__' >"$1/tensorrt_rtx/__init__.py"
  printf '%s\n' 'Metadata-Version: 2.1' 'Name: tensorrt-rtx' "Version: $RTX" \
    >"$1/tensorrt_rtx-$RTX.dist-info/METADATA"
}

make_ort_site() { # folder
  install_into "$1" "${ORT_WHEELS[@]}"
  # Only the message classes of tritonclient are used, and they call nothing of rapidjson, which
  # its package imports.
  printf '%s\n' 'from json import *' >"$1/rapidjson.py"
  # Tools that are not used; the TensorRT provider, which needs the full TensorRT; the library for
  # programs in C, which Python's extension module does not load.
  local capi=$1/onnxruntime/capi
  rm -rf "$1/onnxruntime/transformers" "$1/onnxruntime/tools" \
    "$capi"/libonnxruntime_providers_tensorrt.so "$capi"/libonnxruntime.so*
  local cuda=$capi/libonnxruntime_providers_cuda.so
  "$PYTHON" "$ROOT/scripts/trim_fatbin.py" "$cuda" "$cuda" --arch "$ARCH"
}

# Owners, dates and order are fixed, so that equal content makes equal archives. The dictionary
# spans the largest library, in which much comes again far away.
compress() { # folder, archive
  tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$1" . |
    xz -T1 --x86 --lzma2=preset=9e,dict=256MiB >"$2.part"
  mv "$2.part" "$2"
}

verify() { # archive, its needed content
  local archive=$1 list file size
  shift
  xz -t "$archive" || fail 1 "'$archive' is damaged."
  list=$(xz -dc "$archive" | tar -t)
  for file in "$@"; do
    grep -qxF "./$file" <<<"$list" || fail 1 "'$archive' is incomplete: it has no $file."
  done
  size=$(wc -c <"$archive")
  ((size <= LIMIT)) || fail 1 "'$archive' has $size bytes, more than the limit of $LIMIT."
  say "$archive: $size bytes"
}

make_pack() { # rtx or ort
  local site=$WORK/$1 archive=$OUT/$1.tar.xz
  case $1 in
    rtx)
      make_rtx_site "$site"
      compress "$site" "$archive"
      verify "$archive" "${RTX_CONTENT[@]}"
      ;;
    ort)
      make_ort_site "$site"
      compress "$site" "$archive"
      verify "$archive" "${ORT_CONTENT[@]}"
      ;;
  esac
}

# shellcheck disable=SC2317,SC2329 # the trap calls it
clean_up() {
  local job
  for job in $(jobs -p); do
    kill -- "-$job" 2>/dev/null || true # with the xz that it waits for
  done
  rm -rf "$WORK" "$OUT"/*.tar.xz.part
}

main() {
  read_options "$@"
  check_machine
  WORK=$(mktemp -d)
  trap clean_up EXIT
  set -m # a process group for each job, so that clean_up can end all of it
  local pack job jobs=() code=0
  for pack in "${PACKS[@]}"; do
    make_pack "$pack" & # each is one thread of work
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do
    wait "$job" || code=$?
  done
  exit "$code"
}

main "$@"
