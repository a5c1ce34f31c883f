#pragma once
#include <fp8lm/attention/shape.cuh>
#include <fp8lm/mma/descriptor.cuh>
#include <fp8lm/ptx/cp_async.cuh>

namespace fp8lm::attention {

// Some token rows of one 16-bit head as wgmma reads them: panels of 64 columns, each with rows of 128 bytes in the 128-byte swizzle.
// The same bytes serve as an operand whose sum runs over the head (K-major) and as one whose sum runs over the rows.
template <class T, int kRowsOfTile, int kSizeOfHead> struct PanelTile
{
    using Element = T;
    static constexpr int kRows = kRowsOfTile;
    static constexpr int kPanelBytes = kRows * mma::kRowBytes;
    static constexpr int kBytes = kSizeOfHead / 64 * kPanelBytes;
    static constexpr u64 kBase = mma::descriptor_base(kPanelBytes);

    // For a sum over the head: rows from first on, and what to add for the step-th 16 columns.
    static __device__ u64 by_head(u32 tile, int first = 0) { return mma::descriptor(kBase, tile + first * mma::kRowBytes); }
    static __device__ constexpr u64 head_step(int step) { return step / 4 * (kPanelBytes >> 4) + step % 4 * (32 >> 4); }

    // For a sum over the rows: the step-th 16 rows.
    static __device__ u64 by_rows(u32 tile) { return mma::descriptor(kBase, tile); }
    static __device__ constexpr u64 row_step(int step) { return step * (2 * mma::kAtomBytes >> 4); }

    // Read anew: what a load derives from it takes none of a producer's few registers between loads.
    static __device__ u32 fresh_thread()
    {
        u32 thread;
        asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
        return thread;
    }

    // kThreads producers start copying rows first .. first + kRows of a sequence (from points at its row 0); rows from end on become zero.
    template <int kThreads> static __device__ __forceinline__ void load(u32 tile, const T* from, i64 pitch, int first, int end)
    {
        constexpr int kChunks = kSizeOfHead / 8, kRowStep = kThreads / kChunks;
        static_assert(kRowStep % 8 == 0 && kRows % kRowStep == 0, "a thread keeps its place in the swizzle");
        const int thread = fresh_thread() % kThreads, row = thread / kChunks, chunk = thread % kChunks;
        const u32 to = tile + chunk / 8 * kPanelBytes + row * mma::kRowBytes + ((chunk % 8 ^ row % 8) << 4);
        const T* const source = from + (first + row) * pitch + chunk * 8;
        if (first + kRows <= end)
        {
            #pragma unroll
            for (int step = 0; step < kRows; step += kRowStep)
                ptx::cp_async16(to + step * mma::kRowBytes, source + step * pitch);
            return;
        }
        #pragma unroll 1
        for (int step = 0; step < kRows; step += kRowStep)
        {
            const bool inside = first + row + step < end;
            ptx::cp_async16(to + step * mma::kRowBytes, inside ? source + step * pitch : from, inside);
        }
    }
};

}  // namespace fp8lm::attention
