#!/usr/bin/env bash
# Builds native/ (and cuda/ where nvcc is found) into cppbuild/<platform>. Run by Maven in its
# initialize phase; can be run by hand. Only what changed is rebuilt.
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

version=$(sed -n 's:^  <version>\(.*\)</version>$:\1:p' pom.xml | head -n 1)
out=$PWD/cppbuild/$platform
mkdir -p "$out"
cmake -S native -B "$out/build" -DCMAKE_INSTALL_PREFIX="$out" -DCMAKE_INSTALL_LIBDIR=lib -DPOLKA_VERSION="$version" \
  ${HWY_INCLUDE:+-DCMAKE_CXX_FLAGS="-I$HWY_INCLUDE"} >"$out/cmake.log" 2>&1 \
  || { cat "$out/cmake.log" >&2; exit 1; }
cmake --build "$out/build" --target polka --parallel "$(nproc)"
cmake --install "$out/build" >/dev/null
