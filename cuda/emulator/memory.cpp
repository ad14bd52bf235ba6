#include "memory.h"

#include <algorithm>

namespace polka::cuda::emulator {
namespace {

std::string NameOf(const Stamp& s) {
  return "thread " + std::to_string(s.thread) + " of cluster " + std::to_string(s.cluster);
}

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

bool Ordered(const Stamp& before, const Stamp& now) {
  if (before.cluster != now.cluster) return false;
  if (before.thread == now.thread) return true;
  if (now.cluster_waits > before.cluster_arrivals) return true;
  if (before.block == now.block && now.block_barriers > before.block_barriers) return true;
  return before.warp == now.warp && now.warp_barriers > before.warp_barriers;
}

void Report::Add(const char* kind, const std::string& text) {
  ++count_;
  if (!Has(kind)) kinds_.push_back(kind);
  if (texts_.size() < 8) texts_.push_back(std::string(kind) + ": " + text);
}

bool Report::Has(const char* kind) const { return std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end(); }

std::string Report::Text() const {
  std::string all = Number(static_cast<uint64_t>(count_)) + " findings";
  for (const std::string& t : texts_) all += "\n  " + t;
  return all;
}

void NoteRead(Watch& watch, uint64_t offset, uint64_t bytes, const Stamp& now, const char* what, Report& report) {
  if (bytes == 0) return;
  const uint64_t granule = watch.granule;
  for (uint64_t g = offset / granule; g <= (offset + bytes - 1) / granule; ++g) {
    Record& r = watch.records[g];
    if (r.in_flight == now.run) {
      report.Add("in flight", NameOf(now) + " reads byte " + Number(g * granule) + " of " + what +
                                  " before the copy into it has landed");
    }
    if (r.writer.run == now.run && !Ordered(r.writer, now)) {
      report.Add("race", NameOf(now) + " reads byte " + Number(g * granule) + " of " + what + ", written by " +
                             NameOf(r.writer) + " without a barrier between");
    }
    if (r.reader.thread != now.thread || r.reader.cluster != now.cluster) r.other_reader = r.reader;
    r.reader = now;
  }
}

void NoteWrite(Watch& watch, uint64_t offset, uint64_t bytes, const Stamp& now, const char* what, Report& report) {
  if (bytes == 0) return;
  const uint64_t granule = watch.granule;
  for (uint64_t g = offset / granule; g <= (offset + bytes - 1) / granule; ++g) {
    Record& r = watch.records[g];
    if (r.in_flight == now.run) {
      report.Add("in flight",
                 NameOf(now) + " writes byte " + Number(g * granule) + " of " + what + " while a copy is on its way");
    }
    for (const Stamp* before : {&r.writer, &r.reader, &r.other_reader}) {
      if (before->run == now.run && !Ordered(*before, now)) {
        report.Add("race", NameOf(now) + " writes byte " + Number(g * granule) + " of " + what + ", " +
                               (before == &r.writer ? "written" : "read") + " by " + NameOf(*before) +
                               " without a barrier between");
        break;
      }
    }
    r.writer = now;
  }
}

void GlobalMemory::Register(const void* data, uint64_t bytes, Permission permission, const char* name) {
  const uint64_t begin = reinterpret_cast<uint64_t>(data);
  Buffer b = {begin, begin + bytes, permission, name, {}, {}};
  if (bytes < 4096 || begin % 2 != 0) b.watch.granule = 1;
  b.watch.Resize(bytes);
  buffers_.push_back(std::move(b));
}

void GlobalMemory::Forbid(const void* data, uint64_t bytes) {
  Buffer* b = Find(data, bytes, "forbid");
  if (b == nullptr || bytes == 0) return;
  b->forbidden.resize(b->end - b->begin);
  const uint64_t offset = reinterpret_cast<uint64_t>(data) - b->begin;
  for (uint64_t i = offset; i < offset + bytes; ++i) b->forbidden[i] = true;
}

GlobalMemory::Buffer* GlobalMemory::Find(const void* p, uint64_t bytes, const char* verb) {
  const uint64_t begin = reinterpret_cast<uint64_t>(p);
  const auto holds = [&](const Buffer& b) { return begin >= b.begin && begin + bytes <= b.end; };
  if (last_ < buffers_.size() && holds(buffers_[last_])) return &buffers_[last_];
  for (size_t i = 0; i < buffers_.size(); ++i) {
    if (holds(buffers_[i])) {
      last_ = i;
      return &buffers_[i];
    }
  }
  std::string near;
  for (const Buffer& b : buffers_) {
    if (begin + 4096 >= b.begin && begin < b.end + 4096) {
      near = ", " + std::to_string(static_cast<int64_t>(begin - b.begin)) + " bytes into " + b.name + " of " +
             Number(b.end - b.begin);
    }
  }
  report_.Add("bounds", std::string(verb) + " of " + Number(bytes) + " bytes outside every array" + near);
  return nullptr;
}

bool GlobalMemory::Allowed(const Buffer& b, uint64_t offset, uint64_t bytes, const char* verb) {
  if (b.forbidden.empty()) return true;
  for (uint64_t i = offset; i < offset + bytes; ++i) {
    if (!b.forbidden[i]) continue;
    report_.Add("forbidden",
                std::string(verb) + " of byte " + Number(i) + " of " + b.name + ", which must not be touched");
    return false;
  }
  return true;
}

bool GlobalMemory::Read(const void* p, uint64_t bytes, const void* used, uint64_t used_bytes, const Stamp& now) {
  Buffer* b = Find(p, bytes, "read");
  if (b == nullptr) return false;
  const uint64_t offset = reinterpret_cast<uint64_t>(used) - b->begin;
  if (!Allowed(*b, reinterpret_cast<uint64_t>(p) - b->begin, bytes, "read")) return false;
  NoteRead(b->watch, offset, used_bytes, now, b->name.c_str(), report_);
  return true;
}

bool GlobalMemory::Write(const void* p, uint64_t bytes, const Stamp& now) {
  Buffer* b = Find(p, bytes, "write");
  if (b == nullptr) return false;
  const uint64_t offset = reinterpret_cast<uint64_t>(p) - b->begin;
  if (b->permission == Permission::kRead) {
    report_.Add("permission", "write to " + b->name + ", which is an input");
    return false;
  }
  if (!Allowed(*b, offset, bytes, "write")) return false;
  NoteWrite(b->watch, offset, bytes, now, b->name.c_str(), report_);
  return true;
}

bool GlobalMemory::Atomic(const void* p, uint64_t bytes) { return Find(p, bytes, "atomic") != nullptr; }

}  // namespace polka::cuda::emulator
