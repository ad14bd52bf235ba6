// Memory under watch. For every two bytes (every one in small arrays) it is remembered who wrote them last and which
// two threads read them last, each with the barriers that it had passed: two accesses that no barrier orders, of which
// one writes, are a race in every thread order, not only in the one that goes wrong.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

namespace polka::cuda::emulator {

// One access: who, and how many barriers of each kind lay behind.
struct Stamp {
  uint32_t run;      // of the launch (global memory) or of the cluster's run (shared memory); 0 = none
  uint32_t cluster;  // in the grid
  uint16_t thread;   // in the cluster
  uint16_t warp, block;
  uint16_t cluster_arrivals, cluster_waits;
  uint16_t block_barriers, warp_barriers;
};

// Whether `before` is known to have happened before what the thread of `now` does now.
bool Ordered(const Stamp& before, const Stamp& now);

// What goes wrong is noted here, with the first few texts.
class Report {
 public:
  void Add(const char* kind, const std::string& text);
  bool clean() const { return count_ == 0; }
  int64_t count() const { return count_; }
  bool Has(const char* kind) const;
  std::string Text() const;

 private:
  int64_t count_ = 0;
  std::vector<std::string> kinds_;
  std::vector<std::string> texts_;
};

struct Record {
  Stamp writer, reader, other_reader;
  uint32_t in_flight;  // run in which an asynchronous copy into these bytes has not landed
};

// Records of a stretch of memory, one for each `granule` bytes.
struct Watch {
  uint64_t granule = 2;
  std::vector<Record> records;

  void Resize(uint64_t bytes) { records.resize(bytes / granule + 1); }
};

// Notes accesses to bytes [offset, offset + bytes).
void NoteRead(Watch& watch, uint64_t offset, uint64_t bytes, const Stamp& now, const char* what, Report& report);
void NoteWrite(Watch& watch, uint64_t offset, uint64_t bytes, const Stamp& now, const char* what, Report& report);

enum class Permission { kRead, kReadWrite };

// The arrays that a kernel may reach. Everything else is out of bounds.
class GlobalMemory {
 public:
  explicit GlobalMemory(Report& report) : report_(report) {}

  void Register(const void* data, uint64_t bytes, Permission permission, const char* name);
  // Bytes inside a registered array that nobody may touch.
  void Forbid(const void* data, uint64_t bytes);
  void Clear() { buffers_.clear(); }

  // Notes an access of which `bytes` at `used` matter; false where it must not be made.
  bool Read(const void* p, uint64_t bytes, const void* used, uint64_t used_bytes, const Stamp& now);
  bool Write(const void* p, uint64_t bytes, const Stamp& now);
  bool Atomic(const void* p, uint64_t bytes);

 private:
  struct Buffer {
    uint64_t begin, end;
    Permission permission;
    std::string name;
    Watch watch;
    std::vector<bool> forbidden;  // by byte; empty where nothing is
  };

  Buffer* Find(const void* p, uint64_t bytes, const char* verb);
  bool Allowed(const Buffer& b, uint64_t offset, uint64_t bytes, const char* verb);

  Report& report_;
  std::vector<Buffer> buffers_;
  size_t last_ = 0;
};

}  // namespace polka::cuda::emulator
