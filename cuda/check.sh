#!/usr/bin/env bash
# On a machine with a GPU and nvcc: builds for that GPU, runs every kernel test on it, compute-sanitizer
# where it is there, and the benchmark against a device copy. Needs g++, cmake, make, GoogleTest and
# Highway's headers; no Java. Elsewhere it says why it skips.
#
#   cuda/check.sh [--no-bench]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() { echo "cuda/check.sh: skipped: $1"; exit 0; }
nvcc=$(command -v nvcc || true)
[ -n "$nvcc" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || nvcc=/usr/local/cuda/bin/nvcc
[ -n "$nvcc" ] || skip "nvcc was not found, on the PATH or in /usr/local/cuda/bin"
command -v nvidia-smi >/dev/null || skip "there is no GPU driver here (nvidia-smi was not found)"
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -u | head -n 1 | tr -d '. ') || true
[ -n "$capability" ] || skip "the driver names no GPU: $(nvidia-smi 2>&1 | tail -n 1)"
# What runs on a later chip of the same family is compiled for the first of them.
case $capability in
  8?) architecture=80 ;;
  9?) architecture=90 ;;
  1[0-1]?) architecture=100 ;;
  12?) architecture=120 ;;
  *) skip "compute capability $capability; at least 8.0 is needed" ;;
esac

build=cppbuild/cuda-check
cmake -S native -B $build -DPOLKA_CUDA=ON -DPOLKA_CUDA_ARCHITECTURES=$architecture -DPOLKA_TESTS=ON >/dev/null
cmake --build $build --target polka_cuda_test polka_cuda_bench polka_emulator_test --parallel "$(nproc)"
cuda/ptxas-report $build/cuda $build/ptxas.md

# What looks into the emulator, or into the device's memory from the CPU, stays there.
emulator_only='*Caught*:*WideVectors*:*OnceIn*:*RunInClusters*:*TheSameBits:*OfTheCpu:*TheCpu'
$build/cuda/polka_cuda_test --gtest_brief=1 --gtest_filter="-$emulator_only"
$build/cuda/polka_emulator_test --gtest_brief=1
sanitizer=$(command -v compute-sanitizer || true)
[ -n "$sanitizer" ] || [ ! -x /usr/local/cuda/bin/compute-sanitizer ] || sanitizer=/usr/local/cuda/bin/compute-sanitizer
if [ -n "$sanitizer" ]; then
  for tool in memcheck racecheck initcheck synccheck; do
    "$sanitizer" --tool $tool --error-exitcode 1 $build/cuda/polka_cuda_test --gtest_brief=1 \
      --gtest_filter="*EveryVocabulary*:*EveryKind*:-$emulator_only"
  done
else
  echo "cuda/check.sh: compute-sanitizer was not found; that part is skipped"
fi
[ "${1:-}" = --no-bench ] || $build/cuda/polka_cuda_bench $build/bench.json
