// Where kernels meet the device: indices, shared memory, barriers, warp and cluster communication,
// wide and asynchronous copies. Kernels take the context as a template argument and touch nothing
// else, so that the emulator can stand in for it.
#pragma once

#include "vec.cuh"

namespace polka::cuda {

constexpr int kWarpLanes = 32;

// `T`s in the dynamic shared memory of a block, `offset` bytes from its start. The same place in
// every block of a cluster.
template <class T>
struct Shared {
  uint32_t offset;

  POLKA_DEVICE Shared<T> operator+(int elements) const {
    return {offset + static_cast<uint32_t>(elements) * static_cast<uint32_t>(sizeof(T))};
  }
};

#if defined(__CUDACC__)

extern __shared__ __align__(16) unsigned char polka_shared_memory[];

// Clusters exist from compute capability 9.0 on; before, every block is a cluster of one.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define POLKA_HAS_CLUSTERS 1
#else
#define POLKA_HAS_CLUSTERS 0
#endif

class DeviceContext {
 public:
  // ---- place ------------------------------------------------------------------------------------
  POLKA_DEVICE int Lane() const { return static_cast<int>(threadIdx.x) % kWarpLanes; }
  POLKA_DEVICE int Warp() const { return static_cast<int>(threadIdx.x) / kWarpLanes; }
  POLKA_DEVICE int Warps() const { return static_cast<int>(blockDim.x) / kWarpLanes; }
  POLKA_DEVICE int64_t Block() const { return blockIdx.x; }
  POLKA_DEVICE int64_t Blocks() const { return gridDim.x; }
  POLKA_DEVICE int ClusterRank() const {
#if POLKA_HAS_CLUSTERS
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return static_cast<int>(rank);
#else
    return 0;
#endif
  }
  POLKA_DEVICE int ClusterSize() const {
#if POLKA_HAS_CLUSTERS
    uint32_t size;
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return static_cast<int>(size);
#else
    return 1;
#endif
  }

  // ---- global memory ----------------------------------------------------------------------------
  template <class T>
  POLKA_DEVICE T Load(const T* p) const {
    return *p;
  }
  template <class T>
  POLKA_DEVICE void Store(T* p, T value) const {
    *p = value;
  }
  // 16 aligned bytes.
  POLKA_DEVICE Vec LoadVec(const void* p) const { return BitCast<Vec>(*static_cast<const uint4*>(p)); }
  // The same, of which only bytes [from, to) are looked at: the others may belong to somebody else.
  POLKA_DEVICE Vec LoadVecPart(const void* p, uint32_t /*from*/, uint32_t /*to*/) const { return LoadVec(p); }
  // Written once and not read again here: the line may leave the cache first.
  POLKA_DEVICE void StoreVec(void* p, const Vec& v) const { __stcs(static_cast<uint4*>(p), BitCast<uint4>(v)); }
  POLKA_DEVICE void AtomicMin(uint64_t* p, uint64_t value) const {
    atomicMin(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(value));
  }

  // ---- shared memory ----------------------------------------------------------------------------
  template <class T>
  POLKA_DEVICE T Read(Shared<T> s) const {
    return *At(s);
  }
  template <class T>
  POLKA_DEVICE void Write(Shared<T> s, T value) const {
    *At(s) = value;
  }
  POLKA_DEVICE Vec ReadVecPart(Shared<Vec> s, uint32_t /*from*/, uint32_t /*to*/) const {
    return BitCast<Vec>(*reinterpret_cast<const uint4*>(At(s)));
  }
  // Into the shared memory of block `rank` of the cluster; seen there after the next cluster barrier.
  template <class T>
  POLKA_DEVICE void WriteRemote(Shared<T> s, int rank, T value) const {
#if POLKA_HAS_CLUSTERS
    static_assert(sizeof(T) == 4);
    uint32_t address;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(address)
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(At(s)))), "r"(rank));
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(address), "r"(BitCast<uint32_t>(value)) : "memory");
#else
    Write(s, value);
#endif
  }

  // ---- asynchronous copies ----------------------------------------------------------------------
  // 16 aligned bytes from global to shared memory. They land at the thread's WaitForCopies, and are
  // seen by others after a barrier that follows it.
  POLKA_DEVICE void CopyAsync(Shared<Vec> to, const void* from) const {
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(At(to)))),
        "l"(__cvta_generic_to_global(from))
        : "memory");
  }
  // Ends a group of copies.
  POLKA_DEVICE void CommitCopies() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  // Until at most `kPending` of the newest groups are on their way.
  template <int kPending>
  POLKA_DEVICE void WaitForCopies() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
  }

  // ---- warp -------------------------------------------------------------------------------------
  template <class T>
  POLKA_DEVICE T ShuffleXor(T value, int mask) const {
    return __shfl_xor_sync(kAll, value, mask);
  }
  template <class T>
  POLKA_DEVICE T Shuffle(T value, int lane) const {
    return __shfl_sync(kAll, value, lane);
  }
  // The largest value of the warp's lanes; none may be NaN. One instruction on integers whose order
  // is that of the floats.
  POLKA_DEVICE float WarpMax(float value) const {
    const int32_t bits = BitCast<int32_t>(value);
    const int32_t max = __reduce_max_sync(kAll, bits ^ ((bits >> 31) & 0x7FFFFFFF));
    return BitCast<float>(max ^ ((max >> 31) & 0x7FFFFFFF));
  }

  // ---- barriers ---------------------------------------------------------------------------------
  POLKA_DEVICE void WarpBarrier() const { __syncwarp(); }
  POLKA_DEVICE void BlockBarrier() const { __syncthreads(); }
  // In two halves, so that work which needs nothing from the others can stand between them.
  POLKA_DEVICE void ClusterArrive() const {
#if POLKA_HAS_CLUSTERS
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
  }
  POLKA_DEVICE void ClusterWait() const {
#if POLKA_HAS_CLUSTERS
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
    __syncthreads();
#endif
  }

  // Number of columns that a kernel works on. Here the emulator can be off by one on purpose, to see
  // whether the tests notice.
  POLKA_DEVICE int64_t Columns(int64_t columns) const { return columns; }

 private:
  static constexpr uint32_t kAll = 0xFFFFFFFFu;

  template <class T>
  POLKA_DEVICE static T* At(Shared<T> s) {
    return reinterpret_cast<T*>(polka_shared_memory + s.offset);
  }
};

#endif  // __CUDACC__

}  // namespace polka::cuda
