#pragma once
#include <fp8lm/attention/shape.cuh>
#include <fp8lm/ptx/cp_async.cuh>
#include <fp8lm/ptx/mbarrier.cuh>

namespace fp8lm::attention {

// Some token rows of one head in shared memory. Rows are 16 bytes longer than the head, so that the eight rows of an 8x8 matrix (and a
// quad's rows of floats) lie in different banks.
template <class T, int kRowsOfTile, int kSizeOfHead> struct Tile
{
    static constexpr int kRows = kRowsOfTile;
    static constexpr int kChunk = 16 / sizeof(T);
    static constexpr int kPitch = kSizeOfHead + kChunk;
    static constexpr int kBytes = kRows * kPitch * sizeof(T);

    T* data;

    __device__ const T* row(int index) const { return data + index * kPitch; }

    // Starts copying rows first .. first + kRows of a sequence (from points at its row 0); rows from end on become zero.
    template <int kThreads> __device__ __forceinline__ void load(const T* from, i64 pitch, int first, int end) const
    {
        constexpr int kChunks = kSizeOfHead / kChunk;
        if constexpr (kThreads % kChunks == 0 && kRows * kChunks % kThreads == 0)
        {
            // A thread keeps its column; with a constant pitch all addresses are one base and immediate offsets.
            constexpr int kRowStep = kThreads / kChunks;
            const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks * kChunk;
            const u32 to = ptx::shared_address(data + row * kPitch + chunk);
            const T* const source = from + (first + row) * pitch + chunk;
            if (first + kRows <= end)
            {
                #pragma unroll
                for (int step = 0; step < kRows; step += kRowStep)
                    ptx::cp_async16(to + step * kPitch * (int)sizeof(T), source + step * pitch);
                return;
            }
            #pragma unroll 1
            for (int step = 0; step < kRows; step += kRowStep)
            {
                const bool inside = first + row + step < end;
                ptx::cp_async16(to + step * kPitch * (int)sizeof(T), inside ? source + step * pitch : from, inside);
            }
        }
        else
        {
            #pragma unroll 4
            for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads)
            {
                const int row = i / kChunks, chunk = i % kChunks * kChunk;
                const bool inside = first + row < end;
                ptx::cp_async16(ptx::shared_address(data + row * kPitch + chunk), from + (inside ? first + row : 0) * pitch + chunk, inside);
            }
        }
    }
};

// Hands out pieces of the block's dynamic shared memory.
struct SharedAllocator
{
    u8* next;

    template <class T> __device__ T* take(int bytes)
    {
        T* piece = reinterpret_cast<T*>(next);
        next += bytes;
        return piece;
    }
};

}  // namespace fp8lm::attention
