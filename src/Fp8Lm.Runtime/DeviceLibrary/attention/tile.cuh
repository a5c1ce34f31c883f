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
    template <int kThreads> __device__ void load(const T* from, i64 pitch, int first, int end) const
    {
        constexpr int kChunks = kSizeOfHead / kChunk;
        #pragma unroll 4
        for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads)
        {
            const int index = i / kChunks, chunk = i % kChunks * kChunk;
            const bool inside = first + index < end;
            ptx::cp_async16(ptx::shared_address(data + index * kPitch + chunk), from + (inside ? first + index : 0) * pitch + chunk, inside);
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
