#pragma once
#include <fp8lm/common/launch.cuh>

namespace fp8lm::ptx {

__device__ inline void prefetch_tensor_map(const TensorMap& map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<u64>(&map)) : "memory");
}

// Box at (inner, outer), the innermost coordinate first, into shared memory; its bytes complete on the barrier.
__device__ inline void tma_load(u32 destination, const TensorMap& map, int inner, int outer, u32 barrier)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(destination),
        "l"(reinterpret_cast<u64>(&map)), "r"(inner), "r"(outer), "r"(barrier)
        : "memory");
}

// The same for a map of rows in groups of 32 that changes their order inside a group: group is the outermost of its five coordinates.
__device__ inline void tma_load_groups(u32 destination, const TensorMap& map, int inner, int group, u32 barrier)
{
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %3, %3, %4}], [%5];" ::"r"(destination),
        "l"(reinterpret_cast<u64>(&map)), "r"(inner), "r"(0), "r"(group), "r"(barrier)
        : "memory");
}

// Adjacent bytes; addresses and size are multiples of 16.
__device__ inline void bulk_load(u32 destination, const void* source, u32 bytes, u32 barrier)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(destination),
        "l"(__cvta_generic_to_global(source)), "r"(bytes), "r"(barrier)
        : "memory");
}

}  // namespace fp8lm::ptx
