#include "emulator/emulator.h"

#include <algorithm>
#include <memory>
#include <random>

namespace polka::cuda::emulator {

// The blocks that run together.
class Cluster {
 public:
  Cluster(Emulator& emulator, const LaunchConfig& config, uint32_t index, uint32_t global_run)
      : e(emulator), config(config), index(index), global_run(global_run), random_(emulator.options.seed + index) {
    shared_run = ++e.runs;
    const int warps = config.threads / kWarpLanes;
    blocks.resize(static_cast<size_t>(config.cluster));
    warp_states.resize(static_cast<size_t>(config.cluster * warps));
    threads.resize(static_cast<size_t>(config.cluster * config.threads));
    for (WarpState& w : warp_states) w.barrier.expected = w.exchange.expected = kWarpLanes;
    barrier.expected = config.cluster * config.threads;
    for (size_t b = 0; b < blocks.size(); ++b) {
      Block& block = blocks[b];
      block.rank = static_cast<int>(b);
      // NaN in every float format.
      block.shared.assign(static_cast<size_t>(config.shared_bytes), 0xFF);
      block.watch.Resize(static_cast<uint64_t>(config.shared_bytes));
      block.barrier.expected = config.threads;
    }
    for (size_t i = 0; i < threads.size(); ++i) {
      Thread& t = threads[i];
      t.cluster = this;
      t.in_block = static_cast<int>(i) % config.threads;
      t.block = &blocks[i / static_cast<size_t>(config.threads)];
      const size_t warp = i / kWarpLanes;
      t.warp = &warp_states[warp];
      t.stamp.cluster = index;
      t.stamp.thread = static_cast<uint16_t>(i);
      t.stamp.warp = static_cast<uint16_t>(warp);
      t.stamp.block = static_cast<uint16_t>(t.block->rank);
    }
  }

  void Run(Emulator::Entry entry, const void* params) {
    entry_ = entry;
    params_ = params;
    for (size_t i = 0; i < threads.size(); ++i) threads[i].fibre.Start(static_cast<int>(i), Body, &threads[i]);
    std::vector<size_t> order(threads.size());
    for (size_t i = 0; i < order.size(); ++i) {
      order[i] = e.options.order == Order::kReverse ? order.size() - 1 - i : i;
    }
    for (size_t ended = 0; ended < threads.size();) {
      if (e.options.order == Order::kRandom) std::shuffle(order.begin(), order.end(), random_);
      bool moved = false;
      for (const size_t i : order) {
        Thread& t = threads[i];
        if (t.ended || (t.waits_for != nullptr && t.waits_for->generation == t.waits_generation)) continue;
        t.waits_for = nullptr;
        t.fibre.Resume();
        moved = true;
        ended += t.ended;
      }
      if (!moved) {
        ReportStuck();
        return;
      }
    }
  }

  // Waits until all have come. Called on a fibre.
  static void Meet(Thread& t, Rendezvous& r, const char* at) {
    const uint32_t generation = Come(r);
    if (r.generation != generation) return;
    Await(t, r, generation, at);
  }

  // Notes an arrival; the generation before it.
  static uint32_t Come(Rendezvous& r) {
    const uint32_t generation = r.generation;
    if (++r.arrived == r.expected) {
      r.arrived = 0;
      ++r.generation;
    }
    return generation;
  }

  static void Await(Thread& t, const Rendezvous& r, uint32_t generation, const char* at) {
    if (r.generation != generation) return;
    t.waits_for = &r;
    t.waits_generation = generation;
    t.waits_at = at;
    t.fibre.GiveWay();
  }

  Emulator& e;
  const LaunchConfig config;
  const uint32_t index, global_run;
  uint32_t shared_run;
  Rendezvous barrier;
  std::vector<Block> blocks;
  std::vector<WarpState> warp_states;
  std::vector<Thread> threads;

 private:
  static void Body(void* argument) {
    Thread& t = *static_cast<Thread*>(argument);
    Cluster& c = *t.cluster;
    c.entry_(t, c.params_);
    const std::string name = "thread " + std::to_string(t.stamp.thread) + " of cluster " + std::to_string(c.index);
    if (!t.groups.empty() || !t.open_group.empty()) {
      c.e.report.Add("copies", name + " ends with copies on their way");
    }
    if (t.stamp.cluster_waits <= t.block->remote_arrivals) {
      c.e.report.Add("exit", name + " ends while others may still write to its block's shared memory");
    }
    if (t.cluster_arrivals != t.cluster_waits)
      c.e.report.Add("barrier", name + " arrives at a cluster barrier and goes");
    ++t.block->ended;
    t.ended = true;
    Traffic& traffic = c.e.traffic;
    traffic.warp_barriers = std::max(traffic.warp_barriers, t.warp_barriers);
    traffic.block_barriers = std::max(traffic.block_barriers, t.block_barriers);
    traffic.cluster_barriers = std::max(traffic.cluster_barriers, t.cluster_waits);
    traffic.copy_waits = std::max(traffic.copy_waits, t.copy_waits);
  }

  void ReportStuck() {
    for (const Thread& t : threads) {
      if (t.ended) continue;
      e.report.Add("barrier", "thread " + std::to_string(t.stamp.thread) + " of cluster " + std::to_string(index) +
                                  " waits for ever at a " + t.waits_at + " that others do not reach");
      return;
    }
  }

  Emulator::Entry entry_ = nullptr;
  const void* params_ = nullptr;
  std::mt19937 random_;
};

void Emulator::Launch(const LaunchConfig& config, Entry entry, const void* params) {
  const auto refuse = [&](const char* why) { report.Add("launch", why); };
  if (config.blocks < 1 || config.blocks > kMaxBlocks) return refuse("the number of blocks is out of range");
  if (config.threads % kWarpLanes != 0 || config.threads > 1024) return refuse("the number of threads is");
  if (config.cluster > options.limits.max_cluster) return refuse("the cluster is larger than the device allows");
  if (config.blocks % config.cluster != 0) return refuse("the grid is no multiple of the cluster");
  if (config.shared_bytes > options.limits.shared_per_block) return refuse("more shared memory than a block may have");
  const uint32_t global_run = ++runs;
  const uint32_t clusters = static_cast<uint32_t>(config.blocks / config.cluster);
  for (uint32_t i = 0; i < clusters; ++i) {
    const uint32_t index = options.order == Order::kReverse ? clusters - 1 - i : i;
    Cluster(*this, config, index, global_run).Run(entry, params);
  }
}

Context::Context(Thread& thread) : t_(thread), e_(thread.cluster->e) {}

int Context::Warps() const { return t_.cluster->config.threads / kWarpLanes; }
int64_t Context::Block() const { return int64_t{t_.cluster->index} * t_.cluster->config.cluster + t_.block->rank; }
int64_t Context::Blocks() const { return t_.cluster->config.blocks; }
int Context::ClusterSize() const { return t_.cluster->config.cluster; }

int64_t Context::Columns(int64_t columns) const {
  return columns + (e_.options.mistake == Mistake::kOneColumnMore) - (e_.options.mistake == Mistake::kOneColumnLess);
}

bool Context::Skip(Mistake mistake, int met) const { return e_.options.mistake == mistake && e_.options.nth == met; }

// ---- global memory --------------------------------------------------------------------------------

void Context::LoadBytes(const void* p, void* value, uint32_t bytes) {
  Stamp now = t_.stamp;
  now.run = t_.cluster->global_run;
  (bytes == 16 ? e_.traffic.wide_bytes : e_.traffic.narrow_bytes) += bytes;
  if (reinterpret_cast<uint64_t>(p) % bytes != 0) {
    e_.report.Add("alignment", "read of " + std::to_string(bytes) + " bytes at an address that is no multiple");
  }
  if (e_.memory.Read(p, bytes, p, bytes, now)) {
    memcpy(value, p, bytes);
  } else {
    memset(value, 0xFF, bytes);
  }
}

void Context::StoreBytes(void* p, const void* value, uint32_t bytes) {
  Stamp now = t_.stamp;
  now.run = t_.cluster->global_run;
  (bytes == 16 ? e_.traffic.wide_bytes : e_.traffic.narrow_bytes) += bytes;
  if (reinterpret_cast<uint64_t>(p) % bytes != 0) {
    e_.report.Add("alignment", "write of " + std::to_string(bytes) + " bytes at an address that is no multiple");
  }
  if (e_.memory.Write(p, bytes, now)) memcpy(p, value, bytes);
}

Vec Context::LoadVecPart(const void* p, uint32_t from, uint32_t to) {
  Vec v;
  if (e_.options.mistake == Mistake::kNarrowVectors) {
    for (int w = 0; w < 4; ++w) LoadBytes(static_cast<const uint32_t*>(p) + w, &v.word[w], 4);
    return v;
  }
  e_.traffic.wide_bytes += 16;
  if (reinterpret_cast<uint64_t>(p) % 16 != 0) e_.report.Add("alignment", "vector read at an unaligned address");
  Stamp now = t_.stamp;
  now.run = t_.cluster->global_run;
  memset(&v, 0xFF, sizeof v);
  if (e_.memory.Read(p, 16, static_cast<const char*>(p) + from, to - from, now)) {
    // The bytes that the caller does not look at stay NaN.
    memcpy(reinterpret_cast<char*>(&v) + from, static_cast<const char*>(p) + from, to - from);
  }
  return v;
}

void Context::StoreVec(void* p, const Vec& v) {
  if (e_.options.mistake == Mistake::kNarrowVectors) {
    for (int w = 0; w < 4; ++w) StoreBytes(static_cast<uint32_t*>(p) + w, &v.word[w], 4);
    return;
  }
  StoreBytes(p, &v, 16);
}

void Context::AtomicMin(uint64_t* p, uint64_t value) {
  if (e_.memory.Atomic(p, sizeof *p) && value < *p) *p = value;
}

// ---- shared memory --------------------------------------------------------------------------------

bool Context::InShared(uint32_t offset, uint32_t bytes, uint32_t align, const char* verb) {
  if (offset % align != 0) {
    e_.report.Add("alignment", std::string(verb) + " shared memory at byte " + std::to_string(offset) +
                                   ", no multiple of " + std::to_string(align));
    return false;
  }
  if (uint64_t{offset} + bytes <= t_.block->shared.size()) return true;
  e_.report.Add("bounds", std::string(verb) + " byte " + std::to_string(offset) + " of " +
                              std::to_string(t_.block->shared.size()) + " bytes of shared memory");
  return false;
}

void Context::ReadShared(uint32_t offset, void* value, uint32_t bytes, uint32_t align, uint32_t from, uint32_t to) {
  memset(value, 0xFF, bytes);
  if (!InShared(offset, bytes, align, "reads")) return;
  Stamp now = t_.stamp;
  now.run = t_.cluster->shared_run;
  NoteRead(t_.block->watch, offset + from, to - from, now, "shared memory", e_.report);
  for (uint32_t b = offset + from; b < offset + to; b += 2) {
    const Record& r = t_.block->watch.records[b / t_.block->watch.granule];
    if (r.writer.run != now.run && r.in_flight != now.run) {
      e_.report.Add("uninitialised", "byte " + std::to_string(b) + " of shared memory is read and was never written");
      break;
    }
  }
  memcpy(static_cast<char*>(value) + from, t_.block->shared.data() + offset + from, to - from);
}

void Context::WriteShared(emulator::Block& block, uint32_t offset, const void* value, uint32_t bytes) {
  if (!InShared(offset, bytes, bytes, "writes")) return;
  Stamp now = t_.stamp;
  now.run = t_.cluster->shared_run;
  NoteWrite(block.watch, offset, bytes, now, "shared memory", e_.report);
  memcpy(block.shared.data() + offset, value, bytes);
}

void Context::WriteRemoteBytes(uint32_t offset, int rank, const void* value, uint32_t bytes) {
  if (rank < 0 || rank >= ClusterSize()) {
    e_.report.Add("bounds",
                  "writes to block " + std::to_string(rank) + " of a cluster of " + std::to_string(ClusterSize()));
    return;
  }
  emulator::Block& block = t_.cluster->blocks[static_cast<size_t>(rank)];
  if (&block != t_.block) {
    if (t_.stamp.cluster_waits == 0) {
      e_.report.Add("start", "writes to the shared memory of a block that may not have started");
    }
    if (block.ended > 0) e_.report.Add("exit", "writes to the shared memory of a block that has ended");
    block.remote_arrivals = std::max<int>(block.remote_arrivals, t_.stamp.cluster_arrivals);
  }
  WriteShared(block, offset, value, bytes);
}

void Context::CopyAsync(Shared<Vec> to, const void* from) {
  if (reinterpret_cast<uint64_t>(from) % 16 != 0) e_.report.Add("alignment", "copy from an unaligned address");
  if (!InShared(to.offset, 16, 16, "copies to")) return;
  for (uint32_t b = to.offset; b < to.offset + 16; b += 2) {
    Record& r = t_.block->watch.records[b / t_.block->watch.granule];
    for (const Stamp* before : {&r.writer, &r.reader, &r.other_reader}) {
      Stamp now = t_.stamp;
      now.run = t_.cluster->shared_run;
      if (before->run == now.run && !Ordered(*before, now)) e_.report.Add("race", "copy into bytes still in use");
    }
    r.in_flight = t_.cluster->shared_run;
  }
  if (e_.options.mistake == Mistake::kNarrowVectors) {
    e_.traffic.narrow_bytes += 16;
  } else {
    e_.traffic.wide_bytes += 16;
  }
  t_.open_group.push_back({to.offset, from});
}

void Context::CommitCopies() {
  t_.groups.push_back(t_.open_group);
  t_.open_group.clear();
}

void Context::WaitForCopies(int pending) {
  if (Skip(Mistake::kSkipCopyWait, t_.copy_waits++)) return;
  while (t_.groups.size() > static_cast<size_t>(pending)) {
    for (const AsyncCopy& copy : t_.groups.front()) {
      Stamp now = t_.stamp;
      now.run = t_.cluster->shared_run;
      for (uint32_t b = copy.to; b < copy.to + 16; b += 2)
        t_.block->watch.records[b / t_.block->watch.granule].in_flight = 0;
      NoteWrite(t_.block->watch, copy.to, 16, now, "shared memory", e_.report);
      now.run = t_.cluster->global_run;
      unsigned char* to = t_.block->shared.data() + copy.to;
      if (e_.memory.Read(copy.from, 16, copy.from, 16, now)) {
        memcpy(to, copy.from, 16);
      } else {
        memset(to, 0xFF, 16);
      }
    }
    t_.groups.erase(t_.groups.begin());
  }
}

// ---- meeting others -------------------------------------------------------------------------------

uint64_t Context::Exchange(uint64_t slot, int lane) {
  // Nobody reaches the exchange after the next before all have read this one: two sets of slots do.
  WarpState& warp = *t_.warp;
  uint64_t* slots = warp.slots[warp.exchange.generation % 2];
  slots[Lane()] = slot;
  Cluster::Meet(t_, warp.exchange, "shuffle");
  return slots[lane % kWarpLanes];
}

void Context::WarpBarrier() {
  if (Skip(Mistake::kSkipWarpBarrier, t_.warp_barriers++)) return;
  Cluster::Meet(t_, t_.warp->barrier, "warp barrier");
  ++t_.stamp.warp_barriers;
}

void Context::BlockBarrier() {
  if (Skip(Mistake::kSkipBlockBarrier, t_.block_barriers++)) return;
  Cluster::Meet(t_, t_.block->barrier, "block barrier");
  ++t_.stamp.block_barriers;
}

void Context::ClusterArrive() {
  if (Skip(Mistake::kSkipClusterBarrier, t_.cluster_arrivals++)) return;
  Cluster::Come(t_.cluster->barrier);
  ++t_.stamp.cluster_arrivals;
}

void Context::ClusterWait() {
  if (Skip(Mistake::kSkipClusterBarrier, t_.cluster_waits++)) return;
  // The barrier's generation counts completed rounds: a thread that waits its nth time needs n.
  Cluster::Await(t_, t_.cluster->barrier, t_.stamp.cluster_waits, "cluster barrier");
  ++t_.stamp.cluster_waits;
}

}  // namespace polka::cuda::emulator
