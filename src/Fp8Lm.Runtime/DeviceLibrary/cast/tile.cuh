#pragma once
#include <fp8lm/common/launch.cuh>
#include <fp8lm/common/octet.cuh>
#include <fp8lm/reduce/amax.cuh>

// 128 x 128 elements of a matrix in the registers of a block: the rows and columns that share a scale meet in it.
namespace fp8lm::cast {

constexpr int kGroup = 128, kThreads = 256, kWarps = kThreads / kWarpSize;

// x: [kRows, kColumns], kPitch elements from row to row. kWhole: octets of a row are aligned vectors.
template <class T, i64 kRowCount, i64 kColumnCount, i64 kRowPitch, bool kWholeOctets> struct Source
{
    using Element = T;
    static constexpr i64 kRows = kRowCount, kColumns = kColumnCount, kPitch = kRowPitch;
    static constexpr bool kWhole = kWholeOctets;
    static constexpr int kRowTiles = (int)ceil_div<i64>(kRows, kGroup), kColumnTiles = (int)ceil_div<i64>(kColumns, kGroup);
};

// Largest magnitudes as integer bits; of columns by warp.
struct TileAmax
{
    u32 rows[kGroup];
    alignas(16) u32 columns[kWarps][kGroup];

    __device__ u32 column(int i) const
    {
        u32 largest = 0;
        #pragma unroll
        for (int warp = 0; warp < kWarps; ++warp)
            largest = max(largest, columns[warp][i]);
        return largest;
    }
};

// A lane has an octet of every second row of its warp's sixteen. What lies outside the matrix is zero. factor: multiplies every element, if not null.
template <class S> struct Tile
{
    static constexpr int kSteps = 8;

    Octet<typename S::Element> octets[kSteps];
    i64 first_row;
    int first_column;
    int row, column;    // of the lane's first octet, in the tile
    int count;          // columns of an octet that exist
    float factor;

    __device__ Tile(const typename S::Element* x, const float* factor_at)
        : first_row((i64)blockIdx.x * kGroup), first_column((int)blockIdx.y * kGroup), factor(factor_at == nullptr ? 1.0f : *factor_at)
    {
        const int lane = threadIdx.x % kWarpSize;
        row = threadIdx.x / kWarpSize * 16 + lane / 16;
        column = lane % 16 * 8;
        const i64 rest = S::kColumns - first_column - column;
        count = rest < 0 ? 0 : rest < 8 ? (int)rest : 8;
        #pragma unroll
        for (int step = 0; step < kSteps; ++step)
        {
            octets[step] = {};
            if (inside(step))
                octets[step] = load_octet<S::kWhole>(x + (first_row + row_of(step)) * S::kPitch + first_column + column, count);
        }
    }

    __device__ int row_of(int step) const { return row + 2 * step; }
    __device__ bool inside(int step) const { return count > 0 && first_row + row_of(step) < S::kRows; }

    __device__ void values_of(int step, float (&values)[8]) const
    {
        unpack(octets[step], values);
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            values[i] *= factor;
    }

    // Ends in a barrier.
    __device__ void measure(TileAmax& amax) const
    {
        const int lane = threadIdx.x % kWarpSize;
        u32 columns[8] = {};
        #pragma unroll
        for (int step = 0; step < kSteps; ++step)
        {
            float values[8];
            values_of(step, values);
            u32 largest = 0;
            #pragma unroll
            for (int i = 0; i < 8; ++i)
            {
                largest = amax_bits(largest, values[i]);
                columns[i] = amax_bits(columns[i], values[i]);
            }
            #pragma unroll
            for (int distance = 8; distance > 0; distance /= 2)
                largest = max(largest, __shfl_xor_sync(kAllLanes, largest, distance));
            if (lane % 16 == 0)
                amax.rows[row_of(step)] = largest;
        }
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            columns[i] = max(columns[i], __shfl_xor_sync(kAllLanes, columns[i], 16));
        if (lane < 16)
        {
            uint4* const to = reinterpret_cast<uint4*>(&amax.columns[threadIdx.x / kWarpSize][column]);
            to[0] = make_uint4(columns[0], columns[1], columns[2], columns[3]);
            to[1] = make_uint4(columns[4], columns[5], columns[6], columns[7]);
        }
        __syncthreads();
    }
};

// Bytes of a tile on their way into a transposed copy. Four bytes of a row are a word; words of four rows are shifted against those of the next four, so
// that neither rows nor columns of words meet in a bank.
struct TurnedTile
{
    u32 words[kGroup * kGroup / 4];

    static __device__ int at(int row, int word) { return row * (kGroup / 4) + (word ^ row / 4); }

    // out: [columns, rows]; 32 lanes write the 128 bytes of a column together.
    template <i64 kRows, i64 kColumns> __device__ void flush(u8* out, i64 first_row, int first_column) const
    {
        #pragma unroll 1
        for (int block = threadIdx.x; block < (kGroup / 4) * (kGroup / 4); block += kThreads)
        {
            const int rows = block % (kGroup / 4) * 4, word = block / (kGroup / 4);
            if (first_row + rows >= kRows)
                continue;
            const u32 r0 = words[at(rows, word)], r1 = words[at(rows + 1, word)], r2 = words[at(rows + 2, word)], r3 = words[at(rows + 3, word)];
            const u32 low01 = __byte_perm(r0, r1, 0x5140), low23 = __byte_perm(r2, r3, 0x5140);
            const u32 high01 = __byte_perm(r0, r1, 0x7362), high23 = __byte_perm(r2, r3, 0x7362);
            const u32 turned[4] = {
                __byte_perm(low01, low23, 0x5410), __byte_perm(low01, low23, 0x7632), __byte_perm(high01, high23, 0x5410), __byte_perm(high01, high23, 0x7632)};
            #pragma unroll
            for (int i = 0; i < 4; ++i)
            {
                const int column = first_column + 4 * word + i;
                u8* const to = out + column * kRows + first_row + rows;
                if (column >= kColumns)
                    break;
                if constexpr (kRows % 4 == 0)
                    *reinterpret_cast<u32*>(to) = turned[i];
                else
                    for (int r = 0; r < 4 && first_row + rows + r < kRows; ++r)
                        to[r] = (u8)(turned[i] >> 8 * r);
            }
        }
    }
};

}  // namespace fp8lm::cast
