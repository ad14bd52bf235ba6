// Runs a kernel's own source on the CPU: a fibre per thread, one cluster of blocks at a time. Between
// two barriers or shuffles threads run in an order that the test chooses; results must not depend on
// it. Found besides: races, reads of shared memory that nobody wrote, accesses outside the registered
// arrays, vectors that are not aligned, barriers that not all threads reach, asynchronous copies used
// before they landed, and shared memory of a block that has not started or has gone.
#pragma once

#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

#include "device/context.cuh"
#include "device/launch.cuh"
#include "emulator/fibre.h"
#include "emulator/memory.h"

namespace polka::cuda::emulator {

enum class Order { kForward, kReverse, kRandom };

// One deliberate mistake, to see whether it is caught.
enum class Mistake {
  kNone,
  kSkipWarpBarrier,  // the nth of each thread, as all below
  kSkipBlockBarrier,
  kSkipClusterBarrier,
  kSkipCopyWait,
  kOneColumnMore,
  kOneColumnLess,
  kNarrowVectors,  // 4 bytes at a time where 16 are meant
};

struct Options {
  DeviceLimits limits = {90, 132, 227 * 1024, 228 * 1024, 8};
  Order order = Order::kForward;
  uint32_t seed = 1;
  Mistake mistake = Mistake::kNone;
  int nth = 0;
};

// What went over the memory bus, and how many barriers one thread met at most.
struct Traffic {
  int64_t wide_bytes = 0;    // in accesses of 16 bytes
  int64_t narrow_bytes = 0;  // in smaller ones
  int warp_barriers = 0, block_barriers = 0, cluster_barriers = 0, copy_waits = 0;
};

class Cluster;

// Threads that wait for each other.
struct Rendezvous {
  int expected = 0, arrived = 0;
  uint32_t generation = 0;
};

struct Block {
  int rank;
  std::vector<unsigned char> shared;
  Watch watch;
  Rendezvous barrier;
  int ended = 0;             // threads
  int remote_arrivals = -1;  // cluster arrivals of the last remote access, which its threads must outwait
};

struct WarpState {
  Rendezvous barrier, exchange;
  uint64_t slots[2][kWarpLanes];
};

struct AsyncCopy {
  uint32_t to;
  const void* from;
};

struct Thread {
  Fibre fibre;
  Cluster* cluster;
  Block* block;
  WarpState* warp;
  int in_block;
  Stamp stamp;
  bool ended;
  const Rendezvous* waits_for;
  uint32_t waits_generation;
  const char* waits_at;
  int warp_barriers, block_barriers, cluster_arrivals, cluster_waits, copy_waits;  // met, skipped ones included
  std::vector<std::vector<AsyncCopy>> groups;                                      // committed, oldest first
  std::vector<AsyncCopy> open_group;
};

// One emulated device.
class Emulator {
 public:
  explicit Emulator(const Options& options) : options(options), memory(report) {}

  const Options options;
  Report report;
  Traffic traffic;
  GlobalMemory memory;
  uint32_t runs = 0;

  // Runs entry(context, params) in every thread of the grid.
  using Entry = void (*)(Thread& thread, const void* params);
  void Launch(const LaunchConfig& config, Entry entry, const void* params);
};

// The emulator's side of a thread: what DeviceContext offers, watched.
class Context {
 public:
  explicit Context(Thread& thread);

  int Lane() const { return t_.in_block % kWarpLanes; }
  int Warp() const { return t_.in_block / kWarpLanes; }
  int Warps() const;
  int64_t Block() const;
  int64_t Blocks() const;
  int ClusterRank() const { return t_.block->rank; }
  int ClusterSize() const;

  template <class T>
  T Load(const T* p) {
    T value;
    LoadBytes(p, &value, sizeof value);
    return value;
  }
  template <class T>
  void Store(T* p, T value) {
    StoreBytes(p, &value, sizeof value);
  }
  Vec LoadVec(const void* p) { return LoadVecPart(p, 0, 16); }
  Vec LoadVecPart(const void* p, uint32_t from, uint32_t to);
  void StoreVec(void* p, const Vec& v);
  void AtomicMin(uint64_t* p, uint64_t value);

  template <class T>
  T Read(Shared<T> s) {
    T value;
    ReadShared(s.offset, &value, sizeof value, sizeof value, 0, sizeof value);
    return value;
  }
  template <class T>
  void Write(Shared<T> s, T value) {
    WriteShared(*t_.block, s.offset, &value, sizeof value);
  }
  Vec ReadVecPart(Shared<Vec> s, uint32_t from, uint32_t to) {
    Vec v;
    ReadShared(s.offset, &v, 16, 16, from, to);
    return v;
  }
  template <class T>
  void WriteRemote(Shared<T> s, int rank, T value) {
    static_assert(sizeof(T) == 4);
    WriteRemoteBytes(s.offset, rank, &value, sizeof value);
  }

  void CopyAsync(Shared<Vec> to, const void* from);
  void CommitCopies();
  template <int kPending>
  void WaitForCopies() {
    WaitForCopies(kPending);
  }

  template <class T>
  T ShuffleXor(T value, int mask) {
    return Shuffle(value, Lane() ^ mask);
  }
  template <class T>
  T Shuffle(T value, int lane) {
    static_assert(sizeof(T) <= 8);
    uint64_t slot = 0;
    memcpy(&slot, &value, sizeof value);
    slot = Exchange(slot, lane);
    memcpy(&value, &slot, sizeof value);
    return value;
  }
  float WarpMax(float value) {
    for (int mask = 1; mask < kWarpLanes; mask *= 2) value = fmaxf(value, ShuffleXor(value, mask));
    return value;
  }

  void WarpBarrier();
  void BlockBarrier();
  void ClusterArrive();
  void ClusterWait();

  int64_t Columns(int64_t columns) const;

 private:
  void LoadBytes(const void* p, void* value, uint32_t bytes);
  void StoreBytes(void* p, const void* value, uint32_t bytes);
  void ReadShared(uint32_t offset, void* value, uint32_t bytes, uint32_t align, uint32_t from, uint32_t to);
  void WriteShared(emulator::Block& block, uint32_t offset, const void* value, uint32_t bytes);
  void WriteRemoteBytes(uint32_t offset, int rank, const void* value, uint32_t bytes);
  void WaitForCopies(int pending);
  uint64_t Exchange(uint64_t slot, int lane);
  bool InShared(uint32_t offset, uint32_t bytes, uint32_t align, const char* verb);
  bool Skip(Mistake mistake, int met) const;

  Thread& t_;
  Emulator& e_;
};

// The emulator as a launcher of kernels.
struct EmulatorLauncher {
  using Result = int;  // 0

  Emulator& emulator;

  template <class Kernel>
  int operator()(Kernel, const LaunchConfig& config, const typename Kernel::Params& params) const {
    const auto entry = [](Thread& thread, const void* p) {
      Context context(thread);
      Kernel::Run(context, *static_cast<const typename Kernel::Params*>(p));
    };
    emulator.Launch(config, entry, &params);
    return 0;
  }
};

}  // namespace polka::cuda::emulator
