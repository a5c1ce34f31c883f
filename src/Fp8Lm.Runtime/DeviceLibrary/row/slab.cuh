#pragma once
#include <fp8lm/common/common.cuh>

// Row kernels: a block of 16 warps handles a slab of 16 rows, one warp each. What crosses rows (transposed copies, column sums) goes
// through shared memory in chunks of columns: every warp puts its row's values, a barrier, then all threads flush the chunk.
namespace fp8lm::row {

constexpr int kRows = 16;
constexpr int kThreads = kRows * kWarpSize;
constexpr int kChunk = 128;

struct Position
{
    int lane;    // lane in the warp
    int warp;    // row in the slab
    int slab;    // slab of 16 rows
    i64 row;     // row of this warp
    bool active; // whether that row exists; the same for all lanes

    __device__ explicit Position(i64 rows)
        : lane(threadIdx.x % kWarpSize), warp(threadIdx.x / kWarpSize), slab(blockIdx.x), row((i64)blockIdx.x * kRows + warp), active(row < rows)
    {
    }
};

// A chunk of an FP8 matrix, turned: 16 rows of a column become 16 adjacent bytes of the transposed copy.
template <class T, int kColumns = kChunk> struct TransposeStage
{
    static_assert(kIsFp8<T>, "only FP8 operands need a transposed copy");
    static constexpr int kPitch = 20;    // words of a column's 16 bytes at an odd multiple of 4 bytes: lanes of a warp spread over the banks

    alignas(16) u8 bytes[kColumns * kPitch];

    __device__ void put(int column, int row, float value) { bytes[column * kPitch + row] = encode<T>(value).bits; }

    __device__ void put2(int column, int row, float v0, float v1)
    {
        const u16 pair = encode2<T>(v0, v1);
        bytes[column * kPitch + row] = (u8)pair;
        bytes[(column + 1) * kPitch + row] = (u8)(pair >> 8);
    }

    // out: [cols, rows]; writes columns first .. first + kColumns of a slab. Between barriers.
    __device__ void flush(T* out, i64 rows, i64 cols, int slab, int first) const
    {
        const i64 row = (i64)slab * kRows;
        for (int column = threadIdx.x; column < kColumns && first + column < cols; column += kThreads)
        {
            const u32* from = reinterpret_cast<const u32*>(bytes + column * kPitch);
            T* to = out + (first + column) * rows + row;
            if (rows % kRows == 0)
                *reinterpret_cast<uint4*>(to) = make_uint4(from[0], from[1], from[2], from[3]);
            else
                for (int i = 0; i < kRows && row + i < rows; ++i)
                    to[i] = T{bytes[column * kPitch + i]};
        }
    }
};

// Column sums of a slab, rows added in order.
template <int kColumns = kChunk> struct SumStageOf
{
    float values[kRows][kColumns];

    __device__ void put(int column, int row, float value) { values[row][column] = value; }

    __device__ void put2(int column, int row, float v0, float v1)
    {
        *reinterpret_cast<float2*>(&values[row][column]) = make_float2(v0, v1);
    }

    // partial: [ceil(rows/16), pitch], of which cols columns are this kernel's. Between barriers.
    __device__ void flush(float* partial, i64 pitch, i64 cols, int slab, int first) const
    {
        for (int column = threadIdx.x; column < kColumns && first + column < cols; column += kThreads)
        {
            float sum = 0.0f;
            #pragma unroll
            for (int row = 0; row < kRows; ++row)
                sum += values[row][column];
            partial[slab * pitch + first + column] = sum;
        }
    }

    __device__ void flush(float* partial, i64 cols, int slab, int first) const { flush(partial, cols, cols, slab, first); }
};

using SumStage = SumStageOf<>;

}  // namespace fp8lm::row
