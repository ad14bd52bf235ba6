#include "backend.h"

#include <string.h>

#include "device/targets.cuh"
#include "row_plan.cuh"

namespace polka::cuda {
namespace {

constexpr int kMaxDevices = 64;

struct KnownLimits {
  int32_t asked;  // 0 = not yet
  DeviceLimits limits;
};
KnownLimits known_limits[kMaxDevices];

// After these the process cannot use the device any more.
bool IsFatal(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorLaunchTimeout:
      return true;
    default:
      return false;
  }
}

}  // namespace

polka_status Status(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return POLKA_OK;
  cudaGetLastError();
  const polka_status status = IsFatal(error)                                                       ? POLKA_CUDA_LOST
                              : error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice ? POLKA_UNAVAILABLE
                                                                                                   : POLKA_CUDA_ERROR;
  return Fail(status, "%s: %s (%s)", cudaGetErrorName(error), cudaGetErrorString(error), what);
}

DeviceScope::DeviceScope(const polka_exec& exec) {
  cudaError_t error = cudaGetDevice(&former_);
  if (error == cudaSuccess && former_ != exec.device_index) error = cudaSetDevice(exec.device_index);
  if (error == cudaErrorInvalidDevice) {
    status_ = Fail(POLKA_INVALID_ARGUMENT, "device_index: there is no cuda:%d", exec.device_index);
  } else {
    status_ = Status(error, "choosing the device");
  }
}

DeviceScope::~DeviceScope() {
  if (former_ >= 0) cudaSetDevice(former_);
}

polka_status LimitsOf(const polka_exec& exec, DeviceLimits* limits) {
  const int device = exec.device_index;
  if (device < 0 || device >= kMaxDevices) {
    return Fail(POLKA_INVALID_ARGUMENT, "device_index: %d is outside [0, %d)", device, kMaxDevices);
  }
  KnownLimits& known = known_limits[device];
  if (__atomic_load_n(&known.asked, __ATOMIC_ACQUIRE) == 0) {
    int major = 0, minor = 0;
    DeviceLimits found = {};
    cudaError_t error = cudaSuccess;
    const auto ask = [&](int* value, cudaDeviceAttr attribute) {
      if (error == cudaSuccess) error = cudaDeviceGetAttribute(value, attribute, device);
    };
    ask(&major, cudaDevAttrComputeCapabilityMajor);
    ask(&minor, cudaDevAttrComputeCapabilityMinor);
    ask(&found.processors, cudaDevAttrMultiProcessorCount);
    ask(&found.shared_per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin);
    ask(&found.shared_per_sm, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    if (error != cudaSuccess) return Status(error, "asking for the device's limits");
    found.architecture = 10 * major + minor;
    // Eight blocks is what every device with clusters can schedule.
    found.max_cluster = major >= 9 ? 8 : 1;
    if (found.architecture < 80) {
      return Fail(POLKA_UNAVAILABLE, "device: cuda:%d has compute capability %d.%d, at least 8.0 is needed", device,
                  major, minor);
    }
    // Whoever asks at the same time writes the same.
    known.limits = found;
    __atomic_store_n(&known.asked, 1, __ATOMIC_RELEASE);
  }
  *limits = known.limits;
  return POLKA_OK;
}

cudaError_t ResetStatus(const polka_exec& exec, uint64_t* word) {
  *word = 0;
  if (exec.workspace == 0 || exec.workspace_bytes < kStatusBytes) return cudaSuccess;
  *word = exec.workspace;
  return cudaMemsetAsync(reinterpret_cast<void*>(exec.workspace), 0xFF, sizeof(uint64_t), StreamOf(exec));
}

polka_status CheckRows(const polka_matrix& logits, const polka_softmax& softmax) {
  const int64_t columns = softmax.valid_vocab == 0 ? logits.cols : softmax.valid_vocab;
  const int64_t tile = logits.dtype == POLKA_F32 ? kTileColumns<float> : kTileColumns<Half>;
  if (columns > kMaxTiles * tile) {
    return Fail(POLKA_INVALID_ARGUMENT, "logits: vocabulary of %lld columns; on CUDA at most %lld",
                static_cast<long long>(columns), static_cast<long long>(kMaxTiles * tile));
  }
  if (logits.rows > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "logits: %lld rows; on CUDA at most %lld", static_cast<long long>(logits.rows),
                static_cast<long long>(kMaxRows));
  }
  return POLKA_OK;
}

polka_status CheckSpans(int64_t spans, int64_t count, const char* name) {
  if (count > kMaxRows || spans > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "count: %lld tokens in %lld %s; on CUDA at most %lld of each",
                static_cast<long long>(count), static_cast<long long>(spans), name, static_cast<long long>(kMaxRows));
  }
  if (spans == 0 && count > 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "offsets: 0 %s for %lld tokens", name, static_cast<long long>(count));
  }
  return POLKA_OK;
}

int32_t Available() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    Status(error == cudaSuccess ? cudaErrorNoDevice : error, "looking for a device");
    return 0;
  }
  return 1;
}

polka_status Check(polka_exec* exec) {
  if (exec == nullptr) return Fail(POLKA_INVALID_ARGUMENT, "cuda_check: exec is null");
  if (exec->device_type != POLKA_CUDA) {
    return Fail(POLKA_INVALID_ARGUMENT, "cuda_check: device_type %d is not CUDA", exec->device_type);
  }
  POLKA_TRY(CheckWorkspace(*exec, kStatusBytes));
  const DeviceScope scope(*exec);
  POLKA_TRY(scope.status());
  uint64_t word = kStatusFine;
  cudaError_t error = cudaMemcpyAsync(&word, reinterpret_cast<const void*>(exec->workspace), sizeof word,
                                      cudaMemcpyDeviceToHost, StreamOf(*exec));
  if (error == cudaSuccess) error = cudaStreamSynchronize(StreamOf(*exec));
  POLKA_TRY(Status(error, "reading the status"));
  if (word == kStatusFine) return POLKA_OK;
  const long long row = static_cast<long long>(word >> 35);
  const uint32_t value = static_cast<uint32_t>(word);
  switch (static_cast<BadRow>((word >> 32) & 7u)) {
    case BadRow::kTemperature: {
      float temperature;
      memcpy(&temperature, &value, sizeof temperature);
      return Fail(POLKA_INVALID_ARGUMENT, "softmax: temperature %g of row %lld is not finite and >= 2^-126",
                  static_cast<double>(temperature), row);
    }
    case BadRow::kOffsets:
      return Fail(POLKA_INVALID_ARGUMENT, "offsets: entry %lld falls, or leaves [0, number of rows]", row);
    case BadRow::kReward:
      return Fail(POLKA_INVALID_ARGUMENT, "rewards: reward %lld is outside [-1e301, 1e301]", row);
    case BadRow::kWeight:
      return Fail(POLKA_INVALID_ARGUMENT, "weights: weight %lld is not finite and >= 0", row);
    case BadRow::kSingleton:
      return Fail(POLKA_INVALID_ARGUMENT, "rewards: group %lld has one finite reward, at least 2 are needed", row);
    case BadRow::kLambda: {
      float lambda;
      memcpy(&lambda, &value, sizeof lambda);
      return Fail(POLKA_INVALID_ARGUMENT, "sequence_lambda: %g of sequence %lld is outside [0, 1]",
                  static_cast<double>(lambda), row);
    }
    default:
      return Fail(POLKA_OUT_OF_RANGE, "targets: target %d of row %lld is outside the vocabulary",
                  static_cast<int32_t>(value), row);
  }
}

}  // namespace polka::cuda

namespace polka {

const CudaBackend kCudaBackend = {
    cuda::Available,
    cuda::Check,
    cuda::LogProbForwardWorkspace,
    cuda::LogProbForward,
    cuda::LogProbBackward,
    cuda::PolicyLossWorkspace,
    cuda::PolicyLoss,
    cuda::PolicyLossFromLogProbWorkspace,
    cuda::PolicyLossFromLogProb,
    cuda::DivergenceWorkspaceOnDevice,
    cuda::DivergenceOnDevice,
    cuda::TokenKlOnDevice,
    cuda::GroupAdvantageOnDevice,
    cuda::TokenReturnsOnDevice,
    cuda::SegmentOnDevice,
};

}  // namespace polka
