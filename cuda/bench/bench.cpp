// How near to a device copy do the kernels come? Each operation at real vocabularies: bytes that it must
// move, counted here, over the median of its times; and the same for a copy of the same size, measured
// in the same run. 1.0 of the copy is as fast as memory goes. Prints a table, and JSON to a file.
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "polka.h"

namespace {

constexpr int kRepeats = 20;

void Check(cudaError_t error) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "bench: %s\n", cudaGetErrorString(error));
  exit(1);
}

void Check(polka_status status) {
  if (status == POLKA_OK) return;
  fprintf(stderr, "bench: %s\n", polka_last_error());
  exit(1);
}

uint64_t Device(int64_t bytes) {
  void* p;
  Check(cudaMalloc(&p, static_cast<size_t>(bytes)));
  Check(cudaMemset(p, 0, static_cast<size_t>(bytes)));
  return reinterpret_cast<uint64_t>(p);
}

template <class T>
uint64_t Upload(const std::vector<T>& v) {
  const uint64_t p = Device(static_cast<int64_t>(v.size() * sizeof(T)));
  Check(cudaMemcpy(reinterpret_cast<void*>(p), v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
  return p;
}

void Free(uint64_t p) { cudaFree(reinterpret_cast<void*>(p)); }

// Median milliseconds of a call, after one that warms up.
template <class Body>
float Median(const Body& body) {
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin));
  Check(cudaEventCreate(&end));
  body();
  std::vector<float> times;
  for (int i = 0; i < kRepeats; ++i) {
    Check(cudaEventRecord(begin, nullptr));
    body();
    Check(cudaEventRecord(end, nullptr));
    Check(cudaEventSynchronize(end));
    float ms;
    Check(cudaEventElapsedTime(&ms, begin, end));
    times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

struct Shape {
  int32_t dtype;
  int64_t rows, cols;
};

// GB/s of a copy that reads and writes half of `bytes` each.
double CopySpeed(int64_t bytes) {
  const uint64_t from = Device(bytes / 2), to = Device(bytes / 2);
  const float ms = Median([&] {
    Check(cudaMemcpyAsync(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from),
                          static_cast<size_t>(bytes / 2), cudaMemcpyDeviceToDevice, nullptr));
  });
  Free(from);
  Free(to);
  return static_cast<double>(bytes) / ms * 1e-6;
}

const char* NameOf(int32_t dtype) { return dtype == POLKA_F32 ? "f32" : dtype == POLKA_BF16 ? "bf16" : "f16"; }

}  // namespace

int main(int argc, char** argv) {
  if (!polka_cuda_available()) {
    printf("bench: skipped: %s\n", polka_last_error());
    return 0;
  }
  cudaDeviceProp device;
  Check(cudaGetDeviceProperties(&device, 0));
  printf("%s, compute capability %d.%d; median of %d\n", device.name, device.major, device.minor, kRepeats);
  printf("%-18s %-5s %8s %8s %10s %10s %10s %8s\n", "operation", "type", "rows", "V", "ms", "GB/s", "copy GB/s",
         "share");
  FILE* json = argc > 1 ? fopen(argv[1], "w") : nullptr;
  if (json != nullptr) fprintf(json, "{\"device\": \"%s\", \"results\": [", device.name);
  const char* separator = "";

  for (const int32_t dtype : {POLKA_F32, POLKA_BF16, POLKA_F16}) {
    for (const int64_t cols : {4096, 32000, 50257, 128256, 151936, 262144}) {
      const int64_t size = dtype == POLKA_F32 ? 4 : 2;
      // About a quarter of a billion logits.
      const Shape shape = {dtype, std::max<int64_t>(256, (int64_t{1} << 28) / cols), cols};
      const int64_t rows = shape.rows, matrix = rows * cols * size;
      const polka_matrix logits = {Device(matrix), rows, cols, cols, 1, 0, dtype, 0};
      polka_matrix gradient = logits, teacher = logits;
      gradient.data = Device(matrix);
      teacher.data = Device(matrix);
      const uint64_t targets = Upload(std::vector<int64_t>(static_cast<size_t>(rows), 7));
      const uint64_t floats = Upload(std::vector<float>(static_cast<size_t>(rows), -9.0f));
      const uint64_t offsets = Upload(std::vector<int64_t>{0, rows});
      std::vector<uint64_t> arrays;
      for (int i = 0; i < 4; ++i) arrays.push_back(Device(rows * 4));
      const uint64_t metrics = Device(sizeof(polka_policy_loss_metrics));
      const int64_t scratch = 1 << 26;
      polka_exec exec = {};
      exec.device_type = POLKA_CUDA;
      exec.workspace = Device(scratch);
      exec.workspace_bytes = scratch;
      const polka_targets aims = {targets, 0, -100, POLKA_I64, 0};
      const polka_softmax softmax = {0, 0, 0, 0, 1, 0};

      const auto report = [&](const char* name, int64_t bytes, const auto& call) {
        const float ms = Median(call);
        const double speed = static_cast<double>(bytes) / ms * 1e-6, copy = CopySpeed(bytes);
        printf("%-18s %-5s %8lld %8lld %10.3f %10.1f %10.1f %8.3f\n", name, NameOf(dtype), static_cast<long long>(rows),
               static_cast<long long>(cols), static_cast<double>(ms), speed, copy, speed / copy);
        if (json != nullptr) {
          fprintf(json,
                  "%s\n  {\"operation\": \"%s\", \"dtype\": \"%s\", \"rows\": %lld, \"vocabulary\": %lld, "
                  "\"ms\": %.4f, \"gb_per_s\": %.2f, \"copy_gb_per_s\": %.2f}",
                  separator, name, NameOf(dtype), static_cast<long long>(rows), static_cast<long long>(cols),
                  static_cast<double>(ms), speed, copy);
          separator = ",";
        }
      };

      polka_log_prob_forward_args f = {};
      f.struct_size = sizeof f;
      f.exec = exec;
      f.logits = logits;
      f.targets = aims;
      f.softmax = softmax;
      f.log_prob = arrays[0];
      f.max = arrays[1];
      f.log_sum = arrays[2];
      report("log_prob forward", matrix, [&] { Check(polka_log_prob_forward(&f)); });
      f.entropy = arrays[3];
      report("  with entropy", matrix, [&] { Check(polka_log_prob_forward(&f)); });

      polka_log_prob_backward_args b = {};
      b.struct_size = sizeof b;
      b.exec = exec;
      b.logits = logits;
      b.targets = aims;
      b.softmax = softmax;
      b.max = arrays[1];
      b.log_sum = arrays[2];
      b.d_log_prob = floats;
      b.d_logits = gradient;
      b.gradient_scale = 1;
      report("log_prob backward", 2 * matrix, [&] { Check(polka_log_prob_backward(&b)); });

      polka_policy_loss_args p = {};
      p.struct_size = sizeof p;
      p.exec = exec;
      p.logits = logits;
      p.targets = aims;
      p.softmax = softmax;
      p.batch.sequences = 1;
      p.batch.offsets = offsets;
      p.batch.old_log_prob = p.batch.ref_log_prob = p.batch.advantages = floats;
      p.objective.clip_low = 0.2f;
      p.objective.clip_high = 0.28f;
      p.objective.max_log_ratio = p.objective.sequence_max_log_ratio = 20;
      p.objective.k3_max = INFINITY;
      p.objective.kl_estimator = POLKA_KL_K3;
      p.objective.kl_coefficient = 0.001;
      p.normalizer = p.entropy_normalizer = {static_cast<double>(rows), 0};
      p.metrics = metrics;
      p.d_logits = gradient;
      p.gradient_scale = 1;
      report("policy_loss", 2 * matrix, [&] { Check(polka_policy_loss(&p)); });

      polka_divergence_args d = {};
      d.struct_size = sizeof d;
      d.exec = exec;
      d.student = logits;
      d.teacher = teacher;
      d.student_softmax = d.teacher_softmax = softmax;
      d.loss = metrics;
      d.d_student = gradient;
      d.divisor = static_cast<double>(rows);
      d.gradient_scale = 1;
      d.beta = 0.5f;
      for (const int32_t kind : {POLKA_FORWARD_KL, POLKA_REVERSE_KL, POLKA_JSD}) {
        d.kind = kind;
        const char* names[] = {"forward KL", "reverse KL", "JSD"};
        report(names[kind], 3 * matrix, [&] { Check(polka_divergence(&d)); });
      }
      for (const uint64_t address : arrays) Free(address);
      for (const uint64_t address :
           {logits.data, gradient.data, teacher.data, targets, floats, offsets, metrics, exec.workspace}) {
        Free(address);
      }
    }
  }
  if (json != nullptr) {
    fprintf(json, "\n]}\n");
    fclose(json);
  }
  return 0;
}
