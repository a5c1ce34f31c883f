#pragma once

// Moves registers between warpgroups. Every warp of the group executes it; counts are multiples of 8.
namespace fp8lm::ptx {

template <int kCount> __device__ void release_registers()
{
    static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256, "setmaxnreg takes multiples of 8 from 24 to 256");
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

template <int kCount> __device__ void acquire_registers()
{
    static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256, "setmaxnreg takes multiples of 8 from 24 to 256");
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

}  // namespace fp8lm::ptx
