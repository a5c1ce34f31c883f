#pragma once
#include <fp8lm/common/types.cuh>

// Blocks of a cluster and each other's shared memory.
namespace fp8lm::ptx {

// The address, in the block of a rank, of what lies at this shared address here.
__device__ inline u32 shared_of_rank(u32 address, u32 rank)
{
    u32 result;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(result) : "r"(address), "r"(rank));
    return result;
}

__device__ inline void store_of_rank(u32 address, float value)
{
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

// What the blocks have written into each other's shared memory before is seen after. All threads of the cluster take part.
__device__ inline void cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

}  // namespace fp8lm::ptx
