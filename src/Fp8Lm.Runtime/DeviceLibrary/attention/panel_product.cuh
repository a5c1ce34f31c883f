#pragma once
#include <fp8lm/attention/panel_tile.cuh>
#include <fp8lm/common/convert.cuh>
#include <fp8lm/ptx/wgmma.cuh>
#include <fp8lm/ptx/wgmma_registers.cuh>

// The two products of attention on one warpgroup's fragments (64 rows; element i of a lane is row l/4 + 8(i/2%2) of its warp's 16, column
// 8(i/4) + 2(l%4) + i%2). Both only start the multiplies, as one group to wait for.
namespace fp8lm::attention {

// acc[64, N] = A B^T, summed over the head; a and b are K-major descriptors of tiles A and B.
template <class A, class B, int kHeadSize>
__device__ __forceinline__ void start_by_head(float (&acc)[B::kRows / 2], u64 a, u64 b)
{
    using T = typename A::Element;
    using ptx::Wgmma;
    ptx::wgmma_fence();
    Wgmma<T, T, B::kRows, false, false, false>::run(acc, a, b);
    #pragma unroll
    for (int step = 1; step < kHeadSize / 16; ++step)
        Wgmma<T, T, B::kRows, true, false, false>::run(acc, a + A::head_step(step), b + B::head_step(step));
    ptx::wgmma_commit();
}

// acc[64, head] += p B, summed over B's rows.
template <class B, int kHeadSize>
__device__ __forceinline__ void start_by_rows(float (&acc)[kHeadSize / 2], const u32 (&p)[B::kRows / 4], u64 b)
{
    ptx::wgmma_fence();
    #pragma unroll
    for (int step = 0; step < B::kRows / 16; ++step)
        ptx::WgmmaRegisters<typename B::Element, kHeadSize>::run(acc, p[4 * step], p[4 * step + 1], p[4 * step + 2], p[4 * step + 3], b + B::row_step(step));
    ptx::wgmma_commit();
}

template <class T, int kElements> __device__ __forceinline__ void pack(u32 (&p)[kElements / 2], const float (&s)[kElements])
{
    #pragma unroll
    for (int i = 0; i < kElements / 2; ++i)
        p[i] = pack2<T>(s[2 * i], s[2 * i + 1]);
}

template <int kElements> __device__ __forceinline__ void clear(float (&acc)[kElements])
{
    #pragma unroll
    for (int i = 0; i < kElements; ++i)
        acc[i] = 0.0f;
}

// Keeps arithmetic on accumulators behind the wait for them; the compiler does not know that multiplies are asynchronous.
template <int kElements> __device__ __forceinline__ void hold(float (&acc)[kElements])
{
    #pragma unroll
    for (int i = 0; i < kElements; ++i)
        asm volatile("" : "+f"(acc[i])::"memory");
}

// Keeps the arithmetic that leads to value before what follows: ptxas would move it behind the next wait, though it is there to run under the
// multiplies that are waited for. The value is not negative; a dependence that ptxas cannot see through is all this is.
__device__ __forceinline__ void hold_until(float value)
{
    asm volatile("{ .reg .pred p; setp.lt.f32 p, %0, 0f00000000; @p nanosleep.u32 0; }" ::"f"(value) : "memory");
}

template <int kElements> __device__ __forceinline__ void hold_until(const float (&values)[kElements])
{
    int signs = 0;
    #pragma unroll
    for (int i = 0; i < kElements; ++i)
        signs |= __float_as_int(values[i]);
    hold_until(__int_as_float(signs & 0x80000000));
}

}  // namespace fp8lm::attention
