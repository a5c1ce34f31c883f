#pragma once
#include <fp8lm/common/types.cuh>

// Warpgroup matrix multiply: D[64, N] (+)= A[64, 32 bytes of K] * B[N, 32 bytes of K]^T with both operands in shared memory, named by
// descriptors. Asynchronous: accumulators are the hardware's from the first multiply to wgmma_wait.
namespace fp8lm::ptx {

__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending> __device__ void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory"); }

// kAccumulate is a compile-time constant on purpose: ptxas serialises chains whose first multiply decides at run time (C7515).
// kTransposeA / kTransposeB: the operand is stored with the row index contiguous (16-bit types only).
template <class A, class B, int kColumns, bool kAccumulate, bool kTransposeA, bool kTransposeB> struct Wgmma;

#define FP8LM_F4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FP8LM_F16(d, i) FP8LM_F4(d, i), FP8LM_F4(d, i + 4), FP8LM_F4(d, i + 8), FP8LM_F4(d, i + 12)
#define FP8LM_F32(d, i) FP8LM_F16(d, i), FP8LM_F16(d, i + 16)
#define FP8LM_F64(d, i) FP8LM_F32(d, i), FP8LM_F32(d, i + 32)
#define FP8LM_F80(d, i) FP8LM_F64(d, i), FP8LM_F16(d, i + 64)
#define FP8LM_F96(d, i) FP8LM_F64(d, i), FP8LM_F32(d, i + 64)
#define FP8LM_F128(d, i) FP8LM_F64(d, i), FP8LM_F64(d, i + 64)
#define FP8LM_R32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FP8LM_R64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FP8LM_R80 FP8LM_R64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define FP8LM_R96 FP8LM_R80 ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define FP8LM_R128 \
    FP8LM_R96 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// kRegisters accumulators are %0 and up; the two descriptors and the predicate follow them.
#define FP8LM_WGMMA_FP8(A, B, COLUMNS, REGISTERS, DA, DB, P)                                                                           \
    template <bool kAccumulate> struct Wgmma<A, B, COLUMNS, kAccumulate, false, false>                                                 \
    {                                                                                                                                  \
        static __device__ void run(float (&d)[REGISTERS], u64 a, u64 b)                                                                \
        {                                                                                                                              \
            asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #P ", 0;"                                                                  \
                         "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k32.f32." #A "." #B                                             \
                         " {" FP8LM_R##REGISTERS "}, %" #DA ", %" #DB ", p, 1, 1; }"                                                   \
                         : FP8LM_F##REGISTERS(d, 0) : "l"(a), "l"(b), "n"(kAccumulate ? 1 : 0));                                       \
        }                                                                                                                              \
    };

#define FP8LM_WGMMA_16(T, COLUMNS, REGISTERS, DA, DB, P, TA, TB)                                                                       \
    template <bool kAccumulate, bool kTransposeA, bool kTransposeB> struct Wgmma<T, T, COLUMNS, kAccumulate, kTransposeA, kTransposeB> \
    {                                                                                                                                  \
        static __device__ void run(float (&d)[REGISTERS], u64 a, u64 b)                                                                \
        {                                                                                                                              \
            asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #P ", 0;"                                                                  \
                         "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k16.f32." #T "." #T                                             \
                         " {" FP8LM_R##REGISTERS "}, %" #DA ", %" #DB ", p, 1, 1, %" #TA ", %" #TB "; }"                               \
                         : FP8LM_F##REGISTERS(d, 0)                                                                                    \
                         : "l"(a), "l"(b), "n"(kAccumulate ? 1 : 0), "n"(kTransposeA ? 1 : 0), "n"(kTransposeB ? 1 : 0));              \
        }                                                                                                                              \
    };

FP8LM_WGMMA_FP8(e4m3, e4m3, 64, 32, 32, 33, 34)
FP8LM_WGMMA_FP8(e4m3, e5m2, 64, 32, 32, 33, 34)
FP8LM_WGMMA_FP8(e5m2, e4m3, 64, 32, 32, 33, 34)
FP8LM_WGMMA_FP8(e5m2, e5m2, 64, 32, 32, 33, 34)
FP8LM_WGMMA_16(bf16, 64, 32, 32, 33, 34, 35, 36)
FP8LM_WGMMA_16(f16, 64, 32, 32, 33, 34, 35, 36)
FP8LM_WGMMA_FP8(e4m3, e4m3, 128, 64, 64, 65, 66)
FP8LM_WGMMA_FP8(e4m3, e5m2, 128, 64, 64, 65, 66)
FP8LM_WGMMA_FP8(e5m2, e4m3, 128, 64, 64, 65, 66)
FP8LM_WGMMA_FP8(e5m2, e5m2, 128, 64, 64, 65, 66)
FP8LM_WGMMA_16(bf16, 128, 64, 64, 65, 66, 67, 68)
FP8LM_WGMMA_16(f16, 128, 64, 64, 65, 66, 67, 68)
FP8LM_WGMMA_FP8(e4m3, e4m3, 160, 80, 80, 81, 82)
FP8LM_WGMMA_FP8(e4m3, e5m2, 160, 80, 80, 81, 82)
FP8LM_WGMMA_FP8(e5m2, e4m3, 160, 80, 80, 81, 82)
FP8LM_WGMMA_FP8(e5m2, e5m2, 160, 80, 80, 81, 82)
FP8LM_WGMMA_16(bf16, 160, 80, 80, 81, 82, 83, 84)
FP8LM_WGMMA_16(f16, 160, 80, 80, 81, 82, 83, 84)
FP8LM_WGMMA_FP8(e4m3, e4m3, 192, 96, 96, 97, 98)
FP8LM_WGMMA_FP8(e4m3, e5m2, 192, 96, 96, 97, 98)
FP8LM_WGMMA_FP8(e5m2, e4m3, 192, 96, 96, 97, 98)
FP8LM_WGMMA_FP8(e5m2, e5m2, 192, 96, 96, 97, 98)
FP8LM_WGMMA_16(bf16, 192, 96, 96, 97, 98, 99, 100)
FP8LM_WGMMA_16(f16, 192, 96, 96, 97, 98, 99, 100)
FP8LM_WGMMA_FP8(e4m3, e4m3, 256, 128, 128, 129, 130)
FP8LM_WGMMA_FP8(e4m3, e5m2, 256, 128, 128, 129, 130)
FP8LM_WGMMA_FP8(e5m2, e4m3, 256, 128, 128, 129, 130)
FP8LM_WGMMA_FP8(e5m2, e5m2, 256, 128, 128, 129, 130)
FP8LM_WGMMA_16(bf16, 256, 128, 128, 129, 130, 131, 132)
FP8LM_WGMMA_16(f16, 256, 128, 128, 129, 130, 131, 132)

#undef FP8LM_WGMMA_FP8
#undef FP8LM_WGMMA_16
#undef FP8LM_R32
#undef FP8LM_R64
#undef FP8LM_R128
#undef FP8LM_R96
#undef FP8LM_R80
#undef FP8LM_F4
#undef FP8LM_F16
#undef FP8LM_F32
#undef FP8LM_F64
#undef FP8LM_F80
#undef FP8LM_F96
#undef FP8LM_F128

}  // namespace fp8lm::ptx
