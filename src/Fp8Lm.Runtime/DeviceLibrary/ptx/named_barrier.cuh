#pragma once

// Barriers 1 to 15 of a block, for some of its threads; count includes those that only arrive.
namespace fp8lm::ptx {

template <int kCount> __device__ void barrier_sync(int barrier) { asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(kCount) : "memory"); }
template <int kCount> __device__ void barrier_arrive(int barrier) { asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "n"(kCount) : "memory"); }

}  // namespace fp8lm::ptx
