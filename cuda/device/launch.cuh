// From a kernel's description to a launch. A kernel is a struct with Params, kThreads, kBlocksPerSm
// and Run(context, params); a launcher is anything that can be called with (kernel, config, params):
// the one below for the device, the emulator's in tests. So an operation plans and chooses its kernel
// once for both.
#pragma once

#include <stdint.h>

#include "context.cuh"

namespace polka::cuda {

struct LaunchConfig {
  int64_t blocks;
  int threads;
  int cluster;  // blocks that run together and reach each other's shared memory
  int shared_bytes;
};

// What a plan needs to know of the device.
struct DeviceLimits {
  int architecture;      // 10 * major + minor
  int processors;        // streaming multiprocessors
  int shared_per_block;  // bytes a block may ask for
  int shared_per_sm;     // bytes that the blocks of one multiprocessor share
  int max_cluster;       // 1 where there are none
};

// Rows and blocks are counted on grid.x.
constexpr int64_t kMaxBlocks = 0x7FFFFFFF;

#if defined(__CUDACC__)

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocksPerSm)
    KernelEntry(const __grid_constant__ typename Kernel::Params params) {
  DeviceContext context;
  Kernel::Run(context, params);
}

// Enqueues kernels on a stream of the current device.
struct DeviceLauncher {
  using Result = cudaError_t;

  cudaStream_t stream;

  template <class Kernel>
  cudaError_t operator()(Kernel, const LaunchConfig& config, const typename Kernel::Params& params) const {
    const auto entry = KernelEntry<Kernel>;
    if (config.shared_bytes > 48 * 1024) {
      const cudaError_t error =
          cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize, config.shared_bytes);
      if (error != cudaSuccess) return error;
    }
    cudaLaunchAttribute cluster;
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = static_cast<unsigned>(config.cluster);
    cluster.val.clusterDim.y = 1;
    cluster.val.clusterDim.z = 1;
    cudaLaunchConfig_t launch = {};
    launch.gridDim = dim3(static_cast<unsigned>(config.blocks));
    launch.blockDim = dim3(static_cast<unsigned>(config.threads));
    launch.dynamicSmemBytes = static_cast<size_t>(config.shared_bytes);
    launch.stream = stream;
    launch.attrs = &cluster;
    launch.numAttrs = config.cluster > 1 ? 1 : 0;
    return cudaLaunchKernelEx(&launch, entry, params);
  }
};

#endif  // __CUDACC__

}  // namespace polka::cuda
