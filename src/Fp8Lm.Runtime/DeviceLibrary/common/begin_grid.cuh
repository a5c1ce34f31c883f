#pragma once

// Every thread of every kernel calls begin_grid once, before it touches memory that another kernel reads or writes and before any way out. What stands before
// the call in a kernel may touch parameters and shared memory only.
//
// The host launches a kernel behind another one so that its blocks may be resident before that one has ended (programmatic dependent launch): the launch, the
// arrival of blocks and what they prepare in shared memory then take no time of their own. For kernels A, B, C in this order on the stream:
//   - B waits for A to be complete with all its writes, those by atomics and by the copy engine too. So nothing of B reads too early, and nothing of B
//     overwrites or clears what A still reads or counts.
//   - C waits for B alone, but B is complete only when all its threads have ended, and every one of them has waited for A. So C comes after A as well, and so on
//     back to the last operation that is no kernel (copies, clears, events, the beginning of a graph): the kernel behind it is launched in the ordinary way.
//   - The next kernel is called as blocks of this one end, not before (griddepcontrol.launch_dependents): called at once, its blocks crowd on the multiprocessors
//     that are free first, and GPT-125M's step took 3 % longer (H100, 2026-11-25).
// Loads by way of the read-only cache (__ldg, const with __restrict__) promise that nothing writes their memory while the kernel runs, which is wrong for a
// kernel that starts early; the library has none.
namespace fp8lm {

__device__ __forceinline__ void begin_grid()
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

}  // namespace fp8lm
