#pragma once
#include <fp8lm/common/types.cuh>

// Warp-wide matrix instructions on 16-bit types and the loads of their operands.
namespace fp8lm::ptx {

// Four 8x8 matrices of 16-bit elements; lanes 8i .. 8i+7 name the rows of matrix i.
__device__ inline void ldmatrix4(u32 (&r)[4], u32 address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

__device__ inline void ldmatrix4_transposed(u32 (&r)[4], u32 address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// D[16,8] += A[16,16] * B[16,8]. Lane l holds D rows l/4 and l/4 + 8, columns 2(l%4) and the next.
template <class T> __device__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1);

#define FP8LM_MMA(T)                                                                                                                              \
    template <> __device__ inline void mma<T>(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)                                                   \
    {                                                                                                                                             \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." #T "." #T ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"    \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));            \
    }

FP8LM_MMA(bf16)
FP8LM_MMA(f16)
#undef FP8LM_MMA

}  // namespace fp8lm::ptx
