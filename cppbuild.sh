#!/usr/bin/env bash
# Builds native/ into cppbuild/linux-x86_64, or native/ and cuda/ into cppbuild/linux-x86_64-gpu. Run
# by Maven in its initialize phase; can be run by hand. Only what changed is rebuilt.
#
#   cppbuild.sh [--variant=-gpu]
#
# The GPU variant is asked for, as nvcc takes ten minutes and more for its kernels and four
# architectures; mvn -Djavacpp.platform.extension=-gpu package makes the jar with the classifier
# linux-x86_64-gpu. POLKA_CUDA_ARCHITECTURES="90" compiles for one alone.
set -euo pipefail
cd "$(dirname "$0")"

platform=${PLATFORM:-linux-x86_64}
if [ "$platform" != linux-x86_64 ]; then
  echo "cppbuild.sh: platform $platform is not supported; linux-x86_64 is" >&2
  exit 1
fi
for tool in cmake g++; do
  command -v "$tool" >/dev/null || { echo "cppbuild.sh: $tool is missing (Debian: apt-get install cmake g++)" >&2; exit 1; }
done
if [ ! -e /usr/include/hwy/highway.h ] && [ -z "${HWY_INCLUDE:-}" ]; then
  echo "cppbuild.sh: Highway's headers are missing (Debian: apt-get install libhwy-dev, or set HWY_INCLUDE)" >&2
  exit 1
fi

extension=${1:---variant=}
extension=${extension#--variant=}
cuda=OFF
case $extension in
  "") ;;
  -gpu)
    if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
      cuda=ON
    else
      echo "cppbuild.sh: nvcc was not found, on the PATH or in /usr/local/cuda/bin: $platform-gpu is built without CUDA" >&2
    fi
    ;;
  *)
    echo "cppbuild.sh: there is no variant $extension; -gpu is one" >&2
    exit 2
    ;;
esac

version=$(sed -n 's:^  <version>\(.*\)</version>$:\1:p' pom.xml | head -n 1)
out=$PWD/cppbuild/$platform$extension
mkdir -p "$out"
cmake -S native -B "$out/build" -DCMAKE_INSTALL_PREFIX="$out" -DCMAKE_INSTALL_LIBDIR=lib -DPOLKA_VERSION="$version" \
  -DPOLKA_CUDA=$cuda ${POLKA_CUDA_ARCHITECTURES:+"-DPOLKA_CUDA_ARCHITECTURES=${POLKA_CUDA_ARCHITECTURES// /;}"} \
  ${HWY_INCLUDE:+-DCMAKE_CXX_FLAGS="-I$HWY_INCLUDE"} >"$out/cmake.log" 2>&1 \
  || { cat "$out/cmake.log" >&2; exit 1; }
cmake --build "$out/build" --target polka --parallel "$(nproc)"
cmake --install "$out/build" >/dev/null
