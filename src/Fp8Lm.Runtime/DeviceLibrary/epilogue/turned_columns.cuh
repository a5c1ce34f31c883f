#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/ptx/named_barrier.cuh>
#include <fp8lm/ptx/shared.cuh>

// Where an epilogue puts transposed copies. A lane has 16 rows of a column, 16 bytes of a line of its own in memory: such a store occupies the load and store
// unit for 32 clocks and writes half sectors.
namespace fp8lm::epilogue {

// Straight to memory. A warp goes on alone.
struct DirectTurns
{
    __device__ bool has_slab(int rows, int row_end) const { return rows < row_end; }
    __device__ void begin_slab() const {}

    // Rows row .. row + 15 of a column; row is a multiple of 16.
    template <class E> __device__ void put(E& e, int copy, int, int, int col, uint4 bytes, int row, int row_end) const
    {
        u8* to = e.transposed(copy, col) + row;
        if ((row_end % 16 == 0 || row + 16 <= row_end) && (E::kWholeTurned || ((u64)to & 15) == 0))
            *reinterpret_cast<uint4*>(to) = bytes;
        else
        {
            const u64 low = (u64)bytes.y << 32 | bytes.x, high = (u64)bytes.w << 32 | bytes.z;
            #pragma unroll 1
            for (int i = 0; i < 16 && row + i < row_end; ++i)
                to[i] = (u8)((i < 8 ? low : high) >> 8 * (i % 8));
        }
    }

    template <int kColumns, class E> __device__ void end_slab(E&, int, int, int, int) const {}
};

// By way of a buffer of the warpgroup, whose four warps have the rows of a slab: 64 bytes of a column lie together there. Rows are whole sixteens, columns begin at multiples of
// 16 bytes, and a step has 32 of them. (Bulk copies from the buffer were slower than stores: pieces of 64 bytes keep the copy engine from the next tile's operands.)
struct StagedTurns
{
    static constexpr int kPitch = 80;    // 64 bytes of a column, and 16 more: the eight lanes of a store's quarter meet different banks

    template <int kColumns> static constexpr int kBytes = kColumns * kPitch;

    u32 buffer;
    int barrier, warp;

    // The same for all warps: one without rows takes part all the same.
    __device__ bool has_slab(int rows, int row_end) const { return rows - 16 * warp < row_end; }

    // Once the last slab has left the buffer.
    __device__ void begin_slab() const { ptx::barrier_sync<128>(barrier); }

    // A column lies where its lane's number says.
    template <class E> __device__ void put(E&, int, int step, int lane, int, uint4 bytes, int, int) const
    {
        ptx::shared_store(buffer + (32 * step + lane) * kPitch + 16 * warp, bytes);
    }

    // Four lanes write what there is of a column.
    template <int kColumns, class E> __device__ void end_slab(E& e, int rows, int col0, int row_end, int col_end) const
    {
        ptx::barrier_sync<128>(barrier);
        const int quarter = threadIdx.x % 4, row = rows - 16 * warp + 16 * quarter;
        #pragma unroll
        for (int i = 0; i < kColumns / 32; ++i)
        {
            const int place = threadIdx.x % 128 / 4 + 32 * i, col = col0 + place / 32 * 32 + 8 * (place % 4) + place % 32 / 4;
            const uint4 bytes = ptx::shared_load(buffer + place * kPitch + 16 * quarter);
            if (col < col_end && row < row_end)
                *reinterpret_cast<uint4*>(e.transposed(0, col) + row) = bytes;
        }
    }
};

}  // namespace fp8lm::epilogue
