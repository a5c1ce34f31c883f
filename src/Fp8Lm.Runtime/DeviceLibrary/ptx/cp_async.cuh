#pragma once
#include <fp8lm/common/types.cuh>

namespace fp8lm::ptx {

// 16 bytes from global to shared memory.
__device__ inline void cp_async16(u32 destination, const void* source)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(destination), "l"(source) : "memory");
}

// The same of 16, 8 or 4 bytes. kCached: by way of the first-level cache, for copies that share sectors; fewer than 16 bytes always go that way.
template <int kBytes, bool kCached> __device__ void cp_async(u32 destination, const void* source)
{
    if constexpr (kBytes == 16 && !kCached)
        cp_async16(destination, source);
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(destination), "l"(source), "n"(kBytes) : "memory");
}

// 16 bytes, or zeros when not valid (the address must still be a good pointer).
__device__ inline void cp_async16(u32 destination, const void* source, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(destination), "l"(source), "r"(valid ? 16 : 0) : "memory");
}

// Four bytes, or zero when not valid.
__device__ inline void cp_async4(u32 destination, const void* source, bool valid)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(destination), "l"(source), "r"(valid ? 4 : 0) : "memory");
}

// Arrives at a barrier once all copies that this thread has started are done; one of the arrivals that the barrier was made for.
__device__ inline void cp_async_arrive(u32 barrier)
{
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kPending of the committed groups are still under way.
template <int kPending> __device__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory"); }

}  // namespace fp8lm::ptx
